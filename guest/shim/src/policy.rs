//! The functions of the world, each with the default policy's answer.

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

/// A recovery policy: pure decisions, equal answers to equal arguments, nothing kept between calls.
///
/// `wit/` says what each function may rely on and must hold to. One function's override does not reach into another's default:
/// who waits otherwise in [`delay`](Self::delay) sees to it that [`decide`](Self::decide) does as well.
pub trait Policy {
    /// Who this policy is. Two policies need different names.
    fn describe() -> Description {
        metadata::describe()
    }

    /// The settings that it recommends.
    fn recommend(profile: Profile) -> Recommendation {
        settings::recommend(profile)
    }

    /// The delay after the failure of attempt `attempt` (the first is 0), in seconds; `random` is in [0, 1).
    fn delay(config: &RetryConfig, attempt: u32, random: f64) -> Seconds {
        backoff::delay(config, attempt, random)
    }

    /// The state of a breaker that has seen nothing yet.
    fn initial(now: Instant) -> Transition {
        breaker::initial(now)
    }

    /// The next state of a breaker.
    fn step(config: &BreakerConfig, state: BreakerState, observation: &Observation) -> Transition {
        breaker::step(config, state, observation)
    }

    /// What a failure means.
    fn classify(fault: &Fault) -> Classification {
        classifier::classify(fault)
    }

    /// The index in `chain` of the model to try after `current`; none where there is no other.
    fn next_model(current: &str, chain: &[String]) -> Option<u32> {
        degradation::next_model(current, chain)
    }

    /// What to change in a workflow so that it asks for less.
    fn simplify_workflow(workflow: &[WorkflowEntry]) -> Vec<WorkflowEdit> {
        degradation::simplify_workflow(workflow)
    }

    /// Whether an answer that is `age` seconds old may be served in place of one that failed so.
    fn may_serve_cached(age: Seconds, max_age: Seconds, failure: &Classification) -> bool {
        degradation::may_serve_cached(age, max_age, failure)
    }

    /// Whether the resources suffice.
    fn judge(snapshot: &ResourceSnapshot, thresholds: &ResourceThresholds) -> Judgement {
        health::judge(snapshot, thresholds)
    }

    /// Classifies the failure, moves the breaker on, and says what to do.
    fn decide(incident: Incident) -> Verdict {
        recovery::decide(incident)
    }
}
