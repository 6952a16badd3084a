//! A policy for one small machine with one user, where most failures are the machine's limits.
//!
//! A model that did not fit will not fit a second later, and each try evicts everything else. So this policy asks for
//! less before it retries, and stops soon.
#![no_std]

extern crate alloc;

mod breaker;
mod machine;

pub use breaker::{RESOURCE_FAILURES, STATE_LAYOUT};
pub use machine::{FULL_DISK_BYTES, LOADING_FACTOR, RESOURCE_RETRIES, SHORT_MEMORY_PERCENT};

use alloc::string::ToString;
use upright_policy_parts::verdict::with_breaker;
use upright_shim::logic::breaker::{BreakerConfig, BreakerState, Observation, Transition};
use upright_shim::logic::metadata::{self, Description};
use upright_shim::logic::recovery::{Incident, Verdict};
use upright_shim::{Policy, export_policy};

/// The default policy within the machine's limits.
#[derive(Debug)]
pub struct Cautious;

impl Policy for Cautious {
    fn describe() -> Description {
        Description { name: "upright-cautious".to_string(), state_layout: STATE_LAYOUT, ..metadata::describe() }
    }

    // The failure is unknown here.
    fn step(config: &BreakerConfig, state: BreakerState, observation: &Observation) -> Transition {
        breaker::step(config, state, observation, false)
    }

    fn decide(incident: Incident) -> Verdict {
        machine::decide(incident, |incident| {
            with_breaker(incident, |meaning, guard, seen| {
                breaker::step(&guard.config, guard.state.clone(), seen, breaker::is_resource(meaning))
            })
        })
    }
}

export_policy!(Cautious);

#[cfg(test)]
mod tests;
