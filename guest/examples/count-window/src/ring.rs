//! The last calls as bits, newest lowest.
//!
//! Shifts make a thousand successes cost as much as one.

use alloc::vec::Vec;
use upright_policy_parts::memory::{opened, sealed};
use upright_policy_parts::window::{Call, Tally, Window, nanoseconds};
use upright_shim::logic::breaker::{BreakerConfig, BreakerState};
use upright_shim::logic::types::Instant;

/// Layout number of the memory of [`Ring`].
pub const STATE_LAYOUT: u32 = 0x21;

/// Number of calls in the window: resilience4j's default, not a breaker setting.
pub const CALLS: u8 = 100;

const HELD: u128 = (1 << CALLS) - 1;

/// The last calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Time of the last failed or slow call.
    last: Instant,
    /// Maximum nanoseconds between such calls.
    apart: u64,
    calls: u8,
    failed: u128,
    slow: u128,
}

impl Ring {
    fn shift(&mut self, calls: u64) {
        let moved = |bits: u128| if calls >= u64::from(CALLS) { 0 } else { bits << calls & HELD };
        self.failed = moved(self.failed);
        self.slow = moved(self.slow);
        self.calls = u64::from(self.calls).saturating_add(calls).min(u64::from(CALLS)) as u8;
    }

    fn forget(&mut self, now: Instant) {
        if self.failed | self.slow != 0 && now.saturating_sub(self.last) > self.apart {
            (self.calls, self.failed, self.slow) = (0, 0, 0);
        }
    }

    fn remembered(memory: &[u8], apart: u64) -> Option<Self> {
        let mut bytes = opened(STATE_LAYOUT, memory)?;
        let ring = Self { apart, last: bytes.u64()?, calls: bytes.u8()?, failed: bytes.u128()?, slow: bytes.u128()? };
        let beyond = !0_u128 << u32::from(ring.calls.min(CALLS));
        let sound = ring.calls <= CALLS && (ring.failed | ring.slow) & beyond == 0;
        (sound && bytes.is_done()).then_some(ring)
    }
}

impl Window for Ring {
    const MOST: u64 = CALLS as u64;

    fn read(config: &BreakerConfig, state: &BreakerState) -> Self {
        let apart = nanoseconds(config.failure_window);
        Self::remembered(&state.memory, apart).unwrap_or(Self { last: state.since, apart, calls: 0, failed: 0, slow: 0 })
    }

    fn write(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(48);
        contents.extend_from_slice(&self.last.to_le_bytes());
        contents.push(self.calls);
        contents.extend_from_slice(&self.failed.to_le_bytes());
        contents.extend_from_slice(&self.slow.to_le_bytes());
        sealed(STATE_LAYOUT, contents)
    }

    fn succeeded(&mut self, calls: u64, now: Instant) {
        self.forget(now);
        self.shift(calls);
    }

    fn ended(&mut self, call: Call, now: Instant) {
        self.forget(now);
        self.shift(1);
        self.failed |= u128::from(call.failed);
        self.slow |= u128::from(call.slow);
        self.last = now;
    }

    fn tally(&self) -> Tally {
        let count = |bits: u128| u64::from(bits.count_ones());
        Tally { calls: u64::from(self.calls), failures: count(self.failed), slow: count(self.slow) }
    }

    fn last_against(&self) -> Instant {
        self.last
    }
}
