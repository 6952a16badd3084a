//! Stores values in memory, for tests and volatile state.

use super::watch::Watchers;
use super::{Change, ChangeKind, Changes, Entry, Listed, Store, StoreError, StoreFuture, check_key, check_value};
use crate::clock::{SharedClock, SystemClock};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps values in memory. Clones share them.
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
    watchers: Watchers,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_clock(SystemClock::shared())
    }
}

impl MemoryStore {
    /// An empty store dated by `clock`.
    pub fn with_clock(clock: SharedClock) -> Self {
        let state = State { entries: BTreeMap::new(), version: 0, watchers: Watchers::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), clock }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
    /// Watchers see changes in lock order.
    fn changed(&mut self, key: &str, kind: ChangeKind) -> u64 {
        self.version += 1;
        self.watchers.tell(Change { key: key.to_owned(), version: self.version, kind });
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
        Box::pin(ready(Ok(self.state().watchers.watch(prefix))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::store_suite!(async |clock| MemoryStore::with_clock(clock));
}
