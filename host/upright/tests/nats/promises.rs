//! What every store promises, asked of this one: the same as of the store in memory.

use crate::{TEXT, bucket, connect, keys, nothing, put, shared, value};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;
use upright::clock::{Clock, SystemClock};
use upright::store::{Change, ChangeKind, Entry, KEY_LIMIT, NatsOptions, NatsStore, Store, StoreError, VALUE_LIMIT};
use upright::testing::DrivenClock;

#[tokio::test]
async fn what_is_put_is_got_with_its_version_and_date() {
    let Some(server) = shared("what_is_put_is_got_with_its_version_and_date") else { return };
    let clock = DrivenClock::new();
    let store = connect(&server.url("dates"), clock.shared()).await;
    assert_eq!(store.get("a").await.unwrap(), None);
    let first = put(&store, "a", "1").await;
    clock.advance(Duration::from_nanos(5_000_000_001));
    let second = put(&store, "a", "2").await;
    assert!(second > first);
    let entry = store.get("a").await.unwrap().unwrap();
    assert_eq!(entry, Entry { value: "2".into(), content_type: TEXT.into(), version: second, modified: clock.wall() });
    let listed = store.list("").await.unwrap();
    assert_eq!((listed.len(), listed[0].version, listed[0].modified), (1, second, clock.wall()));
    assert!(store.delete("a").await.unwrap());
    assert!(!store.delete("a").await.unwrap());
    assert_eq!(store.get("a").await.unwrap(), None);
    assert!(store.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn of_two_writers_who_read_the_same_version_one_writes() {
    let Some(store) = bucket("of_two_writers_who_read_the_same_version_one_writes").await else { return };
    let version = store.compare_and_set("a", None, "1".into(), TEXT).await.unwrap();
    let new = store.compare_and_set("a", Some(version), "2".into(), TEXT).await.unwrap();
    for expected in [Some(version), Some(new + 1), None] {
        let conflict = store.compare_and_set("a", expected, "3".into(), TEXT).await.unwrap_err();
        let told = matches!(&conflict, StoreError::Conflict { key, expected: was, found } if key == "a" && *was == expected && *found == Some(new));
        assert!(told, "{conflict}");
    }
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));
    assert!(!store.compare_and_delete("a", version).await.unwrap());
    assert!(store.compare_and_delete("a", new).await.unwrap());
    assert!(!store.compare_and_delete("a", new).await.unwrap());
    let absent = store.compare_and_set("a", Some(new), "4".into(), TEXT).await.unwrap_err();
    assert_eq!(absent.to_string(), format!("\"a\" was to be at version {new}, but is at no version"));
}

#[tokio::test]
async fn a_key_that_is_written_again_after_its_deletion_gets_no_old_version() {
    let Some(store) = bucket("a_key_that_is_written_again_after_its_deletion_gets_no_old_version").await else { return };
    let before = put(&store, "a", "1").await;
    let mut changes = store.watch("a").await.unwrap();
    store.delete("a").await.unwrap();
    // Not even the deletion's own version is one that could be replaced.
    let deletion = changes.next().await.unwrap().unwrap().version;
    let conflict = store.compare_and_set("a", Some(deletion), "2".into(), TEXT).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { found: None, .. }), "{conflict}");
    assert!(!store.compare_and_delete("a", deletion).await.unwrap());
    let after = store.compare_and_set("a", None, "2".into(), TEXT).await.unwrap();
    assert!(before < deletion && deletion < after);
}

#[tokio::test]
async fn keys_are_listed_by_prefix_in_order() {
    let Some(store) = bucket("keys_are_listed_by_prefix_in_order").await else { return };
    for key in ["b/2", "a/1", "b", "b/10", "c", "b/ü", "b0", "gone"] {
        put(&store, key, "").await;
    }
    store.delete("gone").await.unwrap();
    assert_eq!(keys(&store, "b/").await, ["b/10", "b/2", "b/ü"]);
    assert_eq!(keys(&store, "b/1").await, ["b/10"]);
    assert_eq!(keys(&store, "").await, ["a/1", "b", "b/10", "b/2", "b/ü", "b0", "c"]);
    assert!(keys(&store, "d").await.is_empty());
    assert!(keys(&store, "gone").await.is_empty());
}

#[tokio::test]
async fn keys_of_odd_characters_are_kept_and_listed_in_the_order_of_their_bytes() {
    let Some(store) = bucket("keys_of_odd_characters").await else { return };
    let longest = ["ü".repeat(KEY_LIMIT / 2), "/".repeat(KEY_LIMIT), "*".repeat(KEY_LIMIT)];
    let mut odd = vec![
        ".",
        "..",
        ".a.",
        "/",
        "//",
        "/a",
        "a/",
        "a//b",
        "=",
        "=2E",
        "a=b",
        "*",
        "a/*",
        "a/>",
        ">",
        " ",
        "\u{0}",
        "\r\n",
        "日本/🦀",
        "$KV.x",
    ];
    odd.extend(longest.iter().map(String::as_str));
    for key in &odd {
        put(&store, key, key).await;
    }
    for key in &odd {
        assert_eq!(value(&store, key).await.as_deref(), Some(*key));
    }
    odd.sort_unstable();
    assert_eq!(keys(&store, "").await, odd);
    for prefix in ["a", "a/", "/", "//", ".", "=", "日", "日本/", "*", "ü"] {
        let under: Vec<_> = odd.iter().filter(|key| key.starts_with(prefix)).copied().collect();
        assert_eq!(keys(&store, prefix).await, under, "{prefix}");
    }
}

#[tokio::test]
async fn keys_and_values_out_of_bounds_are_refused() {
    let Some(store) = bucket("keys_and_values_out_of_bounds_are_refused").await else { return };
    assert!(matches!(store.get("").await, Err(StoreError::KeyInvalid { length: 0, .. })));
    let long = "ü".repeat(KEY_LIMIT / 2);
    assert!(matches!(store.put(&(long + "x"), Bytes::new(), TEXT).await, Err(StoreError::KeyInvalid { length: 513, .. })));
    let value = Bytes::from(vec![0; VALUE_LIMIT + 1]);
    assert!(matches!(store.put("a", value.clone(), TEXT).await, Err(StoreError::ValueTooLarge { .. })));
    assert!(matches!(store.put_object("a", value, Default::default()).await, Err(StoreError::ValueTooLarge { .. })));
    assert!(matches!(store.get_object("").await, Err(StoreError::KeyInvalid { .. })));
}

#[tokio::test]
async fn a_watcher_sees_the_changes_under_its_prefix_in_order_and_the_end() {
    let Some(server) = shared("a_watcher_sees_the_changes_under_its_prefix_in_order_and_the_end") else { return };
    // With one, a change that is replaced before the server has delivered it would be told as missed.
    let options = NatsOptions { history: 16, ..NatsOptions::default() };
    let store = NatsStore::connect(&server.url("changes"), &options, SystemClock::shared()).await.unwrap();
    put(&store, "policy/active", "0").await;
    let mut changes = store.watch("policy/").await.unwrap();
    let first = put(&store, "policy/active", "1").await;
    put(&store, "checkpoint/x", "1").await;
    store.delete("policy/active").await.unwrap();
    store.delete("policy/active").await.unwrap();
    let change = |kind, version| Change { key: "policy/active".into(), version, kind };
    assert_eq!(changes.next().await.unwrap().unwrap(), change(ChangeKind::Put, first));
    assert_eq!(changes.next().await.unwrap().unwrap(), change(ChangeKind::Deleted, first + 2));
    assert!(nothing(&mut changes), "deleting what is not there is no change");
    drop(store);
    assert!(changes.next().await.is_none());
}
