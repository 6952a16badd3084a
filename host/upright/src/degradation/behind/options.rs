//! What may be said of the store behind a cache, and what it has done.

use crate::degradation::CacheLimits;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a cache uses the store behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCacheOptions {
    /// What is stored at most. It is cleaned in the background, the oldest first: when an eighth of a limit has been written, or an eighth of `max_age` has
    /// passed. So for a while there may be an eighth more.
    pub limits: CacheLimits,
    /// A call that finds nothing in memory waits so long for the store at most; 50 ms by default. What the store has later is there for the next.
    pub read_limit: Duration,
    /// So many responses wait to be written at most; 1024 by default. Beyond that those that have waited longest are dropped.
    pub max_waiting: usize,
    /// So many bytes of responses wait at most, as they take them in memory; 16 MiB by default. A larger response is not stored.
    pub max_waiting_bytes: u64,
}

impl Default for StoredCacheOptions {
    fn default() -> Self {
        Self { limits: CacheLimits::default(), read_limit: Duration::from_millis(50), max_waiting: 1024, max_waiting_bytes: 16 << 20 }
    }
}

/// What became of a cache's responses in the store behind it. All zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Responses that were written.
    pub written: u64,
    /// What was asked of the store and failed, or took too long.
    pub failed: u64,
    /// Responses that were not written for want of room.
    pub dropped: u64,
    /// Responses that a later one under the same key replaced before they were written.
    pub coalesced: u64,
    /// Responses that were read from the store.
    pub loaded: u64,
    /// Responses that were removed from the store because they were too old or beyond its limits.
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
