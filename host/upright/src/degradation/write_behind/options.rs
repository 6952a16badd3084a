//! Options and counters of the store behind a cache.

use crate::degradation::CacheLimits;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a cache uses the store behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCacheOptions {
    /// Limits of the stored responses. Cleaning waits for an eighth of a limit or of `max_age`; the oldest go first.
    pub limits: CacheLimits,
    /// Maximum time a call waits for the store; 50 ms by default. Later answers serve the next call.
    pub read_limit: Duration,
    /// Maximum number of responses waiting to be written; 1024 by default. The oldest are dropped.
    pub max_waiting: usize,
    /// Maximum bytes of waiting responses in memory; 16 MiB by default. A larger response is not stored.
    pub max_waiting_bytes: u64,
}

impl Default for StoredCacheOptions {
    fn default() -> Self {
        Self { limits: CacheLimits::default(), read_limit: Duration::from_millis(50), max_waiting: 1024, max_waiting_bytes: 16 << 20 }
    }
}

/// Counters of a cache's store. All zero without a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Number of responses written.
    pub written: u64,
    /// Number of store accesses that failed or timed out.
    pub failed: u64,
    /// Number of responses dropped because the queue was full.
    pub dropped: u64,
    /// Number of responses replaced under their key before they were written.
    pub coalesced: u64,
    /// Number of responses read from the store.
    pub loaded: u64,
    /// Number of responses removed for age or limits.
    pub removed: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    written: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    coalesced: AtomicU64,
    loaded: AtomicU64,
    removed: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn written(&self) {
        add(&self.written, 1);
    }

    pub(super) fn failed(&self) {
        add(&self.failed, 1);
    }

    pub(super) fn dropped(&self, count: u64) {
        add(&self.dropped, count);
    }

    pub(super) fn coalesced(&self, count: u64) {
        add(&self.coalesced, count);
    }

    pub(super) fn loaded(&self) {
        add(&self.loaded, 1);
    }

    pub(super) fn removed(&self, count: u64) {
        add(&self.removed, count);
    }

    pub(super) fn read(&self) -> CacheCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheCounts {
            written: read(&self.written),
            failed: read(&self.failed),
            dropped: read(&self.dropped),
            coalesced: read(&self.coalesced),
            loaded: read(&self.loaded),
            removed: read(&self.removed),
        }
    }
}
