//! Circuit breaker as a state machine (`wit/breaker.wit`).
//!
//! Besides consecutive failures, a share of failures opens it: a service that fails four calls in five never fails many
//! in a row. A share of slow calls catches a service that answers too late.

use crate::backoff::sane;
use crate::types::{Instant, Seconds};
use alloc::vec::Vec;

/// Layout number of this breaker's `memory`.
pub const STATE_LAYOUT: u32 = 2;

named_enum! {
    /// Phase of a breaker.
    pub enum Phase {
        /// Admits all calls.
        Closed = "closed",
        /// Rejects all calls.
        Open = "open",
        /// Admits a few probes.
        HalfOpen = "half_open",
    }
}

/// Settings of a breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BreakerConfig {
    /// Number of consecutive failures that opens it, at least 1.
    pub failure_threshold: u32,
    /// Seconds from opening to the first probe, more than 0.
    pub recovery_timeout: Seconds,
    /// Number of successful probes that closes it, at least 1.
    pub success_threshold: u32,
    /// Maximum number of probes in flight, at least 1.
    pub half_open_permits: u32,
    /// Maximum seconds between failures that add up, more than 0.
    pub failure_window: Seconds,
    /// Share of failed calls that opens it, in (0, 1]; above 1 never.
    pub failure_rate_threshold: f64,
    /// Minimum number of calls before shares count, at least 1.
    pub minimum_calls: u32,
    /// Minimum seconds of a slow call, more than 0; `None` if no call is slow.
    #[cfg_attr(feature = "serde", serde(default))]
    pub slow_call_duration: Option<Seconds>,
    /// Share of slow calls that opens it, in (0, 1]; above 1 never.
    #[cfg_attr(feature = "serde", serde(default = "all_of_them"))]
    pub slow_call_rate_threshold: f64,
}

/// Default for older journals.
#[cfg(feature = "serde")]
const fn all_of_them() -> f64 {
    1.0
}

impl BreakerConfig {
    /// Whether a call of `took` seconds was slow.
    pub fn is_slow(&self, took: Seconds) -> bool {
        self.slow_call_duration.is_some_and(|duration| duration > 0.0 && took >= duration)
    }
}

impl Default for BreakerConfig {
    /// From the specification: 5 failures, 60 s, 2 successes. Five model timeouts fit the ten-minute window. No call is
    /// slow, because only the caller knows which are.
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            recovery_timeout: 60.0,
            success_threshold: 2,
            half_open_permits: 1,
            failure_window: 600.0,
            failure_rate_threshold: 0.5,
            minimum_calls: 20,
            slow_call_duration: None,
            slow_call_rate_threshold: 1.0,
        }
    }
}

/// State of a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BreakerState {
    /// Current phase.
    pub phase: Phase,
    /// Number of consecutive failures while closed.
    pub consecutive_failures: u32,
    /// Number of successful probes while half-open.
    pub half_open_successes: u32,
    /// Time when the phase began.
    pub since: Instant,
    /// Number of transitions.
    pub generation: u64,
    /// Private data of the policy. Empty is always valid.
    pub memory: Vec<u8>,
}

/// Calls that the host admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Admission {
    /// Admits all; slow successes are reported at once.
    All,
    /// Rejects all until this instant.
    NoneUntil(Instant),
    /// Admits at most this many calls in flight.
    Probes(u32),
}

/// Event, with the generation of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Event {
    /// `NoneUntil` passed and a caller waits.
    Elapsed,
    /// A call succeeded.
    Success(u64),
    /// A call failed, and it counts.
    Failure(u64),
    /// A call ended, but does not count.
    Ignored(u64),
}

/// Input of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Observation {
    /// Event of this step.
    pub event: Event,
    /// Time of the event.
    pub now: Instant,
    /// Number of earlier successes not yet reported.
    pub successes: u64,
    /// Duration of the call, seconds; 0 if not measured.
    #[cfg_attr(feature = "serde", serde(default))]
    pub took: Seconds,
}

/// Result of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Transition {
    /// Next state.
    pub state: BreakerState,
    /// Calls admitted in it.
    pub admission: Admission,
}

/// At least 1, so that no setting can freeze a breaker.
pub(crate) fn nanoseconds(span: Seconds) -> u64 {
    // The cast saturates.
    ((sane(span) * 1e9) as u64).max(1)
}

/// Current window in `memory`, little-endian.
struct Window {
    began: Instant,
    last_failure: Instant,
    calls: u32,
    failures: u32,
    slow: u32,
}

#[derive(Clone, Copy)]
struct Call {
    failed: bool,
    slow: bool,
}

fn next<const BYTES: usize>(rest: &mut &[u8]) -> [u8; BYTES] {
    rest.split_off(..BYTES).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; BYTES])
}

impl Window {
    const BYTES: usize = 28;

    /// Foreign bytes mean an empty window.
    fn read(state: &BreakerState) -> Self {
        let mut rest = state.memory.as_slice();
        if rest.len() != Self::BYTES {
            return Self { began: state.since, last_failure: state.since, calls: 0, failures: 0, slow: 0 };
        }
        let [began, last_failure] = [(); 2].map(|()| u64::from_le_bytes(next(&mut rest)));
        let [calls, failures, slow] = [(); 3].map(|()| u32::from_le_bytes(next(&mut rest)));
        Self { began, last_failure, calls, failures, slow }
    }

    fn write(&self, memory: &mut Vec<u8>) {
        memory.clear();
        memory.reserve_exact(Self::BYTES);
        memory.extend_from_slice(&self.began.to_le_bytes());
        memory.extend_from_slice(&self.last_failure.to_le_bytes());
        memory.extend_from_slice(&self.calls.to_le_bytes());
        memory.extend_from_slice(&self.failures.to_le_bytes());
        memory.extend_from_slice(&self.slow.to_le_bytes());
    }

    fn succeeded(&mut self, calls: u64) {
        self.calls = self.calls.saturating_add(u32::try_from(calls).unwrap_or(u32::MAX));
    }

    fn ended(&mut self, call: Call) {
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(call.failed.into());
        self.slow = self.slow.saturating_add(call.slow.into());
    }

    fn opens(&self, config: &BreakerConfig) -> bool {
        let reaches = |part: u32, threshold: f64| threshold > 0.0 && f64::from(part) / f64::from(self.calls) >= threshold;
        let too_many_fail = reaches(self.failures, config.failure_rate_threshold);
        self.calls >= config.minimum_calls.max(1) && (too_many_fail || reaches(self.slow, config.slow_call_rate_threshold))
    }
}

fn admission(config: &BreakerConfig, state: &BreakerState) -> Admission {
    match state.phase {
        Phase::Closed => Admission::All,
        Phase::Open => Admission::NoneUntil(state.since.saturating_add(nanoseconds(config.recovery_timeout))),
        Phase::HalfOpen => Admission::Probes(config.half_open_permits.max(1)),
    }
}

fn enter(phase: Phase, from: BreakerState, now: Instant) -> BreakerState {
    BreakerState {
        phase,
        consecutive_failures: 0,
        half_open_successes: 0,
        since: now,
        generation: from.generation.wrapping_add(1),
        memory: Vec::new(),
    }
}

/// Returns a new breaker's state.
pub fn initial(now: Instant) -> Transition {
    Transition {
        state: BreakerState {
            phase: Phase::Closed,
            consecutive_failures: 0,
            half_open_successes: 0,
            since: now,
            generation: 0,
            memory: Vec::new(),
        },
        admission: Admission::All,
    }
}

/// Computes the next state; older generations change nothing.
pub fn step(config: &BreakerConfig, state: BreakerState, observation: &Observation) -> Transition {
    let now = observation.now;
    let current = |generation: u64| generation == state.generation;
    let slow = config.is_slow(observation.took);
    let successes = observation.successes;
    let state = match (state.phase, observation.event) {
        (Phase::Open, Event::Elapsed) if now >= state.since.saturating_add(nanoseconds(config.recovery_timeout)) => {
            enter(Phase::HalfOpen, state, now)
        }
        // Closed, it would admit equally slow calls.
        (Phase::HalfOpen, Event::Success(generation)) if current(generation) && slow && opens_by_slow_calls(config) => {
            enter(Phase::Open, state, now)
        }
        (Phase::HalfOpen, Event::Success(generation)) if current(generation) => {
            let successes = state.half_open_successes.saturating_add(1);
            if successes >= config.success_threshold.max(1) {
                enter(Phase::Closed, state, now)
            } else {
                BreakerState { half_open_successes: successes, ..state }
            }
        }
        (Phase::HalfOpen, Event::Failure(generation)) if current(generation) => enter(Phase::Open, state, now),
        (Phase::Closed, Event::Failure(generation)) if current(generation) => {
            count(config, state, now, successes, Some(Call { failed: true, slow }))
        }
        (Phase::Closed, Event::Success(generation)) if current(generation) && slow => {
            count(config, state, now, successes, Some(Call { failed: false, slow }))
        }
        (Phase::Closed, Event::Success(generation)) if current(generation) => count(config, state, now, successes.saturating_add(1), None),
        (Phase::Closed, Event::Ignored(generation)) if current(generation) && successes > 0 => count(config, state, now, successes, None),
        _ => state,
    };
    let admission = admission(config, &state);
    Transition { state, admission }
}

fn opens_by_slow_calls(config: &BreakerConfig) -> bool {
    config.slow_call_rate_threshold > 0.0 && config.slow_call_rate_threshold <= 1.0
}

fn count(config: &BreakerConfig, mut state: BreakerState, now: Instant, successes: u64, last: Option<Call>) -> BreakerState {
    let length = nanoseconds(config.failure_window);
    let mut window = Window::read(&state);
    let mut consecutive = state.consecutive_failures;
    if successes > 0 || now.saturating_sub(window.last_failure) > length {
        consecutive = 0;
    }
    if now.saturating_sub(window.began) > length {
        window = Window { began: now, calls: 0, failures: 0, slow: 0, ..window };
    }
    window.succeeded(successes);
    if let Some(call) = last {
        window.ended(call);
        if call.failed {
            consecutive = consecutive.saturating_add(1);
            window.last_failure = now;
        } else {
            consecutive = 0;
        }
        let too_many = call.failed && consecutive >= config.failure_threshold.max(1);
        if too_many || window.opens(config) {
            return enter(Phase::Open, state, now);
        }
    }
    state.consecutive_failures = consecutive;
    window.write(&mut state.memory);
    state
}

#[cfg(test)]
mod tests;
