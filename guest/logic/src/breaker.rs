//! The circuit breaker as a machine (`wit/breaker.wit`): state and event in, next state and admission out.
//!
//! The transitions are the specification's four. Two things count as "failures reach the threshold": so many in a row, or so large a share
//! of the calls in a window, because a service that fails four calls in five never fails many in a row.

use crate::backoff::sane;
use crate::types::{Instant, Seconds};
use alloc::vec::Vec;

/// The layout of the `memory` that this module writes; see `Window`.
pub const STATE_LAYOUT: u32 = 1;

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
    /// The share is judged from this many calls on; at least 1.
    pub minimum_calls: u32,
}

impl Default for BreakerConfig {
    /// The specification's 5 failures, 60 s and 2 successes. The window is ten minutes, long enough for five model
    /// time-outs in a row to add up; half of at least 20 calls failing opens it too.
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            recovery_timeout: 60.0,
            success_threshold: 2,
            half_open_permits: 1,
            failure_window: 600.0,
            failure_rate_threshold: 0.5,
            minimum_calls: 20,
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
    /// Everything.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Observation {
    /// What happened.
    pub event: Event,
    /// When.
    pub now: Instant,
    /// Calls that succeeded under `All` since the host last asked.
    pub successes: u64,
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
}

impl Window {
    const BYTES: usize = 24;

    /// Another policy's bytes, or none, are an empty window that begins with the phase.
    fn read(state: &BreakerState) -> Self {
        let memory = &state.memory;
        let number = |range: core::ops::Range<usize>| memory[range].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        if memory.len() != Self::BYTES {
            return Self { began: state.since, last_failure: state.since, calls: 0, failures: 0 };
        }
        Self { began: number(0..8), last_failure: number(8..16), calls: number(16..20) as u32, failures: number(20..24) as u32 }
    }

    fn write(&self) -> Vec<u8> {
        let mut memory = Vec::with_capacity(Self::BYTES);
        memory.extend_from_slice(&self.began.to_le_bytes());
        memory.extend_from_slice(&self.last_failure.to_le_bytes());
        memory.extend_from_slice(&self.calls.to_le_bytes());
        memory.extend_from_slice(&self.failures.to_le_bytes());
        memory
    }

    fn add(&mut self, calls: u64, failures: u32) {
        self.calls = self.calls.saturating_add(u32::try_from(calls).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(failures);
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
    let state = match (state.phase, observation.event) {
        (Phase::Open, Event::Elapsed) if now >= state.since.saturating_add(nanoseconds(config.recovery_timeout)) => {
            enter(Phase::HalfOpen, state, now)
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
        (Phase::Closed, Event::Failure(generation)) if current(generation) => count(config, state, now, observation.successes, true),
        (Phase::Closed, Event::Success(generation)) if current(generation) => {
            count(config, state, now, observation.successes.saturating_add(1), false)
        }
        (Phase::Closed, Event::Ignored(generation)) if current(generation) && observation.successes > 0 => {
            count(config, state, now, observation.successes, false)
        }
        _ => state,
    };
    let admission = admission(config, &state);
    Transition { state, admission }
}

/// Counts calls while closed: `successes` that came first and, after them, perhaps one failure.
fn count(config: &BreakerConfig, state: BreakerState, now: Instant, successes: u64, failed: bool) -> BreakerState {
    let length = nanoseconds(config.failure_window);
    let mut window = Window::read(&state);
    let mut consecutive = state.consecutive_failures;
    if successes > 0 || now.saturating_sub(window.last_failure) > length {
        consecutive = 0;
    }
    if now.saturating_sub(window.began) > length {
        window = Window { began: now, calls: 0, failures: 0, ..window };
    }
    window.add(successes, 0);
    if failed {
        consecutive = consecutive.saturating_add(1);
        window.last_failure = now;
        window.add(1, 1);
        let share = f64::from(window.failures) / f64::from(window.calls);
        let too_many = consecutive >= config.failure_threshold.max(1);
        let too_large_a_share =
            window.calls >= config.minimum_calls.max(1) && config.failure_rate_threshold > 0.0 && share >= config.failure_rate_threshold;
        if too_many || too_large_a_share {
            return enter(Phase::Open, state, now);
        }
    }
    BreakerState { consecutive_failures: consecutive, memory: window.write(), ..state }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A breaker that is told what happens, second by second.
    struct Told {
        config: BreakerConfig,
        now: Instant,
        at: Transition,
    }

    impl Told {
        fn new(config: BreakerConfig) -> Self {
            Self { config, now: 0, at: initial(0) }
        }

        fn tell(&mut self, event: Event, successes: u64) -> Phase {
            let observation = Observation { event, now: self.now, successes };
            self.at = step(&self.config, self.at.state.clone(), &observation);
            self.at.state.phase
        }

        fn fail(&mut self) -> Phase {
            self.tell(Event::Failure(self.at.state.generation), 0)
        }

        fn opened() -> Self {
            let mut told = Self::new(BreakerConfig::default());
            while told.fail() == Phase::Closed {}
            told
        }

        fn half_open() -> Self {
            let mut told = Self::opened();
            told.now += 60 * SECOND;
            told.tell(Event::Elapsed, 0);
            told
        }
    }

    #[test]
    fn closed_opens_when_failures_reach_the_threshold() {
        let mut told = Told::new(BreakerConfig::default());
        assert_eq!([0; 5].map(|_| told.fail()), [Phase::Closed, Phase::Closed, Phase::Closed, Phase::Closed, Phase::Open]);
        assert_eq!(told.at.admission, Admission::NoneUntil(60 * SECOND));
    }

    #[test]
    fn open_becomes_half_open_when_the_timeout_has_passed_and_not_before() {
        let mut told = Told::opened();
        told.now = 60 * SECOND - 1;
        assert_eq!(told.tell(Event::Elapsed, 0), Phase::Open);
        told.now += 1;
        assert_eq!(told.tell(Event::Elapsed, 0), Phase::HalfOpen);
        assert_eq!(told.at.admission, Admission::Probes(1));
    }

    #[test]
    fn half_open_closes_when_successes_reach_the_threshold() {
        let mut told = Told::half_open();
        let generation = told.at.state.generation;
        assert_eq!(told.tell(Event::Success(generation), 0), Phase::HalfOpen);
        assert_eq!(told.tell(Event::Success(generation), 0), Phase::Closed);
        assert_eq!(told.at.admission, Admission::All);
    }

    #[test]
    fn half_open_opens_again_at_any_failure_and_waits_the_whole_timeout() {
        let mut told = Told::half_open();
        told.now += 5 * SECOND;
        assert_eq!(told.fail(), Phase::Open);
        assert_eq!(told.at.admission, Admission::NoneUntil(125 * SECOND));
    }

    #[test]
    fn a_success_between_failures_starts_the_row_again() {
        let mut told = Told::new(BreakerConfig::default());
        for _ in 0..4 {
            told.fail();
        }
        assert_eq!(told.tell(Event::Failure(0), 1), Phase::Closed);
        assert_eq!(told.at.state.consecutive_failures, 1);
    }

    #[test]
    fn a_result_from_before_the_trip_changes_nothing() {
        for event in [Event::Failure(0), Event::Success(0), Event::Ignored(0)] {
            for mut told in [Told::opened(), Told::half_open()] {
                let before = told.at.clone();
                told.now += SECOND;
                told.tell(event, 0);
                assert_eq!(told.at, before, "{event:?}");
            }
        }
    }

    #[test]
    fn thirty_calls_in_flight_that_all_fail_make_one_transition() {
        let mut told = Told::new(BreakerConfig::default());
        for _ in 0..30 {
            told.now += SECOND;
            told.tell(Event::Failure(0), 0);
        }
        assert_eq!(told.at.state.generation, 1);
        assert_eq!(told.at.state.since, 5 * SECOND, "later failures do not extend the open window");
    }

    #[test]
    fn failures_ninety_days_apart_never_open_it() {
        let mut told = Told::new(BreakerConfig::default());
        for _ in 0..50 {
            told.now += 90 * 86_400 * SECOND;
            assert_eq!(told.fail(), Phase::Closed);
        }
    }

    #[test]
    fn four_thousand_failures_in_five_thousand_calls_open_it() {
        let mut told = Told::new(BreakerConfig::default());
        let opened = (0..1000).any(|_| {
            told.now += SECOND / 100;
            (0..4).any(|failure| {
                let successes = u64::from(failure == 0);
                told.tell(Event::Failure(told.at.state.generation), successes) == Phase::Open
            })
        });
        assert!(opened);
    }

    #[test]
    fn a_failure_at_time_zero_recovers() {
        let mut told = Told::new(BreakerConfig { failure_threshold: 1, ..BreakerConfig::default() });
        assert_eq!(told.fail(), Phase::Open);
        told.now = 60 * SECOND;
        assert_eq!(told.tell(Event::Elapsed, 0), Phase::HalfOpen);
    }

    #[test]
    fn an_ignored_outcome_moves_nothing() {
        let mut told = Told::new(BreakerConfig { failure_threshold: 1, ..BreakerConfig::default() });
        for _ in 0..100 {
            assert_eq!(told.tell(Event::Ignored(0), 0), Phase::Closed);
        }
        let mut probing = Told::half_open();
        let generation = probing.at.state.generation;
        assert_eq!(probing.tell(Event::Ignored(generation), 0), Phase::HalfOpen);
        assert_eq!(probing.at.state.half_open_successes, 0);
    }

    #[test]
    fn a_foreign_or_missing_memory_is_an_empty_window() {
        for memory in [Vec::new(), alloc::vec![7; 3], alloc::vec![255; 4096]] {
            let mut told = Told::new(BreakerConfig::default());
            told.at.state.memory = memory;
            assert_eq!(told.fail(), Phase::Closed);
            assert_eq!(told.at.state.consecutive_failures, 1);
        }
    }

    #[test]
    fn nonsense_in_the_configuration_neither_freezes_nor_panics() {
        for bad in [0.0, -1.0, f64::NAN] {
            let config = BreakerConfig {
                failure_threshold: 0,
                recovery_timeout: bad,
                success_threshold: 0,
                half_open_permits: 0,
                failure_window: bad,
                failure_rate_threshold: bad,
                minimum_calls: 0,
            };
            let mut told = Told::new(config);
            assert_eq!(told.fail(), Phase::Open);
            told.now += 1;
            assert_eq!(told.tell(Event::Elapsed, 0), Phase::HalfOpen);
            assert_eq!(told.at.admission, Admission::Probes(1));
            assert_eq!(told.tell(Event::Success(told.at.state.generation), 0), Phase::Closed);
        }
    }

    #[test]
    fn every_path_through_the_machine_takes_only_the_four_transitions() {
        let events = |generation| [Event::Elapsed, Event::Success(generation), Event::Failure(generation), Event::Ignored(generation)];
        let config = BreakerConfig { failure_threshold: 2, success_threshold: 2, recovery_timeout: 1.0, ..BreakerConfig::default() };
        let mut frontier = alloc::vec![initial(0).state];
        for round in 1..8 {
            let now = round * SECOND;
            frontier = frontier
                .into_iter()
                .flat_map(|state| events(state.generation).map(|event| (state.clone(), event)))
                .map(|(state, event)| {
                    let from = state.phase;
                    let to = step(&config, state, &Observation { event, now, successes: 0 }).state;
                    let allowed = [
                        (Phase::Closed, Phase::Open),
                        (Phase::Open, Phase::HalfOpen),
                        (Phase::HalfOpen, Phase::Closed),
                        (Phase::HalfOpen, Phase::Open),
                    ];
                    assert!(from == to.phase || allowed.contains(&(from, to.phase)), "{from} -> {} by {event:?}", to.phase);
                    to
                })
                .collect();
            frontier.truncate(4096);
        }
    }
}
