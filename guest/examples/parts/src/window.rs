//! A breaker that opens by the share of failed or slow calls in a policy's own window.
//!
//! Half-open phase, probes and generations stay the default breaker's.

use crate::verdict::{trip, with_breaker};
use alloc::vec::Vec;
use upright_logic::breaker::{self, Admission, BreakerConfig, BreakerState, Event, Observation, Phase, Transition};
use upright_logic::recovery::{Incident, Verdict};
use upright_logic::types::{Instant, Seconds};

/// A call that failed, was slow, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whether it failed.
    pub failed: bool,
    /// Whether it was slow.
    pub slow: bool,
}

/// Calls in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of calls.
    pub calls: u64,
    /// Number of failures.
    pub failures: u64,
    /// Number of slow calls, failed or not.
    pub slow: u64,
}

impl Tally {
    /// Whether a share reaches its threshold among at least `minimum` calls.
    ///
    /// Thresholds outside (0, 1] never open.
    pub fn opens(&self, config: &BreakerConfig, minimum: u64) -> bool {
        let reaches = |part: u64, threshold: f64| threshold > 0.0 && part as f64 / self.calls as f64 >= threshold;
        let too_many_fail = reaches(self.failures, config.failure_rate_threshold);
        self.calls >= minimum.max(1) && (too_many_fail || reaches(self.slow, config.slow_call_rate_threshold))
    }
}

/// A window of calls.
pub trait Window: Sized {
    /// Maximum `minimum_calls` it can hold; larger settings mean this one.
    const MOST: u64;

    /// Reads a state's memory; empty if foreign or damaged.
    fn read(config: &BreakerConfig, state: &BreakerState) -> Self;

    /// Writes memory for [`Window::read`].
    fn write(&self) -> Vec<u8>;

    /// Adds successes since the last step.
    fn succeeded(&mut self, calls: u64, now: Instant);

    /// Adds a failed or slow call, after the successes.
    fn ended(&mut self, call: Call, now: Instant);

    /// Counts the calls.
    fn tally(&self) -> Tally;

    /// Time of the last failed or slow call.
    fn last_against(&self) -> Instant;
}

/// Converts seconds to nanoseconds, at least 1.
pub fn nanoseconds(span: Seconds) -> u64 {
    // The cast saturates; NaN becomes 0.
    ((span * 1e9) as u64).max(1)
}

/// Computes the next state over this window.
pub fn step<W: Window>(config: &BreakerConfig, state: BreakerState, seen: &Observation) -> Transition {
    let slow = config.is_slow(seen.took);
    let counted = match seen.event {
        Event::Failure(generation) if generation == state.generation => Some((seen.successes, Some(Call { failed: true, slow }))),
        Event::Success(generation) if generation == state.generation && slow => Some((seen.successes, Some(Call { failed: false, slow }))),
        Event::Success(generation) if generation == state.generation => Some((seen.successes.saturating_add(1), None)),
        Event::Ignored(generation) if generation == state.generation && seen.successes > 0 => Some((seen.successes, None)),
        _ => None,
    };
    match counted {
        Some((successes, against)) if state.phase == Phase::Closed => count::<W>(config, state, seen.now, successes, against),
        _ => breaker::step(config, state, seen),
    }
}

fn count<W: Window>(config: &BreakerConfig, state: BreakerState, now: Instant, successes: u64, against: Option<Call>) -> Transition {
    let mut window = W::read(config, &state);
    let apart = now.saturating_sub(window.last_against()) > nanoseconds(config.failure_window);
    // For people only.
    let mut consecutive = if successes > 0 || apart { 0 } else { state.consecutive_failures };
    if successes > 0 {
        window.succeeded(successes, now);
    }
    if let Some(call) = against {
        window.ended(call, now);
        consecutive = if call.failed { consecutive.saturating_add(1) } else { 0 };
        if window.tally().opens(config, u64::from(config.minimum_calls).min(W::MOST)) {
            return trip(config, state, now);
        }
    }
    let state = BreakerState { consecutive_failures: consecutive, memory: window.write(), ..state };
    Transition { state, admission: Admission::All }
}

/// Returns the default policy's verdict over this breaker.
pub fn decide<W: Window>(incident: Incident) -> Verdict {
    with_breaker(incident, |_, guard, seen| step::<W>(&guard.config, guard.state.clone(), seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(calls: u64, failures: u64, slow: u64, by_failures: f64, by_slow: f64) -> bool {
        let config = BreakerConfig { failure_rate_threshold: by_failures, slow_call_rate_threshold: by_slow, ..BreakerConfig::default() };
        Tally { calls, failures, slow }.opens(&config, 20)
    }

    #[test]
    fn a_share_opens_when_it_reaches_its_threshold_among_enough_calls_and_not_before() {
        assert!(!opens(20, 9, 0, 0.5, 1.0) && opens(20, 10, 0, 0.5, 1.0));
        assert!(!opens(19, 19, 19, 0.5, 0.5));
        assert!(!opens(20, 0, 4, 0.5, 0.25) && opens(20, 0, 5, 0.5, 0.25), "slow calls count by a share of their own");
        assert!(!opens(20, 9, 9, 0.5, 0.5), "failures and slow calls are not added up");
    }

    #[test]
    fn a_threshold_that_is_no_share_opens_nothing_by_its_share_and_leaves_the_other() {
        for threshold in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1.000_001] {
            assert!(!opens(100, 100, 100, threshold, threshold), "{threshold}");
            assert!(opens(100, 100, 100, threshold, 1.0) && opens(100, 100, 100, 1.0, threshold), "{threshold}");
        }
    }

    #[test]
    fn an_empty_window_opens_nothing_even_where_no_calls_are_enough() {
        assert!(!Tally::default().opens(&BreakerConfig::default(), 0));
    }

    #[test]
    fn invalid_durations_become_at_least_one_nanosecond() {
        let spans = [f64::NAN, -1.0, 0.0, 1e-12, 1.0, f64::INFINITY].map(nanoseconds);
        assert_eq!(spans, [1, 1, 1, 1, 1_000_000_000, u64::MAX]);
    }
}
