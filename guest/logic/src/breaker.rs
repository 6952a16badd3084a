//! The circuit breaker as a machine (`wit/breaker.wit`): state and event in, next state and admission out.
//!
//! The transitions are the specification's four. Two things count as "failures reach the threshold": so many in a row, or so large a share
//! of the calls in a window, because a service that fails four calls in five never fails many in a row. A service that answers, but so late that
//! nobody can use it, never fails at all; so a share of slow calls counts as a third, where the caller says what is slow.

use crate::backoff::sane;
use crate::types::{Instant, Seconds};
use alloc::vec::Vec;

/// The layout of the `memory` that this module writes; see `Window`.
pub const STATE_LAYOUT: u32 = 2;

named_enum! {
    /// Where a breaker stands.
    pub enum Phase {
        /// Calls pass.
        Closed = "closed",
        /// Calls are rejected.
        Open = "open",
        /// A few calls pass, to see whether the service has recovered.
        HalfOpen = "half_open",
    }
}

/// How a breaker behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BreakerConfig {
    /// This many failures in a row open it; at least 1.
    pub failure_threshold: u32,
    /// How long it stays open before it lets probes through; seconds, more than 0.
    pub recovery_timeout: Seconds,
    /// This many successes close it from half-open; at least 1.
    pub success_threshold: u32,
    /// This many calls may be in flight in half-open; at least 1.
    pub half_open_permits: u32,
    /// Failures further apart than this do not add up; seconds, more than 0.
    pub failure_window: Seconds,
    /// The share of failures among a window's calls that opens it too, in (0, 1]; above 1 never.
    pub failure_rate_threshold: f64,
    /// The shares are judged from this many calls on; at least 1.
    pub minimum_calls: u32,
    /// A call that took at least this long was slow, however it ended; seconds, more than 0, none where no call is.
    #[cfg_attr(feature = "serde", serde(default))]
    pub slow_call_duration: Option<Seconds>,
    /// The share of slow calls among a window's calls that opens it too, in (0, 1]; above 1 never.
    #[cfg_attr(feature = "serde", serde(default = "all_of_them"))]
    pub slow_call_rate_threshold: f64,
}

/// The threshold of journals that were written when there was none.
#[cfg(feature = "serde")]
const fn all_of_them() -> f64 {
    1.0
}

impl BreakerConfig {
    /// Whether a call that took so long, in seconds, was slow. One that was not measured took 0.
    pub fn is_slow(&self, took: Seconds) -> bool {
        self.slow_call_duration.is_some_and(|duration| duration > 0.0 && took >= duration)
    }
}

impl Default for BreakerConfig {
    /// The specification's 5 failures, 60 s and 2 successes. The window is ten minutes, long enough for five model
    /// time-outs in a row to add up; half of at least 20 calls failing opens it too.
    /// What is slow nobody knows but the caller: no call is.
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

/// A breaker's state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BreakerState {
    /// Where it stands.
    pub phase: Phase,
    /// Failures in a row while closed.
    pub consecutive_failures: u32,
    /// Successful probes while half-open.
    pub half_open_successes: u32,
    /// When this phase began.
    pub since: Instant,
    /// Counts transitions.
    pub generation: u64,
    /// Private to the policy that wrote it. Empty is always valid.
    pub memory: Vec<u8>,
}

/// What the host lets through, by itself, until it next asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Admission {
    /// Everything; successes are counted, but for slow ones, which are told at once.
    All,
    /// Nothing until that instant.
    NoneUntil(Instant),
    /// At most this many in flight, every outcome reported.
    Probes(u32),
}

/// Something that happened; the number is the generation in which the call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Event {
    /// The instant of a `NoneUntil` has passed and a caller waits.
    Elapsed,
    /// A call succeeded.
    Success(u64),
    /// A call failed, and the failure counts.
    Failure(u64),
    /// A call ended in a way that says nothing of the service.
    Ignored(u64),
}

/// What is known when the machine takes a step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Observation {
    /// What happened.
    pub event: Event,
    /// When.
    pub now: Instant,
    /// Calls that succeeded under `All` since the host last asked, without the one that this is about.
    pub successes: u64,
    /// How long the event's call took; seconds, 0 where that was not measured.
    #[cfg_attr(feature = "serde", serde(default))]
    pub took: Seconds,
}

/// The next state and what the host shall let through in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Transition {
    /// The next state.
    pub state: BreakerState,
    /// What may pass in it.
    pub admission: Admission,
}

/// A span in nanoseconds; what is not a positive number becomes 1, so that no configuration can freeze a breaker.
pub(crate) fn nanoseconds(span: Seconds) -> u64 {
    // The cast saturates: an infinite span is the longest one.
    ((sane(span) * 1e9) as u64).max(1)
}

/// The calls of the window that is running: what `memory` holds, in little-endian order.
struct Window {
    began: Instant,
    last_failure: Instant,
    calls: u32,
    failures: u32,
    /// Those that took too long, whether they failed or not.
    slow: u32,
}

/// How a call ended that the window must hear of by itself.
#[derive(Clone, Copy)]
struct Call {
    failed: bool,
    slow: bool,
}

/// Takes the bytes of a number; zeros where there are too few.
fn next<const BYTES: usize>(rest: &mut &[u8]) -> [u8; BYTES] {
    rest.split_off(..BYTES).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; BYTES])
}

impl Window {
    const BYTES: usize = 28;

    /// Another policy's bytes, or none, are an empty window that begins with the phase.
    fn read(state: &BreakerState) -> Self {
        let mut rest = state.memory.as_slice();
        if rest.len() != Self::BYTES {
            return Self { began: state.since, last_failure: state.since, calls: 0, failures: 0, slow: 0 };
        }
        let [began, last_failure] = [(); 2].map(|()| u64::from_le_bytes(next(&mut rest)));
        let [calls, failures, slow] = [(); 3].map(|()| u32::from_le_bytes(next(&mut rest)));
        Self { began, last_failure, calls, failures, slow }
    }

    /// Writes over what it was read from.
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

    /// Whether one of the shares reaches its threshold among enough calls.
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

/// The state of a breaker that has seen nothing.
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

/// One step. An event of an older generation returns the state as it is.
pub fn step(config: &BreakerConfig, state: BreakerState, observation: &Observation) -> Transition {
    let now = observation.now;
    let current = |generation: u64| generation == state.generation;
    let slow = config.is_slow(observation.took);
    let successes = observation.successes;
    let state = match (state.phase, observation.event) {
        (Phase::Open, Event::Elapsed) if now >= state.since.saturating_add(nanoseconds(config.recovery_timeout)) => {
            enter(Phase::HalfOpen, state, now)
        }
        // Closed, the breaker would let through all the calls that are as slow.
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

/// Whether a share of slow calls can open the breaker at all.
fn opens_by_slow_calls(config: &BreakerConfig) -> bool {
    config.slow_call_rate_threshold > 0.0 && config.slow_call_rate_threshold <= 1.0
}

/// Counts calls while closed: `successes` that came first and, after them, perhaps a call that failed or was slow.
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
