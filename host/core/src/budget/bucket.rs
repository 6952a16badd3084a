//! Fills a token bucket over time, in one atomic word.
//!
//! The word is the moment when the bucket was empty; its content is the distance to now. Taking moves it by [`TOKEN`];
//! filling writes nothing. One compare-and-swap looks and takes: two threads cannot take the last token. (ITU-T I.371,
//! virtual scheduling.)

use crate::sync::{AtomicU64, Ordering};

/// Units per token.
const TOKEN: u64 = 1 << 20;

/// Scale start: a full bucket fits below.
const ORIGIN: u64 = 1 << 56;

pub(super) const LARGEST: u32 = 1_000_000_000;

pub(super) struct Bucket {
    empty_at: AtomicU64,
    /// In units.
    capacity: u64,
    /// Units per nanosecond.
    rate: f64,
}

impl Bucket {
    /// `per_second`: finite, not negative.
    pub(super) fn full(capacity: u32, per_second: f64) -> Self {
        let capacity = u64::from(capacity.min(LARGEST)) * TOKEN;
        Self { empty_at: AtomicU64::new(ORIGIN - capacity), capacity, rate: per_second * TOKEN as f64 / 1e9 }
    }

    /// Age in nanoseconds.
    fn now(&self, age: u64) -> u64 {
        // Saturates after centuries.
        ORIGIN.saturating_add((age as f64 * self.rate) as u64)
    }

    pub(super) fn left(&self, age: u64) -> u32 {
        let now = self.now(age);
        let units = now.saturating_sub(self.empty_at.load(Ordering::Acquire)).min(self.capacity);
        (units / TOKEN) as u32
    }

    /// Returns whole tokens left.
    pub(super) fn take(&self, age: u64) -> Option<u32> {
        let now = self.now(age);
        let mut empty_at = self.empty_at.load(Ordering::Acquire);
        loop {
            // A full bucket gains nothing.
            let from = empty_at.max(now.saturating_sub(self.capacity));
            let left = now.saturating_sub(from).checked_sub(TOKEN)?;
            match self.empty_at.compare_exchange_weak(empty_at, from + TOKEN, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some((left / TOKEN) as u32),
                Err(changed) => empty_at = changed,
            }
        }
    }

    pub(super) fn put_back(&self) {
        self.empty_at.fetch_sub(TOKEN, Ordering::AcqRel);
    }
}
