//! Carries breaker state across processes.
//!
//! A program that runs briefly every minute never sees five failures in a row, even in an hour's outage. So it
//! [saves](CircuitBreaker::save) and [restores](CircuitBreakerBuilder::restored) state.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::CircuitBreaker;
//! use upright::breaker::SavedState;
//! use upright::clock::AnchoredClock;
//!
//! let builder = || CircuitBreaker::builder("search").clock(AnchoredClock::shared());
//! let first = builder().failure_threshold(1).build()?;
//! first.try_acquire()?.failure(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
//! let kept: String = serde_json::to_string(&first.save())?;
//!
//! // In the next process:
//! let second = builder().restored(serde_json::from_str::<SavedState>(&kept)?).build()?;
//! assert!(second.try_acquire().is_err());
//! # Ok(()) }
//! ```

use super::{CircuitBreaker, CircuitBreakerBuilder, Kept, MEMORY_LIMIT};
use crate::clock::Instant;
use crate::policy::PolicySlot;
use crate::types::{Admission, BreakerConfig, BreakerEvent, BreakerState, Observation, Transition};
use serde::{Deserialize, Serialize};

/// The gate has 61 bits.
const GENERATIONS: u64 = u64::MAX >> 4;

/// A breaker's state, for storage.
///
/// Its instants, also in private memory, are on its breaker's clock. The restoring breaker's clock must have that
/// origin: use [`AnchoredClock`](crate::clock::AnchoredClock)s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The state.
    pub state: BreakerState,
    /// Layout of private memory.
    pub layout: u32,
    /// Isolated by hand.
    #[serde(default)]
    pub isolated: bool,
}

impl CircuitBreaker {
    /// Saves state to [restore](CircuitBreakerBuilder::restored). Unlike [`CircuitBreaker::snapshot`], it counts
    /// successes not yet reported.
    pub fn save(&self) -> SavedState {
        let generation = self.snapshot().generation;
        self.step(|kept| kept.state.generation == generation, BreakerEvent::Ignored(generation), None);
        let kept = self.kept();
        SavedState { state: kept.state.clone(), layout: kept.layout, isolated: kept.isolated }
    }

    /// Puts a state in place of the breaker's, in a new generation: calls in flight count for nothing.
    #[doc(hidden)]
    pub fn put(&self, mut saved: SavedState) {
        let mut kept = self.kept();
        let from = kept.state.phase;
        saved.state.generation = kept.state.generation.wrapping_add(1);
        let (put, admission) = resume(&self.shared.policy, kept.config, saved, self.shared.clock.now());
        *kept = put;
        if kept.isolated {
            self.shared.gate.isolate(kept.state.generation);
        } else {
            self.shared.gate.set(kept.state.generation, admission);
        }
        let to = kept.state.phase;
        self.share(&kept);
        drop(kept);
        self.tell(from, to);
    }
}

impl CircuitBreakerBuilder {
    /// Starts from a [saved](CircuitBreaker::save) state, with this builder's settings.
    ///
    /// - Open: for the rest of its timeout.
    /// - Half-open: probe successes stay; all permits are free.
    /// - The generation continues. Another layout's memory is cleared.
    /// - From the future (wall clock stepped back): counts as now, without memory, which holds instants.
    pub fn restored(mut self, saved: SavedState) -> Self {
        self.restored = Some(saved);
        self
    }
}

pub(super) fn resume(policy: &PolicySlot, config: BreakerConfig, saved: SavedState, now: Instant) -> (Kept, Admission) {
    let SavedState { mut state, mut layout, isolated } = saved;
    state.generation &= GENERATIONS;
    if state.since > now || state.memory.len() > MEMORY_LIMIT {
        state.since = state.since.min(now);
        state.memory.clear();
    }
    // No effect: it asks for the admission.
    let nothing = Observation { event: BreakerEvent::Ignored(state.generation), now, successes: 0, took: 0.0 };
    let Transition { state, admission } = policy.step(&config, state, &mut layout, &nothing);
    (Kept { config, state, layout, isolated }, admission)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::error::Rejection;
    use crate::testing::DrivenClock;
    use crate::types::Phase;
    use std::time::Duration;
    use upright_test_kit::refused;

    const SECOND: Duration = Duration::from_secs(1);

    fn builder(clock: &DrivenClock) -> CircuitBreakerBuilder {
        CircuitBreaker::builder("service").failure_threshold(3).policy(PolicySlot::native()).clock(clock.shared())
    }

    fn fail(breaker: &CircuitBreaker, times: u32) {
        (0..times).for_each(|_| drop(breaker.try_acquire().unwrap().failure(&refused())));
    }

    fn kept(breaker: &CircuitBreaker) -> SavedState {
        serde_json::from_str(&serde_json::to_string(&breaker.save()).unwrap()).unwrap()
    }

    fn time_left(breaker: &CircuitBreaker) -> Option<Duration> {
        match breaker.try_acquire().map(drop) {
            Err(open) => match open.rejection {
                Rejection::Open { time_left } => Some(time_left),
                _ => None,
            },
            Ok(()) => None,
        }
    }

    #[test]
    fn an_open_breaker_stays_open_for_the_rest_of_its_timeout() {
        let clock = DrivenClock::new();
        let first = builder(&clock).build().unwrap();
        fail(&first, 3);
        let saved = kept(&first);
        clock.advance(45 * SECOND);
        let second = builder(&clock).restored(saved).build().unwrap();
        assert_eq!((second.state(), time_left(&second)), (Phase::Open, Some(15 * SECOND)));
        clock.advance(15 * SECOND);
        assert!(second.try_acquire().is_ok());
        assert_eq!(second.state(), Phase::HalfOpen);
    }

    #[test]
    fn a_timeout_that_passed_while_nobody_ran_lets_a_probe_through_at_once() {
        let clock = DrivenClock::new();
        let first = builder(&clock).build().unwrap();
        fail(&first, 3);
        let saved = kept(&first);
        clock.advance(3600 * SECOND);
        let second = builder(&clock).restored(saved).build().unwrap();
        let probe = second.try_acquire().unwrap();
        assert_eq!(second.state(), Phase::HalfOpen);
        drop(probe.failure(&refused()));
        assert_eq!(second.state(), Phase::Open);
    }

    #[test]
    fn failures_add_up_over_processes_and_a_success_in_between_ends_the_row() {
        let clock = DrivenClock::new();
        let failing = |saved: Option<SavedState>| {
            let breaker = saved.into_iter().fold(builder(&clock), CircuitBreakerBuilder::restored).build().unwrap();
            fail(&breaker, 1);
            kept(&breaker)
        };
        let twice = failing(Some(failing(None)));
        assert_eq!(failing(Some(twice.clone())).state.phase, Phase::Open);

        let succeeding = builder(&clock).restored(twice).build().unwrap();
        succeeding.try_acquire().unwrap().success();
        let again = failing(Some(kept(&succeeding)));
        assert_eq!((again.state.phase, again.state.consecutive_failures), (Phase::Closed, 1));
    }

    #[test]
    fn a_saved_breaker_includes_successes_not_yet_reported_to_the_policy() {
        let clock = DrivenClock::new();
        let breaker = builder(&clock).build().unwrap();
        fail(&breaker, 2);
        breaker.try_acquire().unwrap().success();
        assert_eq!(breaker.snapshot().consecutive_failures, 2);
        assert_eq!(breaker.save().state.consecutive_failures, 0);
    }

    #[test]
    fn half_open_probes_of_several_processes_close_it_together() {
        let clock = DrivenClock::new();
        let first = builder(&clock).build().unwrap();
        fail(&first, 3);
        clock.advance(60 * SECOND);
        first.try_acquire().unwrap().success();
        assert_eq!((first.state(), first.snapshot().half_open_successes), (Phase::HalfOpen, 1));
        let _hanging = first.try_acquire().unwrap();

        let second = builder(&clock).restored(kept(&first)).build().unwrap();
        assert_eq!(second.state(), Phase::HalfOpen);
        second.try_acquire().unwrap().success();
        assert_eq!(second.state(), Phase::Closed);
    }

    #[test]
    fn a_restored_breaker_continues_its_generation_number() {
        let clock = DrivenClock::new();
        let first = builder(&clock).build().unwrap();
        fail(&first, 3);
        let saved = kept(&first);
        assert_eq!(saved.state.generation, 1);
        clock.advance(60 * SECOND);
        let second = builder(&clock).restored(saved).build().unwrap();
        drop(second.try_acquire().unwrap());
        assert_eq!(second.snapshot().generation, 2);
    }

    #[test]
    fn memory_of_another_layout_is_cleared_and_the_rest_kept() {
        let clock = DrivenClock::new();
        let first = builder(&clock).build().unwrap();
        fail(&first, 2);
        let own = first.save();
        assert!(!own.state.memory.is_empty());
        let same = builder(&clock).restored(own.clone()).build().unwrap();
        assert_eq!(same.save(), own);

        let foreign = builder(&clock).restored(SavedState { layout: own.layout + 1, ..own.clone() }).build().unwrap().save();
        let cleared = BreakerState { memory: Vec::new(), ..own.state };
        assert_eq!(foreign, SavedState { state: cleared, ..own });
    }

    #[test]
    fn a_clock_that_was_stepped_back_keeps_none_open_beyond_its_timeout() {
        let (late, early) = (DrivenClock::new(), DrivenClock::new());
        late.advance(86_400 * SECOND);
        let first = builder(&late).build().unwrap();
        fail(&first, 3);
        let second = builder(&early).restored(kept(&first)).build().unwrap();
        assert_eq!(time_left(&second), Some(60 * SECOND));

        let closed = builder(&late).build().unwrap();
        fail(&closed, 1);
        let saved = builder(&early).restored(kept(&closed)).build().unwrap().save();
        assert_eq!((saved.state.since, saved.state.memory.len(), saved.state.consecutive_failures), (early.now(), 0, 1));
    }

    #[test]
    fn an_isolated_breaker_stays_isolated() {
        let clock = DrivenClock::new();
        let first = builder(&clock).build().unwrap();
        first.isolate();
        let second = builder(&clock).restored(kept(&first)).build().unwrap();
        assert!(second.is_isolated() && second.try_acquire().is_err());
        second.reset();
        assert!(second.try_acquire().is_ok());
    }

    #[test]
    fn a_breaker_restored_from_an_invalid_state_still_works() {
        let clock = DrivenClock::new();
        for phase in [Phase::Closed, Phase::Open, Phase::HalfOpen] {
            let state = BreakerState {
                phase,
                consecutive_failures: u32::MAX,
                half_open_successes: u32::MAX,
                since: u64::MAX,
                generation: u64::MAX,
                memory: vec![7; 1 << 20],
            };
            let saved = SavedState { state, layout: u32::MAX, isolated: false };
            let breaker = builder(&clock).restored(saved).build().unwrap();
            clock.advance(60 * SECOND);
            breaker.try_acquire().unwrap().success();
            assert!(breaker.save().state.memory.len() < 64, "{phase}");
        }
    }

    #[test]
    fn in_a_registrys_template_a_state_is_not_handed_to_every_breaker() {
        let clock = DrivenClock::new();
        let first = builder(&clock).build().unwrap();
        fail(&first, 3);
        let breakers = super::super::CircuitBreakers::new(builder(&clock).restored(kept(&first))).unwrap();
        assert_eq!(breakers.get("other").state(), Phase::Closed);
    }
}
