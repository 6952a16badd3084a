//! Saves a low retry budget for likely successes.
//!
//! A policy knows the retries left, not the budget's size. It is low when one operation could use more than is left.

use upright_shim::logic::classifier::classify;
use upright_shim::logic::recovery::Incident;
use upright_shim::logic::types::ErrorCategory;

/// Returns the budget for this failure: 0 if it is low and the failure is not `transient`.
pub(crate) fn left_for(incident: &Incident) -> Option<u32> {
    let low = incident.retry_budget.is_some_and(|left| left <= incident.retry.max_retries);
    if low && classify(&incident.failure).category != ErrorCategory::Transient { Some(0) } else { incident.retry_budget }
}

#[cfg(test)]
mod tests {
    use crate::DecorrelatedJitter;
    use upright_shim::Policy as _;
    use upright_shim::logic::backoff::RetryConfig;
    use upright_shim::logic::metadata;
    use upright_shim::logic::recovery::{Directive, Incident, ModelChoice, Reason};
    use upright_shim::logic::types::{Fault, FaultKind};

    fn incident(failure: Fault) -> Incident {
        Incident { random: 0.5, ..Incident::of(failure) }
    }

    fn busy() -> Incident {
        incident(Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "server busy, please try again") })
    }

    fn decided(incident: Incident) -> (Directive, Reason) {
        let verdict = DecorrelatedJitter::decide(incident);
        (verdict.directive, verdict.reason)
    }

    #[test]
    fn decide_returns_the_delay_that_the_delay_function_computes() {
        for attempt in 0..3 {
            for random in [0.0, 0.123, 0.5, 0.999] {
                let delay = DecorrelatedJitter::delay(&RetryConfig::default(), attempt, random);
                let decided = decided(Incident { attempt, random, ..busy() });
                assert_eq!(decided, (Directive::RetryAfter(delay), Reason::Retryable));
            }
        }
    }

    #[test]
    fn a_server_that_asks_for_more_patience_gets_it() {
        let mut asked = busy();
        asked.failure.retry_after = Some(30.0);
        // Half of the extra, as `random` is 0.5.
        assert_eq!(decided(asked.clone()).0, Directive::RetryAfter(33.75));
        asked.failure.retry_after = Some(61.0);
        assert_eq!(decided(asked).1, Reason::RetryAfterTooLong);
    }

    #[test]
    fn when_the_budget_is_low_only_what_is_likely_to_pass_is_retried() {
        let timed_out = |budget| decided(Incident { retry_budget: budget, ..incident(Fault::new(FaultKind::Timeout, "")) }).1;
        let refused = |budget| decided(Incident { retry_budget: budget, ..incident(Fault::new(FaultKind::ConnectionRefused, "")) }).1;
        for ask in [&timed_out as &dyn Fn(Option<u32>) -> Reason, &refused] {
            assert_eq!([None, Some(u32::MAX), Some(4)].map(ask), [Reason::Retryable; 3]);
            assert_eq!([Some(3), Some(1), Some(0)].map(ask), [Reason::BudgetExhausted; 3]);
        }
        assert_eq!(decided(Incident { retry_budget: Some(1), ..busy() }).1, Reason::Retryable);
        assert_eq!(decided(Incident { retry_budget: Some(0), ..busy() }).1, Reason::BudgetExhausted);
    }

    #[test]
    fn when_the_budget_is_low_what_is_not_safe_to_repeat_is_not_repeated_either() {
        let verdict = decided(Incident { retry_budget: Some(1), idempotent: false, ..busy() });
        assert_eq!(verdict, (Directive::GiveUp, Reason::NotIdempotent));
    }

    #[test]
    fn a_low_retry_budget_switches_the_model_or_gives_up_without_one() {
        let slow = Incident { retry_budget: Some(1), ..incident(Fault::new(FaultKind::Timeout, "")) };
        let chain = |names: &[&str]| {
            Some(ModelChoice { current: "a".into(), chain: names.iter().map(|name| (*name).into()).collect(), known: None })
        };
        assert_eq!(decided(Incident { models: chain(&["a", "b"]), ..slow.clone() }).0, Directive::SwitchModel(1));
        assert_eq!(decided(Incident { models: chain(&[]), ..slow }).0, Directive::GiveUp);
    }

    #[test]
    fn attempts_without_end_are_still_exhausted() {
        assert_eq!(decided(Incident { attempt: u32::MAX, ..busy() }), (Directive::GiveUp, Reason::AttemptsExhausted));
    }

    #[test]
    fn decorrelated_jitter_has_its_own_name_and_the_default_state_layout() {
        let (own, default) = (DecorrelatedJitter::describe(), metadata::describe());
        assert_ne!(own.name, default.name);
        assert_eq!(own.state_layout, default.state_layout);
    }
}
