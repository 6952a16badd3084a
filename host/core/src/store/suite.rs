//! Tests every engine alike.
//!
//! `store_suite!(async |clock| …)` makes a test module; the closure returns an empty store dated by `clock`. Partial
//! engines return an `Option` from `async |test, clock|` and name their tests.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::missing_panics_doc)]

use super::watch::BACKLOG;
use super::{Change, ChangeKind, Entry, KEY_LIMIT, Listed, Store, StoreError, VALUE_LIMIT};
use crate::clock::Clock;
use crate::testing::DrivenClock;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use std::time::Duration;

const TEXT: &str = "text/plain";

#[macro_export]
#[doc(hidden)]
macro_rules! store_suite {
    ($make:expr) => {
        $crate::store_suite! { async |_, clock| Some($make(clock).await);
            what_is_put_is_got_with_its_version_and_date,
            of_two_writers_who_read_the_same_version_one_writes,
            a_key_that_is_written_again_after_its_deletion_gets_no_old_version,
            concurrent_increments_lose_nothing,
            keys_are_listed_by_prefix_in_order,
            keys_and_values_out_of_bounds_are_refused,
            values_of_each_size_are_got_as_they_were_put,
            what_is_asked_for_at_the_same_time_is_judged_one_after_the_other,
            a_watcher_sees_the_changes_under_its_prefix_in_order_and_the_end,
            a_watcher_that_falls_behind_learns_of_it,
        }
    };
    ($make:expr; $($test:ident,)*) => {
        mod suite {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    let clock = $crate::testing::DrivenClock::new();
                    let make = $make;
                    let Some(store) = make(stringify!($test), clock.shared()).await else { return };
                    $crate::store::suite::$test(store, clock).await;
                }
            )*
        }
    };
}
pub async fn what_is_put_is_got_with_its_version_and_date(store: impl Store, clock: DrivenClock) {
    assert_eq!(store.get("a").await.unwrap(), None);
    let first = store.put("a", "1".into(), TEXT).await.unwrap();
    clock.advance(Duration::from_secs(5));
    let second = store.put("a", "2".into(), TEXT).await.unwrap();
    assert!(second > first);
    let entry = store.get("a").await.unwrap().unwrap();
    assert_eq!(entry, Entry { value: "2".into(), content_type: TEXT.into(), version: second, modified: clock.wall() });
    assert_eq!(store.list("").await.unwrap(), [Listed { key: "a".into(), version: second, modified: clock.wall() }]);
    assert!(store.delete("a").await.unwrap());
    assert!(!store.delete("a").await.unwrap());
    assert_eq!(store.get("a").await.unwrap(), None);
}

pub async fn of_two_writers_who_read_the_same_version_one_writes(store: impl Store, _: DrivenClock) {
    let version = store.compare_and_set("a", None, "1".into(), TEXT).await.unwrap();
    let new = store.compare_and_set("a", Some(version), "2".into(), TEXT).await.unwrap();
    for expected in [Some(version), None] {
        let conflict = store.compare_and_set("a", expected, "3".into(), TEXT).await.unwrap_err();
        assert!(
            matches!(&conflict, StoreError::Conflict { key, expected: was, found } if key == "a" && *was == expected && *found == Some(new)),
            "{conflict}"
        );
    }
    assert_eq!(store.get("a").await.unwrap().unwrap().value, "2");
    assert!(!store.compare_and_delete("a", version).await.unwrap());
    assert!(store.compare_and_delete("a", new).await.unwrap());
    assert!(!store.compare_and_delete("a", new).await.unwrap());
    let absent = store.compare_and_set("a", Some(new), "4".into(), TEXT).await.unwrap_err();
    assert_eq!(
        absent.to_string(),
        format!("version conflict on \"a\": expected version {new}, found no version; read it again before writing")
    );
}

pub async fn a_key_that_is_written_again_after_its_deletion_gets_no_old_version(store: impl Store, _: DrivenClock) {
    let before = store.put("a", "1".into(), TEXT).await.unwrap();
    store.delete("a").await.unwrap();
    assert!(store.compare_and_set("a", None, "2".into(), TEXT).await.unwrap() > before);
}

pub async fn concurrent_increments_lose_nothing(store: impl Store, _: DrivenClock) {
    let increment = async || {
        let entry = store.get("n").await.unwrap();
        let number = entry.as_ref().map_or(0, |entry| String::from_utf8_lossy(&entry.value).parse::<u32>().unwrap());
        let next = Bytes::from((number + 1).to_string());
        store.compare_and_set("n", entry.map(|entry| entry.version), next, TEXT).await
    };
    std::thread::scope(|scope| {
        let increment = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                for _ in 0..100 {
                    while increment().await.is_err() {}
                }
            });
        };
        (0..4).for_each(|_| drop(scope.spawn(increment)));
    });
    assert_eq!(store.get("n").await.unwrap().unwrap().value, "400");
}

pub async fn keys_are_listed_by_prefix_in_order(store: impl Store, _: DrivenClock) {
    let mut versions = Vec::new();
    for key in ["b/2", "a/1", "b", "b/10", "c", "b/ü", "b0"] {
        versions.push((key, store.put(key, Bytes::new(), TEXT).await.unwrap()));
    }
    versions.sort_unstable();
    let listed = store.list("").await.unwrap();
    assert!(listed.iter().map(|listed| (listed.key.as_str(), listed.version)).eq(versions));
    let keys = async |prefix| store.list(prefix).await.unwrap().into_iter().map(|listed| listed.key).collect::<Vec<_>>();
    assert_eq!(keys("b/").await, ["b/10", "b/2", "b/ü"]);
    assert_eq!(keys("b").await, ["b", "b/10", "b/2", "b/ü", "b0"]);
    assert!(keys("d").await.is_empty());
}

pub async fn keys_and_values_out_of_bounds_are_refused(store: impl Store, _: DrivenClock) {
    assert!(matches!(store.get("").await, Err(StoreError::KeyInvalid { length: 0, .. })));
    let long = "ü".repeat(KEY_LIMIT / 2);
    assert!(store.put(&long, Bytes::new(), TEXT).await.is_ok());
    assert!(matches!(store.put(&(long + "x"), Bytes::new(), TEXT).await, Err(StoreError::KeyInvalid { length: 513, .. })));
    let value = Bytes::from(vec![0; VALUE_LIMIT + 1]);
    assert!(store.put("a", value.slice(1..), TEXT).await.is_ok());
    assert!(matches!(store.put("a", value, TEXT).await, Err(StoreError::ValueTooLarge { .. })));
    assert_eq!(store.get("a").await.unwrap().unwrap().value.len(), VALUE_LIMIT);
}

pub async fn values_of_each_size_are_got_as_they_were_put(store: impl Store, _: DrivenClock) {
    let value = |length: usize, seed: u8| Bytes::from_iter((0..length).map(|index| (index / 251) as u8 ^ index as u8 ^ seed));
    let sizes = [0, 1, 2047, 2048, 2049, 4096, 65_471, 65_472, 65_473, 200_000];
    for key in ["same", "each"] {
        for (seed, size) in (0..).zip(sizes.into_iter().chain(sizes.into_iter().rev())) {
            let key = if key == "same" { key.to_owned() } else { format!("{key}/{size}") };
            store.put(&key, value(size, seed), TEXT).await.unwrap();
            assert!(store.get(&key).await.unwrap().unwrap().value == value(size, seed), "{key}, {size} bytes");
        }
    }
    for size in sizes {
        assert!(store.delete(&format!("each/{size}")).await.unwrap());
    }
    assert_eq!(store.list("").await.unwrap().len(), 1);
}

pub async fn what_is_asked_for_at_the_same_time_is_judged_one_after_the_other(store: impl Store, _: DrivenClock) {
    let answers = join_all((0..100).map(|number| {
        let store = &store;
        async move {
            match number % 10 {
                0 => store.compare_and_set("only", None, number.to_string().into(), TEXT).await,
                _ => store.put(&number.to_string(), Bytes::new(), TEXT).await,
            }
        }
    }))
    .await;
    let mut versions: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 91, "each change has a version of its own");
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(StoreError::Conflict { .. }))).count(), 9);
    assert_eq!(store.list("").await.unwrap().len(), 91);
}

pub async fn a_watcher_sees_the_changes_under_its_prefix_in_order_and_the_end(store: impl Store, _: DrivenClock) {
    store.put("policy/active", "0".into(), TEXT).await.unwrap();
    let mut changes = store.watch("policy/").await.unwrap();
    let put = store.put("policy/active", "1".into(), TEXT).await.unwrap();
    store.put("checkpoint/x", "1".into(), TEXT).await.unwrap();
    store.delete("policy/active").await.unwrap();
    store.delete("policy/active").await.unwrap();
    let change = |kind, version| Change { key: "policy/active".into(), version, kind };
    assert_eq!(changes.next().await.unwrap().unwrap(), change(ChangeKind::Put, put));
    assert_eq!(changes.next().await.unwrap().unwrap(), change(ChangeKind::Deleted, put + 2));
    assert!(changes.next().now_or_never().is_none(), "deleting what is not there is no change");
    drop(store);
    assert!(changes.next().await.is_none());
}

pub async fn a_watcher_that_falls_behind_learns_of_it(store: impl Store, _: DrivenClock) {
    let mut changes = store.watch("").await.unwrap();
    for _ in 0..BACKLOG + 3 {
        store.put("a", Bytes::new(), TEXT).await.unwrap();
    }
    assert!(matches!(changes.next().await, Some(Err(StoreError::ChangesMissed { count: 3 }))));
    assert_eq!(changes.next().await.unwrap().unwrap().version, 4);
}
