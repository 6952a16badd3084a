//! Converts arguments and answers; decides nothing.

use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::Policy;
use crate::bindings::exports::upright::policy::{backoff, breaker, classifier, degradation, health, metadata, recovery, settings, types};

upright_logic::bridge!(crate::bindings::exports::upright::policy);

/// Adapts a [`Policy`] to the bindings.
#[derive(Debug)]
pub struct Exported<P>(PhantomData<P>);

impl<P: Policy> metadata::Guest for Exported<P> {
    fn describe() -> metadata::Description {
        P::describe().cross()
    }
}

impl<P: Policy> settings::Guest for Exported<P> {
    fn recommend(profile: settings::Profile) -> settings::Recommendation {
        P::recommend(profile.cross()).cross()
    }
}

impl<P: Policy> backoff::Guest for Exported<P> {
    fn delay(config: backoff::RetryConfig, attempt: u32, random: f64) -> f64 {
        P::delay(&config.cross(), attempt, random)
    }
}

impl<P: Policy> breaker::Guest for Exported<P> {
    fn initial(now: u64) -> breaker::Transition {
        P::initial(now).cross()
    }

    fn step(config: breaker::BreakerConfig, state: breaker::BreakerState, observation: breaker::Observation) -> breaker::Transition {
        P::step(&config.cross(), state.cross(), &observation.cross()).cross()
    }
}

impl<P: Policy> classifier::Guest for Exported<P> {
    fn classify(fault: types::Fault) -> types::Classification {
        P::classify(&fault.cross()).cross()
    }
}

impl<P: Policy> degradation::Guest for Exported<P> {
    fn next_model(current: String, chain: Vec<String>) -> Option<u32> {
        P::next_model(&current, &chain)
    }

    fn simplify_workflow(workflow: Vec<degradation::WorkflowEntry>) -> Vec<degradation::WorkflowEdit> {
        let workflow: Vec<_> = workflow.cross();
        P::simplify_workflow(&workflow).cross()
    }

    fn may_serve_cached(age: f64, max_age: f64, failure: types::Classification) -> bool {
        P::may_serve_cached(age, max_age, &failure.cross())
    }
}

impl<P: Policy> health::Guest for Exported<P> {
    fn judge(snapshot: health::ResourceSnapshot, thresholds: health::ResourceThresholds) -> health::Judgement {
        P::judge(&snapshot.cross(), &thresholds.cross()).cross()
    }
}

impl<P: Policy> recovery::Guest for Exported<P> {
    fn decide(incident: recovery::Incident) -> recovery::Verdict {
        P::decide(incident.cross()).cross()
    }
}
