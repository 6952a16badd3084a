//! A breaker over the calls of the last `failure_window` seconds: resilience4j's time-based window, in ten buckets.
//!
//! The default policy's windows restart, so a service that starts failing late in one is judged twice by half its
//! failures. A sliding window has no edge.
#![no_std]

extern crate alloc;

mod buckets;

pub use buckets::{BUCKETS, Buckets, STATE_LAYOUT};

use alloc::string::ToString;
use upright_policy_parts::window;
use upright_shim::logic::breaker::{BreakerConfig, BreakerState, Observation, Transition};
use upright_shim::logic::metadata::{self, Description};
use upright_shim::logic::recovery::{Incident, Verdict};
use upright_shim::{Policy, export_policy};

/// The default policy with another breaker.
#[derive(Debug)]
pub struct TimeWindow;

impl Policy for TimeWindow {
    fn describe() -> Description {
        Description { name: "upright-time-window".to_string(), state_layout: STATE_LAYOUT, ..metadata::describe() }
    }

    fn step(config: &BreakerConfig, state: BreakerState, observation: &Observation) -> Transition {
        window::step::<Buckets>(config, state, observation)
    }

    fn decide(incident: Incident) -> Verdict {
        window::decide::<Buckets>(incident)
    }
}

export_policy!(TimeWindow);

#[cfg(test)]
mod tests;
