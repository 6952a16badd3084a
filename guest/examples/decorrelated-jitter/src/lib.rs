//! The default policy with decorrelated jitter: each delay is random between the shortest and three times the previous.
//!
//! The formula is `sleep = min(cap, random_between(base, sleep * 3))`, from the AWS Architecture Blog,
//! "Exponential Backoff And Jitter": exponential delays with little jitter leave clients in bunches.
#![no_std]

extern crate alloc;

mod budget;
mod jitter;

pub use jitter::STEPS;

use alloc::string::ToString;
use upright_shim::logic::backoff::RetryConfig;
use upright_shim::logic::metadata::{self, Description};
use upright_shim::logic::recovery::{self, Incident, Verdict};
use upright_shim::logic::types::Seconds;
use upright_shim::{Policy, export_policy};

/// Decorrelated jitter, and a saved retry budget.
#[derive(Debug)]
pub struct DecorrelatedJitter;

impl Policy for DecorrelatedJitter {
    fn describe() -> Description {
        Description { name: "upright-decorrelated-jitter".to_string(), ..metadata::describe() }
    }

    fn delay(config: &RetryConfig, attempt: u32, random: f64) -> Seconds {
        jitter::delay(config, attempt, random)
    }

    fn decide(incident: Incident) -> Verdict {
        let delay = Self::delay(&incident.retry, incident.attempt, incident.random);
        // Without growth and jitter, the default delay is this one.
        let retry = RetryConfig { base_delay: delay, backoff_factor: 1.0, jitter: false, ..incident.retry };
        let retry_budget = budget::left_for(&incident);
        recovery::decide(Incident { retry, retry_budget, ..incident })
    }
}

export_policy!(DecorrelatedJitter);
