//! Policies for a fleet: objects by name.

use crate::{connect, nothing, shared};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::BTreeMap;
use upright::clock::{Clock, SystemClock};
use upright::store::{ChangeKind, StoreError};
use upright::testing::DrivenClock;

fn facts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn an_object_is_got_as_it_was_put_with_its_digest_and_facts() {
    let Some(server) = shared("an_object_is_got_as_it_was_put_with_its_digest_and_facts") else { return };
    let clock = DrivenClock::new();
    let store = connect(&server.url("objects"), clock.shared()).await;
    assert_eq!(store.get_object("a").await.unwrap(), None);
    for value in ["", "abc", &"x".repeat(300_000)] {
        let told = facts(&[("signed-by", "me"), ("ü", "\r\n\"")]);
        let put = store.put_object("policies/a b.wasm", Bytes::from(value.to_owned()), told.clone()).await.unwrap();
        let (got, bytes) = store.get_object("policies/a b.wasm").await.unwrap().unwrap();
        assert!(bytes == value.as_bytes());
        assert_eq!((got.name.as_str(), got.size, &got.facts, got.modified), ("policies/a b.wasm", value.len() as u64, &told, clock.wall()));
        assert_eq!(got, put);
    }
    let put = store.put_object("b", "abc".into(), BTreeMap::new()).await.unwrap();
    assert_eq!(put.sha256.as_deref(), Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    let names = async || store.list_objects().await.unwrap().into_iter().map(|object| object.name).collect::<Vec<_>>();
    assert_eq!(names().await, ["b", "policies/a b.wasm"]);
    assert!(store.delete_object("b").await.unwrap());
    assert!(!store.delete_object("b").await.unwrap());
    assert_eq!(store.get_object("b").await.unwrap(), None);
    assert_eq!(names().await, ["policies/a b.wasm"]);
}

#[tokio::test]
async fn an_object_whose_bytes_are_others_than_were_put_there_is_corrupt() {
    let Some(server) = shared("an_object_whose_bytes_are_others") else { return };
    let store = connect(&server.url("tampered"), SystemClock::shared()).await;
    store.put_object("a", "abc".into(), BTreeMap::new()).await.unwrap();
    server.ask("$JS.API.STREAM.PURGE.OBJ_tampered-policies", &[], r#"{"filter":"$O.tampered-policies.C.>"}"#).await;
    assert!(matches!(store.get_object("a").await, Err(StoreError::Corrupt { key, .. }) if key == "a"));
    store.put_object("a", "abd".into(), BTreeMap::new()).await.unwrap();
    assert_eq!(store.get_object("a").await.unwrap().unwrap().1, "abd");
}

#[tokio::test]
async fn a_watcher_of_objects_sees_what_is_published_and_deleted_on_another_host() {
    let Some(server) = shared("a_watcher_of_objects_sees_what_is_published") else { return };
    let (publisher, host) =
        (connect(&server.url("published"), SystemClock::shared()).await, connect(&server.url("published"), SystemClock::shared()).await);
    publisher.put_object("before", "0".into(), BTreeMap::new()).await.unwrap();
    let mut changes = host.watch_objects().await.unwrap();
    let put = publisher.put_object("a", "1".into(), facts(&[("version", "2")])).await.unwrap();
    let seen = changes.next().await.unwrap().unwrap();
    assert_eq!(
        (seen.kind, &seen.object.facts, seen.object.version, &seen.object.sha256),
        (ChangeKind::Put, &put.facts, put.version, &put.sha256)
    );
    assert_eq!(host.get_object("a").await.unwrap().unwrap().1, "1");
    publisher.delete_object("a").await.unwrap();
    let seen = changes.next().await.unwrap().unwrap();
    assert_eq!((seen.kind, seen.object.name.as_str()), (ChangeKind::Deleted, "a"));
    assert!(nothing(&mut changes));
    drop(host);
    assert!(changes.next().await.is_none());
}
