//! The contract's questions, as the slot asks them.

use super::error::PolicyError;
use crate::types::*;
use std::fmt::Debug;

/// Something other than native code that answers the contract's questions: a component, or what a test has told.
///
/// Answers are as they were given: [`super::PolicySlot`] checks that they make sense.
pub(crate) trait Questions: Debug + Send + Sync {
    fn describe(&self) -> Description;
    fn recommend(&self, profile: Profile) -> Result<Recommendation, PolicyError>;
    fn delay(&self, config: &RetryConfig, attempt: u32, random: f64) -> Result<Seconds, PolicyError>;
    fn initial(&self, now: u64) -> Result<Transition, PolicyError>;
    fn step(&self, config: &BreakerConfig, state: &BreakerState, seen: &Observation) -> Result<Transition, PolicyError>;
    fn classify(&self, fault: &Fault) -> Result<Classification, PolicyError>;
    fn next_model(&self, current: &str, chain: &[String]) -> Result<Option<u32>, PolicyError>;
    fn simplify_workflow(&self, workflow: &[WorkflowEntry]) -> Result<Vec<WorkflowEdit>, PolicyError>;
    fn may_serve_cached(&self, age: Seconds, max_age: Seconds, failure: &Classification) -> Result<bool, PolicyError>;
    fn judge(&self, snapshot: &ResourceSnapshot, thresholds: &ResourceThresholds) -> Result<Judgement, PolicyError>;
    fn decide(&self, incident: &Incident) -> Result<Verdict, PolicyError>;
}
