//! The default policy but for its delays, which are drawn anew from all that lies between the shortest and three times the one before.
//!
//! Clients that failed together should not come back together. Exponential delays with a little jitter leave them in bunches; decorrelated
//! jitter (AWS Architecture Blog, "Exponential Backoff And Jitter": `sleep = min(cap, random_between(base, sleep * 3))`) does not.
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

/// Delays by decorrelated jitter, and a budget that is kept for the likeliest retries when it runs low.
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
        // The default policy comes to this very delay if there is nothing to grow and nothing to draw.
        let retry = RetryConfig { base_delay: delay, backoff_factor: 1.0, jitter: false, ..incident.retry };
        let retry_budget = budget::left_for(&incident);
        recovery::decide(Incident { retry, retry_budget, ..incident })
    }
}

export_policy!(DecorrelatedJitter);
