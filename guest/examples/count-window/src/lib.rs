//! A breaker over the last hundred calls: resilience4j's count-based sliding window.
//!
//! The default policy's windows restart, so the first failures after a busy hour stand alone. A sliding window has no
//! edge.
#![no_std]

extern crate alloc;

mod ring;

pub use ring::{CALLS, Ring, STATE_LAYOUT};

use alloc::string::ToString;
use upright_policy_parts::window;
use upright_shim::logic::breaker::{BreakerConfig, BreakerState, Observation, Transition};
use upright_shim::logic::metadata::{self, Description};
use upright_shim::logic::recovery::{Incident, Verdict};
use upright_shim::{Policy, export_policy};

/// The default policy with another breaker.
#[derive(Debug)]
pub struct CountWindow;

impl Policy for CountWindow {
    fn describe() -> Description {
        Description { name: "upright-count-window".to_string(), state_layout: STATE_LAYOUT, ..metadata::describe() }
    }

    fn step(config: &BreakerConfig, state: BreakerState, observation: &Observation) -> Transition {
        window::step::<Ring>(config, state, observation)
    }

    fn decide(incident: Incident) -> Verdict {
        window::decide::<Ring>(incident)
    }
}

export_policy!(CountWindow);

#[cfg(test)]
mod tests;
