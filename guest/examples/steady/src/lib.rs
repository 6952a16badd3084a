//! The default policy with constant delays: every retry waits `base_delay`.
//!
//! Growing delays protect a shared service. A local model server serves one person and returns once its model is
//! loaded.
#![no_std]

use upright_shim::logic::backoff::{self, RetryConfig};
use upright_shim::logic::metadata::{self, Description};
use upright_shim::logic::recovery::{self, Incident, Verdict};
use upright_shim::logic::types::Seconds;
use upright_shim::{Policy, export_policy};

struct Steady;

impl Policy for Steady {
    fn describe() -> Description {
        Description { name: "upright-steady".into(), version: env!("CARGO_PKG_VERSION").into(), ..metadata::describe() }
    }

    fn delay(config: &RetryConfig, attempt: u32, random: f64) -> Seconds {
        backoff::delay(&without_growth(config), attempt, random)
    }

    fn decide(incident: Incident) -> Verdict {
        recovery::decide(Incident { retry: without_growth(&incident.retry), ..incident })
    }
}

export_policy!(Steady);

fn without_growth(config: &RetryConfig) -> RetryConfig {
    RetryConfig { backoff_factor: 1.0, ..*config }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upright_shim::logic::recovery::Directive;
    use upright_shim::logic::types::{Fault, FaultKind};

    const RANDOM: f64 = 0.5;

    fn growing() -> RetryConfig {
        RetryConfig { max_retries: 10, backoff_factor: 2.0, jitter: false, ..RetryConfig::default() }
    }

    fn unreachable_service(attempt: u32) -> Incident {
        Incident {
            attempt,
            retry: growing(),
            random: RANDOM,
            ..Incident::of(Fault::new(FaultKind::ConnectionRefused, "connection refused"))
        }
    }

    #[test]
    fn every_delay_is_the_first_whatever_the_factor() {
        for attempt in [0, 1, 9, u32::MAX] {
            assert_eq!(Steady::delay(&growing(), attempt, RANDOM), growing().base_delay);
        }
    }

    #[test]
    fn every_retry_that_is_decided_waits_as_long_as_the_first() {
        for attempt in 0..10 {
            assert_eq!(Steady::decide(unreachable_service(attempt)).directive, Directive::RetryAfter(growing().base_delay));
        }
        assert_eq!(Steady::decide(unreachable_service(10)).directive, Directive::GiveUp);
    }

    #[test]
    fn jitter_still_spreads_the_delays() {
        let jittered = RetryConfig { jitter: true, ..growing() };
        assert_eq!(Steady::delay(&jittered, 7, 0.0), 0.8);
    }

    #[test]
    fn the_steady_policy_has_its_own_name_and_the_default_state_layout() {
        let (steady, default) = (Steady::describe(), metadata::describe());
        assert_ne!(steady.name, default.name);
        assert_eq!(steady.state_layout, default.state_layout);
    }
}
