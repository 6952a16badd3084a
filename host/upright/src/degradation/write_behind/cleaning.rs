//! Keeps a cache's store within its limits. The store lists no sizes, so unknown ones are read, youngest first, up to
//! the limit.

use super::WriteBehind;
use super::label::PREFIX;
use crate::degradation::CacheLimits;
use crate::store::{Listed, StoreError};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use upright_core::clock::{Instant, nanoseconds};

/// Minimum and maximum time between cleanings by age.
const BETWEEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

#[derive(Default)]
pub(super) struct Cleaning {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Due at once at first: an earlier process may have left much.
    due: Instant,
    bytes: u64,
    entries: u64,
    sizes: HashMap<String, (u64, u64)>,
}

impl Cleaning {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wrote(&self, stored: String, version: u64, bytes: u64, limits: &CacheLimits, now: Instant) -> bool {
        let mut state = self.state();
        if state.sizes.len() as u64 > limits.max_entries.saturating_mul(2) {
            state.sizes.clear();
        }
        state.sizes.insert(stored, (version, bytes));
        state.bytes = state.bytes.saturating_add(bytes);
        state.entries += 1;
        let due = now >= state.due || state.bytes > limits.max_bytes / 8 || state.entries > limits.max_entries / 8;
        if due {
            let wait = limits.max_age.unwrap_or(BETWEEN.1) / 8;
            state.due = now.saturating_add(nanoseconds(wait.clamp(BETWEEN.0, BETWEEN.1)));
            (state.bytes, state.entries) = (0, 0);
        }
        due
    }

    fn known(&self, listed: &Listed) -> Option<u64> {
        self.state().sizes.get(&listed.key).filter(|(version, _)| *version == listed.version).map(|(_, bytes)| *bytes)
    }

    fn learn(&self, listed: &Listed, bytes: u64) {
        self.state().sizes.insert(listed.key.clone(), (listed.version, bytes));
    }

    /// Forgets sizes of removed entries; later writes have a version above `newest`.
    fn only(&self, kept: &[Listed], newest: u64) {
        let kept: HashSet<_> = kept.iter().map(|listed| listed.key.as_str()).collect();
        self.state().sizes.retain(|key, (version, _)| *version > newest || kept.contains(key.as_str()));
    }
}

struct Running(Arc<WriteBehind>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.queue().cleaning = false;
        self.0.idle.notify_waiters();
    }
}

impl WriteBehind {
    pub(super) async fn clean(self: Arc<Self>) {
        let running = Running(self);
        if let Err(error) = running.0.clean_now().await {
            running.0.failed(&error);
        }
    }

    async fn clean_now(&self) -> Result<(), StoreError> {
        let CacheLimits { max_bytes, max_entries, .. } = self.options.limits;
        let mut listed = self.limited(self.store.list(PREFIX)).await?;
        listed.sort_unstable_by_key(|entry| Reverse((entry.modified, entry.version)));
        let newest = listed.iter().map(|entry| entry.version).max().unwrap_or(0);
        let now = self.calendar.now();
        let is_old = |entry: &Listed| self.options.limits.expired(now.duration_since(entry.modified).unwrap_or_default());
        let within = listed.iter().take_while(|entry| !is_old(entry)).count().min(usize::try_from(max_entries).unwrap_or(usize::MAX));
        let mut bytes = 0_u64;
        let mut kept = 0;
        for entry in &listed[..within] {
            let size = match self.cleaning.known(entry) {
                Some(size) => size,
                None => self.read_size(entry).await?,
            };
            bytes = bytes.saturating_add(size);
            if bytes > max_bytes {
                break;
            }
            kept += 1;
        }
        let beyond = listed.split_off(kept);
        let removed = self.remove_all(beyond).await?;
        self.cleaning.only(&listed, newest);
        self.counts.removed(removed);
        Ok(())
    }

    async fn read_size(&self, listed: &Listed) -> Result<u64, StoreError> {
        let entry = self.limited(self.store.get(&listed.key)).await?.filter(|entry| entry.version == listed.version);
        let size = entry.map_or(0, |entry| (entry.value.len() + listed.key.len()) as u64);
        self.cleaning.learn(listed, size);
        Ok(size)
    }

    pub(super) async fn remove_all(&self, listed: Vec<Listed>) -> Result<u64, StoreError> {
        let mut removed = 0;
        for Listed { key, version, .. } in listed {
            removed += u64::from(self.limited(self.store.compare_and_delete(&key, version)).await?);
        }
        Ok(removed)
    }
}
