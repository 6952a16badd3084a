//! A bucket of tokens that fills with time, in one atomic word.
//!
//! The word holds the moment at which the bucket was, or would have been, empty, on a scale of its own: [`TOKEN`] units a token. So what is in the bucket is the
//! distance from that moment to now, taking a token moves the moment by one token, and filling needs no write at all. Looking and taking are one
//! compare-and-swap, so that two threads cannot take the last token both. (The virtual scheduling algorithm of ITU-T I.371.)

use crate::sync::{AtomicU64, Ordering};

/// Units of a token: parts of one come in with time.
const TOKEN: u64 = 1 << 20;

/// What fills the bucket is counted from here, so that a full bucket has room below.
const ORIGIN: u64 = 1 << 56;

/// The most tokens that a bucket may hold.
pub(super) const LARGEST: u32 = 1_000_000_000;

pub(super) struct Bucket {
    /// When the bucket was empty.
    empty_at: AtomicU64,
    /// How much it holds, in units.
    capacity: u64,
    /// Units that come in each nanosecond.
    rate: f64,
}

impl Bucket {
    /// A full bucket. `capacity` is in tokens, at most [`LARGEST`], `per_second` finite and not negative.
    pub(super) fn full(capacity: u32, per_second: f64) -> Self {
        let capacity = u64::from(capacity.min(LARGEST)) * TOKEN;
        Self { empty_at: AtomicU64::new(ORIGIN - capacity), capacity, rate: per_second * TOKEN as f64 / 1e9 }
    }

    /// Where the scale stands, so many nanoseconds after the bucket was made.
    fn now(&self, age: u64) -> u64 {
        // What no `u64` can hold becomes the largest: from then on nothing comes in, after centuries.
        ORIGIN.saturating_add((age as f64 * self.rate) as u64)
    }

    /// Whole tokens that are in it.
    pub(super) fn left(&self, age: u64) -> u32 {
        let now = self.now(age);
        let units = now.saturating_sub(self.empty_at.load(Ordering::Acquire)).min(self.capacity);
        // At most `LARGEST`.
        (units / TOKEN) as u32
    }

    /// Takes a token, if there is one, and tells how many whole ones are left.
    pub(super) fn take(&self, age: u64) -> Option<u32> {
        let now = self.now(age);
        let mut empty_at = self.empty_at.load(Ordering::Acquire);
        loop {
            // A bucket that has been full for long gains nothing more.
            let from = empty_at.max(now.saturating_sub(self.capacity));
            let left = now.saturating_sub(from).checked_sub(TOKEN)?;
            match self.empty_at.compare_exchange_weak(empty_at, from + TOKEN, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some((left / TOKEN) as u32),
                Err(changed) => empty_at = changed,
            }
        }
    }

    /// Puts a token back that was taken.
    pub(super) fn put_back(&self) {
        self.empty_at.fetch_sub(TOKEN, Ordering::AcqRel);
    }
}
