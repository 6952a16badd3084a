//! Compares the estimated memory of a token with sizes that servers logged.

use serde_json::{Value, json};
use upright_protocol::{CacheType, ModelCard};
use upright_recordings::named;

fn cache(name: &str) -> CacheType {
    match name {
        "f16" => CacheType::F16,
        "q8_0" => CacheType::Q8_0,
        other => panic!("{other}"),
    }
}

fn recorded(name: &str) -> ModelCard {
    ModelCard::of(&serde_json::from_slice(&named(name).body().unwrap().bytes).unwrap())
}

#[test]
fn the_estimate_of_a_token_is_what_servers_logged_for_each_kind_of_model() {
    let cards: Vec<Value> = serde_json::from_str(include_str!("cards.json")).unwrap();
    for card in &cards {
        let model = ModelCard::of(card);
        for logged in card["logged"].as_array().unwrap() {
            let slots = u32::try_from(logged["slots"].as_u64().unwrap()).unwrap();
            let each = model.cache_bytes_per_token(cache(logged["cache"].as_str().unwrap()), slots).unwrap();
            println!("{}, {}, {slots} slots: {each} bytes a token", card["name"], logged["cache"]);
            assert_eq!(each * logged["tokens"].as_f64().unwrap(), logged["bytes"].as_f64().unwrap(), "{}: {logged}", card["name"]);
        }
    }
}

#[test]
fn a_recorded_model_takes_what_its_server_failed_to_allocate() {
    for name in ["show", "old-show"] {
        let card = recorded(name);
        assert_eq!((card.architecture.as_str(), card.context_length), ("llama", Some(8192)), "{name}");
        let each = |cache, slots| card.cache_bytes_per_token(cache, slots).unwrap();
        assert_eq!(each(CacheType::F16, 1), 23_040.0, "{name}");
        // Recorded in `memory-ctx`.
        assert_eq!(each(CacheType::F16, 1) * 8192.0, 188_743_680.0);
        assert_eq!((each(CacheType::Q8_0, 1), each(CacheType::F16, 4), each(CacheType::Q4_0, 1)), (12_240.0, 92_160.0, 6_480.0));
    }
    // With buffers: 29,571 bytes a token, a quarter above the cache. The policy's margin of 1.375 covers it.
    let size = |name: &str| {
        let loaded: Value = serde_json::from_slice(&named(name).body().unwrap().bytes).unwrap();
        (loaded["models"][0]["size"].as_f64().unwrap(), loaded["models"][0]["context_length"].as_f64().unwrap())
    };
    let ((small, at_small), (large, at_large)) = (size("ps-loaded"), size("ps-window"));
    let measured = (large - small) / (at_large - at_small);
    assert!((23_040.0..23_040.0 * 1.375).contains(&measured), "{measured}");
}

#[test]
fn a_card_says_what_a_model_can_do_and_what_its_modelfile_asks_for() {
    let card = recorded("show");
    assert_eq!((card.can("completion"), card.can("vision"), card.num_ctx), (Some(true), Some(false), None));
    let card = ModelCard::of(&json!({"parameters": "stop    \"x\"\nnum_ctx                        8192\ntemperature 1"}));
    assert_eq!((card.num_ctx, card.can("vision")), (Some(8192), None));
}

#[test]
fn a_card_of_any_shape_is_read_and_says_nothing_that_is_not_there() {
    for odd in [
        json!(null),
        json!([]),
        json!({"model_info": []}),
        json!({"model_info": {"general.architecture": 5}, "parameters": 7, "capabilities": "all"}),
        json!({"model_info": {"general.architecture": "llama", "llama.block_count": 30, "llama.attention.head_count_kv": null,
            "llama.attention.head_count": 9, "llama.embedding_length": 576}}),
        json!({"model_info": {"general.architecture": "llama", "llama.block_count": 30, "llama.attention.head_count": 0, "llama.embedding_length": 576}}),
        json!({"model_info": {"general.architecture": "llama", "llama.block_count": u64::MAX, "llama.attention.head_count": u64::MAX}}),
    ] {
        let card = ModelCard::of(&odd);
        assert_eq!((card.cache_bytes_per_token(CacheType::F16, 1), card.num_ctx, card.context_length), (None, None, None), "{odd}");
    }
    let huge = json!({"model_info": {"general.architecture": "llama", "llama.block_count": u64::MAX, "llama.attention.head_count_kv": u64::MAX,
        "llama.attention.key_length": u64::MAX, "llama.attention.value_length": u64::MAX}});
    let _ = ModelCard::of(&huge).cache_bytes_per_token(CacheType::F16, u32::MAX);
}
