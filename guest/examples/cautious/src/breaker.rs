//! The default breaker, plus a count of resource failures.
//!
//! The memory wraps the default breaker's, so its other rules stay.

use alloc::vec::Vec;
use upright_policy_parts::memory::{opened, sealed};
use upright_policy_parts::verdict::trip;
use upright_policy_parts::window::nanoseconds;
use upright_shim::logic::breaker::{self, BreakerConfig, BreakerState, Event, Observation, Phase, Transition};
use upright_shim::logic::types::{Classification, ErrorCategory, Instant};

/// Layout number of the memory.
pub const STATE_LAYOUT: u32 = 0x23;

/// Number of resource failures within `failure_window` that opens the breaker, despite successes between.
pub const RESOURCE_FAILURES: u32 = 2;

const COUNT_BYTES: usize = 12;

pub(crate) fn is_resource(meaning: &Classification) -> bool {
    meaning.category == ErrorCategory::Resource
}

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    last: Instant,
}

fn read(state: &BreakerState) -> (Count, Vec<u8>) {
    let remembered = || {
        let mut bytes = opened(STATE_LAYOUT, &state.memory)?;
        let count = Count { failures: bytes.u32()?, last: bytes.u64()? };
        let rest = state.memory.len().checked_sub(4)?;
        Some((count, state.memory.get(COUNT_BYTES..rest)?.to_vec()))
    };
    remembered().unwrap_or((Count { failures: 0, last: state.since }, Vec::new()))
}

fn write(count: Count, default: &[u8]) -> Vec<u8> {
    sealed(STATE_LAYOUT, [&count.failures.to_le_bytes()[..], &count.last.to_le_bytes(), default].concat())
}

pub(crate) fn step(config: &BreakerConfig, state: BreakerState, seen: &Observation, resource: bool) -> Transition {
    let current = |generation| generation == state.generation;
    let counts = match seen.event {
        Event::Elapsed => false,
        Event::Success(generation) | Event::Failure(generation) | Event::Ignored(generation) => current(generation),
    };
    if state.phase != Phase::Closed || !counts {
        return breaker::step(config, state, seen);
    }
    let (mut count, memory) = read(&state);
    if seen.now.saturating_sub(count.last) > nanoseconds(config.failure_window) {
        count.failures = 0;
    }
    if resource && matches!(seen.event, Event::Failure(_)) {
        count = Count { failures: count.failures.saturating_add(1), last: seen.now };
        if count.failures >= RESOURCE_FAILURES {
            return trip(config, state, seen.now);
        }
    }
    let mut next = breaker::step(config, BreakerState { memory, ..state }, seen);
    if next.state.phase == Phase::Closed {
        next.state.memory = write(count, &next.state.memory);
    }
    next
}
