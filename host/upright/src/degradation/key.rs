//! Makes the keys of cached responses.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use upright_logic::degradation::{canonical_model, same_model};

/// Key of a response: equal for equal requests to one model, different for all others.
///
/// Spellings of a model's name count as one (`qwen3`, `Qwen3:latest`), also in the request's `model`. The order of
/// members does not matter. The `digest` gives a replaced model another key.
pub fn cache_key(model: &str, digest: Option<&str>, request: &Value) -> String {
    let mut hasher = Sha256::new();
    text(&mut hasher, &canonical_model(model));
    match digest {
        Some(digest) => text(&mut hasher, digest.trim_start_matches("sha256:")),
        None => hasher.update(b"-"),
    }
    match request {
        Value::Object(object) => {
            let names_it =
                |(key, value): &(&String, &Value)| *key == "model" && value.as_str().is_some_and(|named| same_model(named, model));
            members(&mut hasher, object.iter().filter(|member| !names_it(member)));
        }
        other => value(&mut hasher, other),
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut key, byte| {
        // Writing to a string cannot fail.
        let _ = write!(key, "{byte:02x}");
        key
    })
}

/// Hashes the length too, so that no two sequences of texts look alike.
fn text(hasher: &mut Sha256, text: &str) {
    hasher.update(b"s");
    hasher.update((text.len() as u64).to_le_bytes());
    hasher.update(text);
}

fn value(hasher: &mut Sha256, given: &Value) {
    match given {
        Value::Null => hasher.update(b"0"),
        Value::Bool(truth) => hasher.update(if *truth { b"t" } else { b"f" }),
        Value::Number(number) => {
            hasher.update(b"n");
            text(hasher, &number.to_string());
        }
        Value::String(given) => text(hasher, given),
        Value::Array(items) => {
            hasher.update(b"[");
            items.iter().for_each(|item| value(hasher, item));
            hasher.update(b"]");
        }
        Value::Object(object) => members(hasher, object.iter()),
    }
}

fn members<'a>(hasher: &mut Sha256, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    let mut members: Vec<_> = members.collect();
    members.sort_unstable_by_key(|(key, _)| *key);
    hasher.update(b"{");
    for (key, member) in members {
        text(hasher, key);
        value(hasher, member);
    }
    hasher.update(b"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_model_that_changed_under_its_name_gets_another_key() {
        let request = json!({ "prompt": "hi" });
        let key = |digest| cache_key("qwen3:8b", digest, &request);
        assert_ne!(key(Some("a1")), key(Some("b2")));
        assert_ne!(key(Some("a1")), key(None));
        assert_eq!(key(Some("a1")), key(Some("sha256:a1")));
    }

    #[test]
    fn spellings_of_one_model_share_a_key_and_other_models_do_not() {
        let key = |model: &str| cache_key(model, None, &json!({ "model": model, "prompt": "hi" }));
        for spelling in ["Qwen3:8B", " qwen3:8b", "registry.ollama.ai/library/qwen3:8b"] {
            assert_eq!(key(spelling), key("qwen3:8b"), "{spelling}");
        }
        assert_ne!(key("qwen3"), key("qwen3:8b"));
        let named_otherwise = cache_key("qwen3:8b", None, &json!({ "model": "gemma3:4b", "prompt": "hi" }));
        assert_ne!(named_otherwise, key("qwen3:8b"));
    }

    #[test]
    fn a_cache_key_ignores_only_the_order_of_a_requests_members() {
        let key = |request: Value| cache_key("m", None, &request);
        assert_eq!(key(json!({ "a": 1, "o": { "x": 1, "y": 2 } })), key(json!({ "o": { "y": 2, "x": 1 }, "a": 1 })));
        let requests = [
            json!({ "a": [1, 2] }),
            json!({ "a": [2, 1] }),
            json!({ "a": [[1], 2] }),
            json!({ "a": ["1", "2"] }),
            json!({ "a": ["12"] }),
            json!({ "a": null }),
            json!({}),
            json!([]),
            json!(null),
            json!({ "a": "b", "c": "d" }),
            json!({ "a": "bc", "": "d" }),
        ];
        let keys: std::collections::BTreeSet<_> = requests.into_iter().map(key).collect();
        assert_eq!(keys.len(), 11);
        assert!(keys.iter().all(|key| key.len() == 64));
    }
}
