//! Counters and histograms through the [`metrics`](https://docs.rs/metrics) facade, for whichever recorder the program installs (feature `metrics`).
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `upright_operations_total` | counter | `operation`, `outcome`: `live`, `cached`, `fallback`, `circuit_open`, `bulkhead_full`, `failed` |
//! | `upright_operation_duration_seconds` | histogram, seconds | `operation`, `outcome` |
//! | `upright_operation_attempts` | histogram | `operation`, `outcome` |
//! | `upright_failed_attempts_total` | counter | `operation`, `category` |
//! | `upright_retries_total` | counter | `operation` |
//! | `upright_retry_delay_seconds` | histogram, seconds | `operation` |
//! | `upright_hedges_total` | counter | `operation` |
//! | `upright_model_switches_total` | counter | `operation`, `from`, `to` |
//! | `upright_windows_enlarged_total` | counter | `operation` |
//! | `upright_answers_total` | counter | `verdict`: `whole`, `cut`, `empty`, `used_up_length`, `question_cut`, `failed` |
//! | `upright_rejected_calls_total` | counter | `operation`, `by`: `circuit_breaker`, `bulkhead` |
//! | `upright_circuit_breaker_transitions_total` | counter | `breaker`, `from`, `to` |
//! | `upright_policy_refusals_total` | counter | `stage` |
//! | `upright_policy_failures_total`, `upright_policy_swaps_total`, `upright_policy_rollbacks_total` | counter | |
//!
//! An answer that is served fresh from the cache, without a call, is counted and has no duration. The last step before the caller, a cached answer or a fallback, is outside the duration. With this feature the success path reads the exact clock twice and looks its
//! instruments up; without it none of this is there.

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

/// Counts an operation that has ended.
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

/// Counts an operation that a fresh answer in the cache made unnecessary: it has no duration and no attempt.
pub fn answered_without_a_call(operation: &Arc<str>) {
    counter!("upright_operations_total", "operation" => label(operation), "outcome" => "cached").increment(1);
}

/// Counts an answer of a model, or the failure in its place.
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

/// Counts an event.
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
        // In what operations and attempts come to.
        Event::WorkflowSimplified { .. }
        | Event::ServedCached { .. }
        | Event::FallbackUsed { .. }
        | Event::GaveUp { .. }
        | Event::PolicyStage { .. }
        | Event::Missed { .. } => {}
    }
}
