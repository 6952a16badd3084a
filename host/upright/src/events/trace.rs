//! Events in the words of `tracing`.

use super::Event;

/// Whether anybody could want an event.
#[inline]
pub(super) fn is_wanted() -> bool {
    tracing::level_filters::LevelFilter::current() != tracing::level_filters::LevelFilter::OFF
}

pub(super) fn trace(event: &Event) {
    match event {
        Event::AttemptFailed { operation, attempt, classification, message } => tracing::warn!(
            %operation, attempt, category = %classification.category, severity = %classification.severity,
            rule = classification.rule, error = message, "attempt failed"
        ),
        Event::RetryScheduled { operation, attempt, delay } => tracing::info!(%operation, attempt, ?delay, "retrying"),
        Event::ModelSwitched { operation, attempt, from, to, reason } => {
            tracing::warn!(%operation, attempt, from, to, %reason, "switching model")
        }
        Event::WorkflowSimplified { operation, attempt, reason } => {
            tracing::warn!(%operation, attempt, %reason, "simplifying the workflow")
        }
        Event::ServedCached { operation, attempt, age } => tracing::warn!(%operation, attempt, ?age, "serving a cached answer"),
        Event::FallbackUsed { operation, attempt, reason } => tracing::warn!(%operation, attempt, %reason, "using the fallback"),
        Event::GaveUp { operation, attempt, reason } => tracing::error!(%operation, attempt, %reason, "giving up"),
        Event::BreakerMoved { breaker, from, to } => tracing::warn!(%breaker, %from, %to, "circuit breaker moved"),
        Event::CallRejected { operation, attempt, breaker } => tracing::warn!(%operation, attempt, %breaker, "call rejected"),
        Event::BulkheadRejected { operation, attempt, bulkhead } => {
            tracing::warn!(%operation, attempt, %bulkhead, "the bulkhead is full");
        }
        Event::Hedged { operation, attempt, hedge } => tracing::info!(%operation, attempt, hedge, "sending a rival after a slow attempt"),
        Event::PolicySwapped { from, to } => tracing::info!(from, to, "policy swapped"),
        Event::SafeMode { policy, error } => tracing::error!(policy, error, "the policy failed: safe mode answered"),
        Event::PolicyRolledBack { from, to } => tracing::error!(from, to, "policy rolled back"),
        // Each subscriber's own.
        Event::Missed { .. } => {}
    }
}
