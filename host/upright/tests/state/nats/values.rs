//! Values of any length and origin leave nothing behind.

use super::{TEXT, bucket, connect, keys, put, shared, value};
use bytes::Bytes;
use std::time::{Duration, SystemTime};
use upright::clock::SystemClock;
use upright::store::{Store, StoreError, VALUE_LIMIT};
use upright_state::NatsCleaned;

const MEBIBYTE: usize = 1 << 20;

fn bytes(length: usize, seed: usize) -> Bytes {
    (0..length).map(|index| ((index * 31 + index / 251 + seed) % 256) as u8).collect()
}

#[tokio::test]
async fn a_value_may_have_any_length_up_to_64_mib() {
    let Some(server) = shared("a_value_may_have_any_length_up_to_64_mib") else { return };
    let store = connect(&server.url("lengths"), SystemClock::shared()).await;
    for length in [0, 1, MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE, VALUE_LIMIT] {
        let value = bytes(length, length);
        let version = store.put("a", value.clone(), TEXT).await.unwrap();
        let entry = store.get("a").await.unwrap().unwrap();
        assert!(entry.value == value, "{length}");
        assert_eq!((entry.version, entry.content_type.as_str()), (version, TEXT));
    }
    assert!(store.delete("a").await.unwrap());
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(server.messages("OBJ_lengths-values").await, 0, "no large value is left");
}

#[tokio::test]
async fn a_large_value_is_removed_when_it_is_replaced_or_deleted_or_was_not_to_be_written() {
    let Some(server) = shared("a_large_value_is_removed") else { return };
    let store = connect(&server.url("removed"), SystemClock::shared()).await;
    let large = bytes(2 * MEBIBYTE, 1);
    let left = async || server.messages("OBJ_removed-values").await;
    let (first, second) = (store.put("a", large.clone(), TEXT).await.unwrap(), store.put("b", large.clone(), TEXT).await.unwrap());
    let of_one = left().await / 2;
    assert!(of_one > 0);
    let small = store.compare_and_set("a", Some(first), "small".into(), TEXT).await.unwrap();
    assert_eq!(left().await, of_one);
    let conflict = store.compare_and_set("a", Some(first), large.clone(), TEXT).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { found: Some(found), .. } if found == small), "{conflict}");
    assert_eq!(left().await, of_one);
    assert!(store.get("b").await.unwrap().unwrap().value == large);
    assert!(store.compare_and_delete("b", second).await.unwrap());
    assert_eq!(left().await, 0);
}

#[tokio::test]
async fn of_two_large_values_that_replace_the_same_version_one_stays_and_none_is_left_behind() {
    let Some(server) = shared("of_two_large_values_that_replace_the_same_version") else { return };
    let (one, other) =
        (connect(&server.url("race"), SystemClock::shared()).await, connect(&server.url("race"), SystemClock::shared()).await);
    let values = [bytes(2 * MEBIBYTE, 1), bytes(2 * MEBIBYTE, 2)];
    for round in 0..10 {
        let version = put(&one, "a", &round.to_string()).await;
        let (first, second) = tokio::join!(
            one.compare_and_set("a", Some(version), values[0].clone(), TEXT),
            other.compare_and_set("a", Some(version), values[1].clone(), TEXT)
        );
        let winner = usize::from(second.is_ok());
        assert_ne!(first.is_ok(), second.is_ok());
        assert!(one.get("a").await.unwrap().unwrap().value == values[winner]);
    }
    one.delete("a").await.unwrap();
    assert_eq!(server.messages("OBJ_race-values").await, 0);
}

#[tokio::test]
async fn readers_of_a_large_value_that_is_replaced_all_the_time_get_whole_ones() {
    let Some(server) = shared("readers_of_a_large_value_that_is_replaced") else { return };
    let (writer, reader) =
        (connect(&server.url("torn"), SystemClock::shared()).await, connect(&server.url("torn"), SystemClock::shared()).await);
    let values = [bytes(MEBIBYTE + 1, 1), bytes(2 * MEBIBYTE, 2)];
    writer.put("a", values[0].clone(), TEXT).await.unwrap();
    let write = async {
        for round in 0..20 {
            writer.put("a", values[round % 2].clone(), TEXT).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..20 {
            let read = reader.get("a").await.unwrap().unwrap().value;
            assert!(values.contains(&read), "{} bytes", read.len());
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn what_a_media_type_says_is_kept_whatever_it_is() {
    let Some(store) = bucket("what_a_media_type_says_is_kept").await else { return };
    for content_type in ["application/json", "text/plain; charset=utf-8", "", " ", "a\r\nUpright-Value: b 1", "ü", "%41"] {
        store.put("a", "1".into(), content_type).await.unwrap();
        assert_eq!(store.get("a").await.unwrap().unwrap().content_type, content_type);
    }
}

#[tokio::test]
async fn a_value_that_another_program_wrote_is_read_and_replaced() {
    let Some(server) = shared("a_value_that_another_program_wrote") else { return };
    let store = connect(&server.url("foreign"), SystemClock::shared()).await;
    server.ask("$KV.foreign.by.hand", &[], "7").await;
    server.ask("$KV.foreign.no=key", &[], "").await;
    let before = SystemTime::now() - Duration::from_secs(3600);
    let entry = store.get("by/hand").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.content_type.as_str()), (Bytes::from("7"), "application/octet-stream"));
    assert!(entry.modified > before);
    assert_eq!(keys(&store, "").await, ["by/hand"]);
    let version = store.compare_and_set("by/hand", Some(entry.version), "8".into(), TEXT).await.unwrap();
    server.ask("$KV.foreign.by.hand", &["KV-Operation: PURGE", "Nats-Rollup: sub"], "").await;
    assert_eq!(value(&store, "by/hand").await, None);
    assert!(!store.compare_and_delete("by/hand", version).await.unwrap());
}

#[tokio::test]
async fn a_reference_to_a_large_value_that_is_gone_is_a_corrupt_value_and_can_be_replaced() {
    let Some(server) = shared("a_reference_to_a_large_value_that_is_gone") else { return };
    let store = connect(&server.url("gone"), SystemClock::shared()).await;
    store.put("a", bytes(2 * MEBIBYTE, 1), TEXT).await.unwrap();
    server.ask("$JS.API.STREAM.PURGE.OBJ_gone-values", &[], r#"{"filter":"$O.gone-values.C.>"}"#).await;
    assert!(matches!(store.get("a").await, Err(StoreError::Corrupt { key, .. }) if key == "a"));
    server.ask("$JS.API.STREAM.PURGE.OBJ_gone-values", &[], "{}").await;
    assert!(matches!(store.get("a").await, Err(StoreError::Corrupt { key, .. }) if key == "a"));
    put(&store, "a", "new").await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn what_a_killed_writer_leaves_behind_is_removed_and_nothing_else_is() {
    let Some(server) = shared("what_a_killed_writer_leaves_behind") else { return };
    let store = connect(&server.url("left"), SystemClock::shared()).await;
    let large = bytes(2 * MEBIBYTE, 1);
    store.put("large", large.clone(), TEXT).await.unwrap();
    put(&store, "small", "1").await;
    put(&store, "deleted", "1").await;
    store.delete("deleted").await.unwrap();
    assert_eq!(store.clean(Duration::from_secs(3600)).await.unwrap(), NatsCleaned::default(), "nothing is so old");
    // Killed before writing the key's entry: the key keeps its old value.
    store.put("lost", large.clone(), TEXT).await.unwrap();
    server.ask("$JS.API.STREAM.PURGE.KV_left", &[], r#"{"filter":"$KV.left.lost"}"#).await;
    // Killed before naming its pieces.
    server.ask("$O.left-values.C.loose", &[], "piece").await;
    let cleaned = store.clean(Duration::ZERO).await.unwrap();
    assert_eq!(cleaned, NatsCleaned { values: 1, pieces: 1, markers: 1 });
    assert_eq!(store.clean(Duration::ZERO).await.unwrap(), NatsCleaned::default());
    assert!(store.get("large").await.unwrap().unwrap().value == large);
    assert_eq!(keys(&store, "").await, ["large", "small"]);
    assert_eq!(server.messages("KV_left").await, 2, "no marker is left");
    let version = store.compare_and_set("deleted", None, "2".into(), TEXT).await.unwrap();
    assert!(store.compare_and_delete("deleted", version).await.unwrap());
}

#[tokio::test]
async fn a_bucket_that_is_there_already_is_used_as_it_is() {
    let Some(server) = shared("a_bucket_that_is_there_already") else { return };
    // Without direct answers the leader is asked, as in a cluster.
    let made = r#"{"name":"KV_there","subjects":["$KV.there.>"],"max_msgs_per_subject":5,"storage":"memory","allow_rollup_hdrs":true}"#;
    assert!(!server.ask("$JS.API.STREAM.CREATE.KV_there", &[], made).await.contains("error"));
    let store = connect(&server.url("there"), SystemClock::shared()).await;
    assert_eq!(value(&store, "a").await, None);
    let version = put(&store, "a", "1").await;
    store.compare_and_set("a", Some(version), bytes(MEBIBYTE - 1000, 3), "ü").await.unwrap();
    let entry = store.get("a").await.unwrap().unwrap();
    assert!(entry.value == bytes(MEBIBYTE - 1000, 3) && entry.content_type == "ü");
    assert_eq!(keys(&store, "").await, ["a"]);
    assert!(store.delete("a").await.unwrap() && keys(&store, "").await.is_empty());
}
