//! What happened, as it happens: for logs, dashboards and tests.
//!
//! Every event is emitted through `tracing` too. Nothing is emitted on success.

use crate::types::{Classification, Phase, Reason};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// So many events wait for a slow subscriber before it misses the oldest.
const BACKLOG: usize = 1024;

/// Something that happened. Names are those of operations, breakers, models and policies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt failed.
    AttemptFailed {
        /// The operation.
        operation: Arc<str>,
        /// Counted from 1, over all models.
        attempt: u32,
        /// What the failure means.
        classification: Classification,
        /// The failure's text, cut to 200 bytes.
        message: String,
    },
    /// The same call is tried again after a delay.
    RetryScheduled {
        /// The operation.
        operation: Arc<str>,
        /// The attempt that will be made, counted from 1.
        attempt: u32,
        /// The wait before it.
        delay: Duration,
    },
    /// Another model is tried.
    ModelSwitched {
        /// The operation.
        operation: Arc<str>,
        /// The model that failed.
        from: String,
        /// The model that is tried now.
        to: String,
        /// Why.
        reason: Reason,
    },
    /// The workflow is tried again, simplified.
    WorkflowSimplified {
        /// The operation.
        operation: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// A cached answer was served.
    ServedCached {
        /// The operation.
        operation: Arc<str>,
        /// The answer's age.
        age: Duration,
    },
    /// The caller's fallback was run.
    FallbackUsed {
        /// The operation.
        operation: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// Nothing could be done.
    GaveUp {
        /// The operation.
        operation: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// A breaker changed its phase.
    BreakerMoved {
        /// The breaker.
        breaker: Arc<str>,
        /// The phase that it left.
        from: Phase,
        /// The phase that it entered.
        to: Phase,
    },
    /// A breaker let nothing through.
    CallRejected {
        /// The operation.
        operation: Arc<str>,
        /// The breaker.
        breaker: Arc<str>,
    },
    /// Another policy became active.
    PolicySwapped {
        /// Name and version of the one before.
        from: String,
        /// Name and version of the new one.
        to: String,
    },
    /// The policy failed and native code answered in its place.
    SafeMode {
        /// The policy.
        policy: String,
        /// How it failed.
        error: String,
    },
    /// A policy that failed repeatedly was replaced.
    PolicyRolledBack {
        /// The one that failed.
        from: String,
        /// The one that is active again.
        to: String,
    },
}

/// Where events are sent to. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Events {
    sender: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(BACKLOG) }
    }
}

impl Events {
    /// All events from now on. A subscriber that falls 1,024 events behind misses the oldest and is told how many.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// Sends an event to whoever listens, and to `tracing`.
    pub(crate) fn emit(&self, event: Event) {
        trace(&event);
        // Nobody listening is fine.
        let _ = self.sender.send(event);
    }
}

fn trace(event: &Event) {
    match event {
        Event::AttemptFailed { operation, attempt, classification, message } => tracing::warn!(
            %operation, attempt, category = %classification.category, severity = %classification.severity,
            rule = classification.rule, message, "attempt failed"
        ),
        Event::RetryScheduled { operation, attempt, delay } => tracing::info!(%operation, attempt, ?delay, "retrying"),
        Event::ModelSwitched { operation, from, to, reason } => tracing::warn!(%operation, from, to, %reason, "switching model"),
        Event::WorkflowSimplified { operation, reason } => tracing::warn!(%operation, %reason, "simplifying the workflow"),
        Event::ServedCached { operation, age } => tracing::warn!(%operation, ?age, "serving a cached answer"),
        Event::FallbackUsed { operation, reason } => tracing::warn!(%operation, %reason, "using the fallback"),
        Event::GaveUp { operation, reason } => tracing::error!(%operation, %reason, "giving up"),
        Event::BreakerMoved { breaker, from, to } => tracing::warn!(%breaker, %from, %to, "circuit breaker moved"),
        Event::CallRejected { operation, breaker } => tracing::warn!(%operation, %breaker, "call rejected"),
        Event::PolicySwapped { from, to } => tracing::info!(from, to, "policy swapped"),
        Event::SafeMode { policy, error } => tracing::error!(policy, error, "the policy failed: safe mode answered"),
        Event::PolicyRolledBack { from, to } => tracing::error!(from, to, "policy rolled back"),
    }
}
