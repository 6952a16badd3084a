//! The default policy as a component: a shim that exports `upright-logic` as the world `upright:policy/policy`.
//!
//! Nothing is decided here. Arguments cross into `upright-logic`'s types, answers cross back.
#![no_std]
// The generated exports are `unsafe extern` functions; nothing written here is.
#![allow(unsafe_code, missing_docs)]

extern crate alloc;

// Under WASI the C library behind `std` brings the allocator and what the bindings link against.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
extern crate std;

use alloc::string::String;
use alloc::vec::Vec;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod runtime {
    #[global_allocator]
    static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

    /// A panic is a trap: the host then answers with its safe mode.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }
}

wit_bindgen::generate!({ world: "policy", path: "../../wit" });

use exports::upright::policy::{backoff, breaker, classifier, degradation, health, metadata, recovery, settings, types};
use upright_logic as logic;

logic::bridge!(crate::exports::upright::policy);

struct Policy;

impl metadata::Guest for Policy {
    fn describe() -> metadata::Description {
        logic::metadata::describe().cross()
    }
}

impl settings::Guest for Policy {
    fn recommend(profile: settings::Profile) -> settings::Recommendation {
        logic::settings::recommend(profile.cross()).cross()
    }
}

impl backoff::Guest for Policy {
    fn delay(config: backoff::RetryConfig, attempt: u32, random: f64) -> f64 {
        logic::backoff::delay(&config.cross(), attempt, random)
    }
}

impl breaker::Guest for Policy {
    fn initial(now: u64) -> breaker::Transition {
        logic::breaker::initial(now).cross()
    }

    fn step(config: breaker::BreakerConfig, state: breaker::BreakerState, observation: breaker::Observation) -> breaker::Transition {
        logic::breaker::step(&config.cross(), state.cross(), &observation.cross()).cross()
    }
}

impl classifier::Guest for Policy {
    fn classify(fault: types::Fault) -> types::Classification {
        logic::classifier::classify(&fault.cross()).cross()
    }
}

impl degradation::Guest for Policy {
    fn next_model(current: String, chain: Vec<String>) -> Option<u32> {
        logic::degradation::next_model(&current, &chain)
    }

    fn simplify_workflow(workflow: Vec<degradation::WorkflowEntry>) -> Vec<degradation::WorkflowEdit> {
        let workflow: Vec<_> = workflow.cross();
        logic::degradation::simplify_workflow(&workflow).cross()
    }

    fn may_serve_cached(age: f64, max_age: f64, failure: types::Classification) -> bool {
        logic::degradation::may_serve_cached(age, max_age, &failure.cross())
    }
}

impl health::Guest for Policy {
    fn judge(snapshot: health::ResourceSnapshot, thresholds: health::ResourceThresholds) -> health::Judgement {
        logic::health::judge(&snapshot.cross(), &thresholds.cross()).cross()
    }
}

impl recovery::Guest for Policy {
    fn decide(incident: recovery::Incident) -> recovery::Verdict {
        logic::recovery::decide(incident.cross()).cross()
    }
}

export!(Policy);
