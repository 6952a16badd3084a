//! Writes events to `tracing`.

use super::Event;

#[inline]
pub(super) fn is_wanted() -> bool {
    tracing::level_filters::LevelFilter::current() != tracing::level_filters::LevelFilter::OFF
}

/// Users filter by this target.
pub(super) fn trace(event: &Event) {
    match event {
        Event::AttemptFailed { operation, attempt, classification, message } => tracing::warn!(target: "upright",
            %operation, attempt, category = %classification.category, severity = %classification.severity,
            rule = classification.rule, error = message, "attempt failed"
        ),
        Event::RetryScheduled { operation, attempt, delay } => tracing::info!(target: "upright", %operation, attempt, ?delay, "retrying"),
        Event::ModelSwitched { operation, attempt, from, to, reason } => {
            tracing::warn!(target: "upright", %operation, attempt, from, to, %reason, "switching model")
        }
        Event::HostSwitched { operation, attempt, from, to, reason } => {
            tracing::warn!(target: "upright", %operation, attempt, from = from.as_deref(), to = to.as_deref(), %reason, "switching host")
        }
        Event::WindowEnlarged { operation, attempt, from, to, needed, expected } => {
            tracing::warn!(target: "upright", %operation, attempt, from, to, needed, ?expected, "asking for a larger window")
        }
        Event::WorkflowSimplified { operation, attempt, reason } => {
            tracing::warn!(target: "upright", %operation, attempt, %reason, "simplifying the workflow")
        }
        Event::ServedCached { operation, attempt, age } => {
            tracing::warn!(target: "upright", %operation, attempt, ?age, "serving a cached answer")
        }
        Event::FallbackUsed { operation, attempt, reason } => {
            tracing::warn!(target: "upright", %operation, attempt, %reason, "using the fallback")
        }
        Event::GaveUp { operation, attempt, reason } => tracing::error!(target: "upright", %operation, attempt, %reason, "giving up"),
        Event::BreakerMoved { breaker, from, to } => tracing::warn!(target: "upright", %breaker, %from, %to, "circuit breaker moved"),
        Event::CallRejected { operation, attempt, breaker } => {
            tracing::warn!(target: "upright", %operation, attempt, %breaker, "call rejected")
        }
        Event::BulkheadRejected { operation, attempt, bulkhead } => {
            tracing::warn!(target: "upright", %operation, attempt, %bulkhead, "the bulkhead is full");
        }
        Event::Hedged { operation, attempt, hedge } => {
            tracing::info!(target: "upright", %operation, attempt, hedge, "sending a hedge attempt after a slow attempt")
        }
        Event::PolicySwapped { from, to } => tracing::info!(target: "upright", from, to, "policy swapped"),
        Event::PolicyStage { policy, stage } => tracing::debug!(target: "upright", policy, %stage, "policy entered a stage"),
        Event::PolicyRefused { policy, stage, error } => {
            tracing::error!(target: "upright", policy, %stage, error, "policy refused: the active one stays");
        }
        Event::SafeMode { policy, error } => tracing::error!(target: "upright", policy, error, "the policy failed: safe mode answered"),
        Event::PolicyRolledBack { from, to } => tracing::error!(target: "upright", from, to, "policy rolled back"),
        Event::Missed { .. } => {}
    }
}
