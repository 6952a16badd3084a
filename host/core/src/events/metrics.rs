//! Counts through the [`metrics`](https://docs.rs/metrics) facade (feature `metrics`). Names and labels:
//!
//! - `upright_operations_total`: `operation`, `outcome` (`live`, `cached`, `fallback`, `circuit_open`, `bulkhead_full`,
//!   `failed`)
//! - `upright_operation_duration_seconds` (histogram): `operation`, `outcome`
//! - `upright_operation_attempts` (histogram): `operation`, `outcome`
//! - `upright_failed_attempts_total`: `operation`, `category`
//! - `upright_retries_total`: `operation`
//! - `upright_retry_delay_seconds` (histogram): `operation`
//! - `upright_hedges_total`: `operation`
//! - `upright_model_switches_total`: `operation`, `from`, `to`
//! - `upright_host_switches_total`: `operation`
//! - `upright_windows_enlarged_total`: `operation`
//! - `upright_answers_total`: `verdict` (`whole`, `cut`, `empty`, `used_up_length`, `question_cut`, `failed`)
//! - `upright_rejected_calls_total`: `operation`, `by` (`circuit_breaker`, `bulkhead`)
//! - `upright_circuit_breaker_transitions_total`: `breaker`, `from`, `to`
//! - `upright_policy_refusals_total`: `stage`
//! - `upright_policy_failures_total`, `upright_policy_swaps_total`, `upright_policy_rollbacks_total`
//!
//! The others are counters. Fresh cached answers count without a duration. Durations exclude a final cached answer or
//! fallback. Each success costs two exact clock readings and instrument lookups.

use crate::driving::Ending;
use crate::error::Error;
use crate::events::Event;
use ::metrics::{SharedString, counter, histogram};
use std::sync::Arc;
use std::time::Duration;
use upright_protocol::{OllamaError, Verdict};

fn label(name: &Arc<str>) -> SharedString {
    SharedString::from_shared(Arc::clone(name))
}

pub(crate) fn ended<T>(operation: &Arc<str>, ending: &Ending<T>, attempts: u32, elapsed: Duration) {
    let outcome = match ending {
        Ending::Live(_) => "live",
        Ending::Cached(_) => "cached",
        Ending::Fallback(_) => "fallback",
        Ending::Failed(Error::CircuitOpen(_)) => "circuit_open",
        Ending::Failed(Error::BulkheadFull(_)) => "bulkhead_full",
        Ending::Failed(_) => "failed",
    };
    counter!("upright_operations_total", "operation" => label(operation), "outcome" => outcome).increment(1);
    histogram!("upright_operation_duration_seconds", "operation" => label(operation), "outcome" => outcome).record(elapsed);
    histogram!("upright_operation_attempts", "operation" => label(operation), "outcome" => outcome).record(attempts);
}

/// Counts an operation answered fresh from the cache.
pub fn answered_without_a_call(operation: &Arc<str>) {
    counter!("upright_operations_total", "operation" => label(operation), "outcome" => "cached").increment(1);
}

/// Counts a model's answer or failure.
pub fn answered(outcome: Result<&Verdict, &OllamaError>) {
    let verdict = match outcome {
        Ok(verdict) => verdict.name(),
        Err(OllamaError::Incomplete { .. }) => "cut",
        Err(OllamaError::EmptyAnswer { .. }) => "empty",
        Err(OllamaError::QuestionCut { .. }) => "question_cut",
        Err(_) => "failed",
    };
    counter!("upright_answers_total", "verdict" => verdict).increment(1);
}

pub(crate) fn count(event: &Event) {
    match event {
        Event::AttemptFailed { operation, classification, .. } => {
            let category = classification.category.name();
            counter!("upright_failed_attempts_total", "operation" => label(operation), "category" => category).increment(1);
        }
        Event::RetryScheduled { operation, delay, .. } => {
            counter!("upright_retries_total", "operation" => label(operation)).increment(1);
            histogram!("upright_retry_delay_seconds", "operation" => label(operation)).record(*delay);
        }
        Event::Hedged { operation, .. } => counter!("upright_hedges_total", "operation" => label(operation)).increment(1),
        Event::ModelSwitched { operation, from, to, .. } => {
            let (from, to) = (from.clone(), to.clone());
            counter!("upright_model_switches_total", "operation" => label(operation), "from" => from, "to" => to).increment(1);
        }
        Event::HostSwitched { operation, .. } => counter!("upright_host_switches_total", "operation" => label(operation)).increment(1),
        Event::WindowEnlarged { operation, .. } => {
            counter!("upright_windows_enlarged_total", "operation" => label(operation)).increment(1);
        }
        Event::CallRejected { operation, .. } => {
            counter!("upright_rejected_calls_total", "operation" => label(operation), "by" => "circuit_breaker").increment(1);
        }
        Event::BulkheadRejected { operation, .. } => {
            counter!("upright_rejected_calls_total", "operation" => label(operation), "by" => "bulkhead").increment(1);
        }
        Event::BreakerMoved { breaker, from, to } => {
            let (from, to) = (from.name(), to.name());
            counter!("upright_circuit_breaker_transitions_total", "breaker" => label(breaker), "from" => from, "to" => to).increment(1);
        }
        Event::SafeMode { .. } => counter!("upright_policy_failures_total").increment(1),
        Event::PolicySwapped { .. } => counter!("upright_policy_swaps_total").increment(1),
        Event::PolicyRefused { stage, .. } => counter!("upright_policy_refusals_total", "stage" => stage.name()).increment(1),
        Event::PolicyRolledBack { .. } => counter!("upright_policy_rollbacks_total").increment(1),
        Event::WorkflowSimplified { .. }
        | Event::ServedCached { .. }
        | Event::FallbackUsed { .. }
        | Event::GaveUp { .. }
        | Event::PolicyStage { .. }
        | Event::Missed { .. } => {}
    }
}
