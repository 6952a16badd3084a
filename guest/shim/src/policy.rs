//! The functions of a policy.

use alloc::string::String;
use alloc::vec::Vec;

use upright_logic::backoff::RetryConfig;
use upright_logic::breaker::{BreakerConfig, BreakerState, Observation, Transition};
use upright_logic::degradation::{WorkflowEdit, WorkflowEntry};
use upright_logic::health::{Judgement, ResourceSnapshot, ResourceThresholds};
use upright_logic::metadata::Description;
use upright_logic::recovery::{Incident, Verdict};
use upright_logic::settings::{Profile, Recommendation};
use upright_logic::types::{Classification, Fault, Instant, Seconds};
use upright_logic::{backoff, breaker, classifier, degradation, health, metadata, recovery, settings};

/// A recovery policy: pure decisions, equal for equal arguments.
///
/// `wit/` states the contract of each function. Overrides do not affect other defaults: a policy with its own
/// [`delay`](Self::delay) must override [`decide`](Self::decide) too.
pub trait Policy {
    /// Describes this policy; its name must be unique.
    fn describe() -> Description {
        metadata::describe()
    }

    /// Returns the recommended settings.
    fn recommend(profile: Profile) -> Recommendation {
        settings::recommend(profile)
    }

    /// Returns the delay in seconds after attempt `attempt` (from 0); `random` is in [0, 1).
    fn delay(config: &RetryConfig, attempt: u32, random: f64) -> Seconds {
        backoff::delay(config, attempt, random)
    }

    /// Returns a new breaker's state.
    fn initial(now: Instant) -> Transition {
        breaker::initial(now)
    }

    /// Returns a breaker's next state.
    fn step(config: &BreakerConfig, state: BreakerState, observation: &Observation) -> Transition {
        breaker::step(config, state, observation)
    }

    /// Classifies a failure.
    fn classify(fault: &Fault) -> Classification {
        classifier::classify(fault)
    }

    /// Returns the index in `chain` of the model after `current`, if any.
    fn next_model(current: &str, chain: &[String]) -> Option<u32> {
        degradation::next_model(current, chain)
    }

    /// Returns the changes that make a workflow lighter.
    fn simplify_workflow(workflow: &[WorkflowEntry]) -> Vec<WorkflowEdit> {
        degradation::simplify_workflow(workflow)
    }

    /// Whether an answer `age` seconds old may replace a failed one.
    fn may_serve_cached(age: Seconds, max_age: Seconds, failure: &Classification) -> bool {
        degradation::may_serve_cached(age, max_age, failure)
    }

    /// Compares resources with their limits.
    fn judge(snapshot: &ResourceSnapshot, thresholds: &ResourceThresholds) -> Judgement {
        health::judge(snapshot, thresholds)
    }

    /// Classifies the failure, moves the breaker, chooses the next step.
    fn decide(incident: Incident) -> Verdict {
        recovery::decide(incident)
    }
}
