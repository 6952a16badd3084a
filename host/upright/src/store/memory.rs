//! A store in memory: for tests, and for programs that need nothing to survive them.

use super::{Change, ChangeKind, Changes, Entry, Listed, Store, StoreError, StoreFuture, check_key, check_value};
use crate::clock::{SharedClock, SystemClock};
use bytes::Bytes;
use futures_util::stream;
use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast::{self, error::RecvError};

/// So many changes wait for a slow watcher before it misses the oldest.
const BACKLOG: usize = 1024;

/// Keeps values in memory. Cloning shares them.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    clock: SharedClock,
}

struct State {
    entries: BTreeMap<String, Entry>,
    version: u64,
    changes: broadcast::Sender<Change>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(SystemClock::shared())
    }
}

impl MemoryStore {
    /// An empty store that dates its entries by this clock.
    pub fn new(clock: SharedClock) -> Self {
        let state = State { entries: BTreeMap::new(), version: 0, changes: broadcast::channel(BACKLOG).0 };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), clock }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes if `may` allows it, given the version that is there.
    fn write(
        &self,
        key: &str,
        value: Bytes,
        content_type: &str,
        may: impl FnOnce(Option<u64>) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        check_key(key)?;
        check_value(key, &value)?;
        let modified = self.shared.clock.wall();
        let mut state = self.state();
        may(state.entries.get(key).map(|entry| entry.version))?;
        let version = state.changed(key, ChangeKind::Put);
        state.entries.insert(key.to_owned(), Entry { value, content_type: content_type.to_owned(), version, modified });
        Ok(version)
    }

    fn remove(&self, key: &str, may: impl FnOnce(u64) -> bool) -> Result<bool, StoreError> {
        check_key(key)?;
        let mut state = self.state();
        let removed = state.entries.get(key).is_some_and(|entry| may(entry.version));
        if removed {
            state.entries.remove(key);
            state.changed(key, ChangeKind::Deleted);
        }
        Ok(removed)
    }
}

impl State {
    /// Makes a new version and tells the watchers, who see changes in the order in which the lock was held.
    fn changed(&mut self, key: &str, kind: ChangeKind) -> u64 {
        self.version += 1;
        // Without watchers nobody gets it, which is no failure.
        let _ = self.changes.send(Change { key: key.to_owned(), version: self.version, kind });
        self.version
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            check_key(key)?;
            Ok(self.state().entries.get(key).cloned())
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move { self.write(key, value, content_type, |_| Ok(())) })
    }

    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let may = |found| if found == expected { Ok(()) } else { Err(StoreError::Conflict { key: key.to_owned(), expected, found }) };
            self.write(key, value, content_type, may)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move { self.remove(key, |_| true) })
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool> {
        Box::pin(async move { self.remove(key, |version| version == expected) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(async move {
            let state = self.state();
            let from = state.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            let listed = |(key, entry): (&String, &Entry)| Listed { key: key.clone(), version: entry.version, modified: entry.modified };
            Ok(from.take_while(|(key, _)| key.starts_with(prefix)).map(listed).collect())
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes> {
        let watcher = (self.state().changes.subscribe(), prefix.to_owned());
        Box::pin(ready(Ok(Box::pin(stream::unfold(watcher, next_change)) as Changes)))
    }
}

type Watcher = (broadcast::Receiver<Change>, String);

async fn next_change((mut changes, prefix): Watcher) -> Option<(Result<Change, StoreError>, Watcher)> {
    loop {
        let change = match changes.recv().await {
            Ok(change) if change.key.starts_with(&prefix) => Ok(change),
            Ok(_) => continue,
            Err(RecvError::Lagged(count)) => Err(StoreError::ChangesMissed { count }),
            Err(RecvError::Closed) => return None,
        };
        return Some((change, (changes, prefix)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{KEY_LIMIT, VALUE_LIMIT};
    use crate::testing::DrivenClock;
    use futures_util::{FutureExt, StreamExt};
    use std::time::Duration;

    const TEXT: &str = "text/plain";

    #[tokio::test]
    async fn what_is_put_is_got_with_its_version_and_date() {
        let clock = DrivenClock::new();
        let store = MemoryStore::new(clock.shared());
        assert_eq!(store.get("a").await.unwrap(), None);
        let first = store.put("a", "1".into(), TEXT).await.unwrap();
        clock.advance(Duration::from_secs(5));
        let second = store.put("a", "2".into(), TEXT).await.unwrap();
        assert!(second > first);
        let entry = store.get("a").await.unwrap().unwrap();
        let expected = Entry { value: "2".into(), content_type: TEXT.into(), version: second, modified: crate::clock::Clock::wall(&clock) };
        assert_eq!(entry, expected);
        assert!(store.delete("a").await.unwrap());
        assert!(!store.delete("a").await.unwrap());
        assert_eq!(store.get("a").await.unwrap(), None);
    }

    #[tokio::test]
    async fn of_two_writers_who_read_the_same_version_one_writes() {
        let store = MemoryStore::default();
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
        let absent = store.compare_and_set("a", Some(new), "4".into(), TEXT).await.unwrap_err();
        assert_eq!(absent.to_string(), format!("\"a\" was to be at version {new}, but is at no version"));
    }

    #[tokio::test]
    async fn a_key_that_is_written_again_after_its_deletion_gets_no_old_version() {
        let store = MemoryStore::default();
        let before = store.put("a", "1".into(), TEXT).await.unwrap();
        store.delete("a").await.unwrap();
        assert!(store.compare_and_set("a", None, "2".into(), TEXT).await.unwrap() > before);
    }

    #[test]
    fn concurrent_increments_lose_nothing() {
        /// This store answers at once.
        fn now<T>(answer: StoreFuture<'_, T>) -> Result<T, StoreError> {
            answer.now_or_never().unwrap()
        }
        let store = MemoryStore::default();
        let increment = || {
            let entry = now(store.get("n")).unwrap();
            let number = entry.as_ref().map_or(0, |entry| String::from_utf8_lossy(&entry.value).parse::<u32>().unwrap());
            let next = Bytes::from((number + 1).to_string());
            now(store.compare_and_set("n", entry.map(|entry| entry.version), next, TEXT))
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| while increment().is_err() {}));
            }
        });
        assert_eq!(now(store.get("n")).unwrap().unwrap().value, "400");
    }

    #[tokio::test]
    async fn keys_are_listed_by_prefix_in_order() {
        let store = MemoryStore::default();
        for key in ["b/2", "a/1", "b", "b/10", "c", "b/ü", "b0"] {
            store.put(key, Bytes::new(), TEXT).await.unwrap();
        }
        let keys = async |prefix| store.list(prefix).await.unwrap().into_iter().map(|listed| listed.key).collect::<Vec<_>>();
        assert_eq!(keys("b/").await, ["b/10", "b/2", "b/ü"]);
        assert_eq!(keys("").await, ["a/1", "b", "b/10", "b/2", "b/ü", "b0", "c"]);
        assert!(keys("d").await.is_empty());
    }

    #[tokio::test]
    async fn keys_and_values_out_of_bounds_are_refused() {
        let store = MemoryStore::default();
        assert!(matches!(store.get("").await, Err(StoreError::KeyInvalid { length: 0, .. })));
        let long = "ü".repeat(KEY_LIMIT / 2);
        assert!(store.put(&long, Bytes::new(), TEXT).await.is_ok());
        assert!(matches!(store.put(&(long + "x"), Bytes::new(), TEXT).await, Err(StoreError::KeyInvalid { length: 513, .. })));
        let value = Bytes::from(vec![0; VALUE_LIMIT + 1]);
        assert!(store.put("a", value.slice(1..), TEXT).await.is_ok());
        assert!(matches!(store.put("a", value, TEXT).await, Err(StoreError::ValueTooLarge { .. })));
    }

    #[tokio::test]
    async fn a_watcher_sees_the_changes_under_its_prefix_in_order_and_the_end() {
        let store = MemoryStore::default();
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

    #[tokio::test]
    async fn a_watcher_that_falls_behind_is_told_so() {
        let store = MemoryStore::default();
        let mut changes = store.watch("").await.unwrap();
        for _ in 0..BACKLOG + 3 {
            store.put("a", Bytes::new(), TEXT).await.unwrap();
        }
        assert!(matches!(changes.next().await, Some(Err(StoreError::ChangesMissed { count: 3 }))));
        assert_eq!(changes.next().await.unwrap().unwrap().version, 4);
    }
}
