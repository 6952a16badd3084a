//! Recent calls, counted in buckets.
//!
//! The memory is too small for each call's time. So the window is nine to ten tenths of `failure_window` long.

use alloc::vec::Vec;
use upright_policy_parts::memory::{opened, sealed};
use upright_policy_parts::window::{Call, Tally, Window, nanoseconds};
use upright_shim::logic::breaker::{BreakerConfig, BreakerState};
use upright_shim::logic::types::Instant;

/// Layout number of the memory of [`Buckets`].
pub const STATE_LAYOUT: u32 = 0x22;

/// Number of buckets in a window.
pub const BUCKETS: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    calls: u32,
    failures: u32,
    slow: u32,
}

/// Recent calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Length of a bucket in nanoseconds, at least 1.
    length: u64,
    /// Start of the newest bucket divided by its length.
    newest: u64,
    /// Time of the last report of successes.
    asked: Instant,
    /// Time of the last failed or slow call.
    last: Instant,
    /// Newest first.
    buckets: [Bucket; BUCKETS],
}

impl Buckets {
    fn empty(length: u64, since: Instant) -> Self {
        Self { length, newest: since / length, asked: since, last: since, buckets: [Bucket::default(); BUCKETS] }
    }

    /// If the setting changed, the buckets have another length and are useless.
    fn remembered(memory: &[u8], length: u64) -> Option<Self> {
        let mut bytes = opened(STATE_LAYOUT, memory)?;
        let mut window = Self::empty(length, 0);
        let same = bytes.u64()? == length;
        (window.newest, window.asked, window.last) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        for bucket in &mut window.buckets {
            *bucket = Bucket { calls: bytes.u32()?, failures: bytes.u32()?, slow: bytes.u32()? };
            if bucket.slow.max(bucket.failures) > bucket.calls {
                return None;
            }
        }
        (same && bytes.is_done()).then_some(window)
    }

    /// Makes the bucket of `now` the newest. A clock that stops or goes back moves nothing.
    fn advance(&mut self, now: Instant) {
        let steps = (now / self.length).saturating_sub(self.newest);
        self.newest += steps;
        let steps = usize::try_from(steps).unwrap_or(BUCKETS).min(BUCKETS);
        self.buckets.rotate_right(steps);
        self.buckets[..steps].fill(Bucket::default());
    }
}

impl Window for Buckets {
    const MOST: u64 = u64::MAX;

    fn read(config: &BreakerConfig, state: &BreakerState) -> Self {
        let length = (nanoseconds(config.failure_window) / BUCKETS as u64).max(1);
        Self::remembered(&state.memory, length).unwrap_or(Self::empty(length, state.since))
    }

    fn write(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(160);
        for number in [self.length, self.newest, self.asked, self.last] {
            contents.extend_from_slice(&number.to_le_bytes());
        }
        for number in self.buckets.iter().flat_map(|bucket| [bucket.calls, bucket.failures, bucket.slow]) {
            contents.extend_from_slice(&number.to_le_bytes());
        }
        sealed(STATE_LAYOUT, contents)
    }

    /// Successes have no times, so they are spread evenly up to now.
    fn succeeded(&mut self, calls: u64, now: Instant) {
        self.advance(now);
        let (span, asked) = (now.saturating_sub(self.asked), self.asked);
        let by = |instant: u64| match u128::from(span) {
            0 => 0,
            span => u128::from(calls) * u128::from(instant.clamp(asked, now) - asked) / span,
        };
        let mut after = u128::from(calls);
        for (age, bucket) in self.buckets.iter_mut().enumerate() {
            let number = self.newest.checked_sub(age as u64);
            let before = number.and_then(|number| number.saturating_mul(self.length).checked_sub(1)).map_or(0, by);
            bucket.calls = bucket.calls.saturating_add(u32::try_from(after - before).unwrap_or(u32::MAX));
            after = before;
        }
        self.asked = self.asked.max(now);
    }

    fn ended(&mut self, call: Call, now: Instant) {
        self.advance(now);
        let bucket = &mut self.buckets[0];
        bucket.calls = bucket.calls.saturating_add(1);
        bucket.failures = bucket.failures.saturating_add(call.failed.into());
        bucket.slow = bucket.slow.saturating_add(call.slow.into());
        self.asked = self.asked.max(now);
        self.last = now;
    }

    fn tally(&self) -> Tally {
        let sum = |of: fn(&Bucket) -> u32| self.buckets.iter().map(|bucket| u64::from(of(bucket))).sum();
        Tally { calls: sum(|bucket| bucket.calls), failures: sum(|bucket| bucket.failures), slow: sum(|bucket| bucket.slow) }
    }

    fn last_against(&self) -> Instant {
        self.last
    }
}
