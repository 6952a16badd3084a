//! What happened, as it happens: for logs, dashboards and tests.
//!
//! [`Events::subscribe`] gives a typed stream. Every event is emitted through `tracing` too, inside the spans `operation{operation}` and
//! `attempt{number, model}`, and counted by the feature `metrics`. Nothing is emitted on success.

#[cfg(feature = "metrics")]
pub mod metrics;
mod stage;
mod subscription;
mod trace;

pub use subscription::Subscription;

use crate::types::{Classification, Phase, Reason};
pub use stage::Stage;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
        /// Attempts made so far, over all models.
        attempt: u32,
        /// The model that failed.
        from: String,
        /// The model that is tried now.
        to: String,
        /// Why.
        reason: Reason,
    },
    /// The same model is asked again with a larger window: it is loaded again, and reads the whole question.
    WindowEnlarged {
        /// The operation.
        operation: Arc<str>,
        /// Attempts made so far, over all models.
        attempt: u32,
        /// The window that was too small, where it is known; tokens.
        from: Option<u32>,
        /// The window that is asked for now; tokens.
        to: u32,
        /// The length of the question, where it is known; tokens.
        needed: Option<u32>,
        /// How long loading and reading will take, as far as that is known.
        expected: Option<Duration>,
    },
    /// The workflow is tried again, simplified.
    WorkflowSimplified {
        /// The operation.
        operation: Arc<str>,
        /// Attempts made so far, over all models.
        attempt: u32,
        /// Why.
        reason: Reason,
    },
    /// A cached answer was served.
    ServedCached {
        /// The operation.
        operation: Arc<str>,
        /// Attempts made so far, over all models.
        attempt: u32,
        /// The answer's age.
        age: Duration,
    },
    /// The caller's fallback was run.
    FallbackUsed {
        /// The operation.
        operation: Arc<str>,
        /// Attempts made so far, over all models.
        attempt: u32,
        /// Why.
        reason: Reason,
    },
    /// Nothing could be done.
    GaveUp {
        /// The operation.
        operation: Arc<str>,
        /// Attempts made so far, over all models.
        attempt: u32,
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
        /// Attempts made so far, over all models.
        attempt: u32,
        /// The breaker.
        breaker: Arc<str>,
    },
    /// A bulkhead had no room for the call.
    BulkheadRejected {
        /// The operation.
        operation: Arc<str>,
        /// Attempts made so far, over all models.
        attempt: u32,
        /// The bulkhead.
        bulkhead: Arc<str>,
    },
    /// An attempt was slow, and a rival was sent after it.
    Hedged {
        /// The operation.
        operation: Arc<str>,
        /// The attempt, counted from 1 over all models.
        attempt: u32,
        /// The rival, counted from 1 within the attempt.
        hedge: u32,
    },
    /// Another policy became active.
    PolicySwapped {
        /// Name and version of the one before.
        from: String,
        /// Name and version of the new one.
        to: String,
    },
    /// A policy entered a stage of its life.
    PolicyStage {
        /// Its name and version; its file, as long as nothing more is known.
        policy: String,
        /// The stage.
        stage: Stage,
    },
    /// A candidate could not enter a stage; the active policy stays.
    PolicyRefused {
        /// Its name and version; its file, where nothing more is known.
        policy: String,
        /// The stage.
        stage: Stage,
        /// Why.
        error: String,
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
    /// This subscriber was too slow and missed events; only it is told.
    Missed {
        /// How many.
        events: u64,
    },
}

/// Whether what happens is looked at more closely than by events: spans are wanted, or metrics.
#[inline]
pub fn is_watched() -> bool {
    trace::is_wanted() || cfg!(feature = "metrics")
}

/// Where events are sent to. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sender: broadcast::Sender<Event>,
    /// The sender's own count is behind a lock.
    subscribers: AtomicUsize,
}

impl Default for Events {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { sender: broadcast::Sender::new(BACKLOG), subscribers: AtomicUsize::new(0) }) }
    }
}

impl Events {
    /// All events from now on. A subscriber that falls 1,024 events behind misses the oldest and is told how many ([`Event::Missed`]).
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(&self.shared)
    }

    /// Sends an event to whoever listens, and to `tracing`. It is made only if somebody wants it: a rejection must be cheap.
    pub fn emit(&self, event: impl FnOnce() -> Event) {
        if self.are_wanted() {
            self.send(event());
        }
    }

    /// Whether anybody could want an event.
    #[inline]
    pub fn are_wanted(&self) -> bool {
        self.shared.subscribers.load(Ordering::Acquire) > 0 || trace::is_wanted() || cfg!(feature = "metrics")
    }

    #[cold]
    fn send(&self, event: Event) {
        trace::trace(&event);
        #[cfg(feature = "metrics")]
        metrics::count(&event);
        if self.shared.subscribers.load(Ordering::Acquire) > 0 {
            // Nobody listening any more is fine.
            let _ = self.shared.sender.send(event);
        }
    }
}
