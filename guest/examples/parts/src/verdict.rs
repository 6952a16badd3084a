//! The default policy's verdict over another breaker.

use upright_logic::breaker::{self, BreakerConfig, BreakerState, Event, Observation, Transition};
use upright_logic::classifier::classify;
use upright_logic::recovery::{self, Guard, Incident, Verdict};
use upright_logic::types::Classification;

/// Decides as the default policy, except that `step` moves the breaker.
pub fn with_breaker(incident: Incident, step: impl FnOnce(&Classification, &Guard, &Observation) -> Transition) -> Verdict {
    let Some(guard) = &incident.guard else { return recovery::decide(incident) };
    let meaning = classify(&incident.failure);
    let event = if meaning.counted { Event::Failure(guard.generation) } else { Event::Ignored(guard.generation) };
    let seen = Observation { event, now: incident.now, successes: guard.successes, took: guard.took };
    let transition = step(&meaning, guard, &seen);
    // The default breaker keeps a state of another generation, so it only reports the step's phase.
    let state = BreakerState { memory: alloc::vec::Vec::new(), ..transition.state.clone() };
    let settled = Guard { config: guard.config, generation: state.generation.wrapping_add(1), successes: 0, state, took: 0.0 };
    let verdict = recovery::decide(Incident { guard: Some(settled), ..incident });
    Verdict { breaker: Some(transition), ..verdict }
}

/// Opens a closed breaker.
pub fn trip(config: &BreakerConfig, state: BreakerState, now: u64) -> Transition {
    let event = Event::Failure(state.generation);
    breaker::step(&BreakerConfig { failure_threshold: 1, ..*config }, state, &Observation { event, now, successes: 0, took: 0.0 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use upright_logic::breaker::{Admission, Phase};
    use upright_logic::recovery::{Directive, Reason};
    use upright_logic::types::{Fault, FaultKind};

    fn incident(kind: FaultKind, state: BreakerState) -> Incident {
        let generation = state.generation;
        Incident {
            random: 0.5,
            now: 7,
            guard: Some(Guard { config: BreakerConfig::default(), state, generation, successes: 3, took: 0.0 }),
            ..Incident::of(Fault::new(kind, ""))
        }
    }

    #[test]
    fn with_breaker_and_the_default_step_equal_the_default_verdict() {
        let mut state = breaker::initial(0).state;
        for failures in 0..6 {
            state.consecutive_failures = failures;
            for kind in FaultKind::ALL {
                let incident = incident(*kind, state.clone());
                let step = |_: &Classification, guard: &Guard, seen: &Observation| breaker::step(&guard.config, guard.state.clone(), seen);
                assert_eq!(with_breaker(incident.clone(), step), recovery::decide(incident), "{kind} after {failures}");
            }
        }
    }

    #[test]
    fn a_breaker_that_opens_ends_the_retries() {
        let state = breaker::initial(0).state;
        let verdict = with_breaker(incident(FaultKind::ConnectionRefused, state), |_, guard, seen| {
            trip(&guard.config, guard.state.clone(), seen.now)
        });
        assert_eq!((verdict.directive, verdict.reason), (Directive::GiveUp, Reason::CircuitOpen));
        let opened = verdict.breaker.unwrap();
        assert_eq!((opened.state.phase, opened.state.generation, opened.state.since), (Phase::Open, 1, 7));
        assert_eq!(opened.admission, Admission::NoneUntil(60_000_000_007));
    }

    #[test]
    fn where_nothing_guards_the_call_no_breaker_is_asked() {
        let unguarded = Incident { guard: None, ..incident(FaultKind::ConnectionRefused, breaker::initial(0).state) };
        let verdict = with_breaker(unguarded, |_, _, _| panic!("there is no breaker"));
        assert_eq!((verdict.breaker, verdict.reason), (None, Reason::Retryable));
    }
}
