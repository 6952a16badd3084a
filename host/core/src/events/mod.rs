//! Reports events as they happen.
//!
//! [`Events::subscribe`] gives a typed stream; `tracing` gets them in the spans `operation{operation}` and
//! `attempt{number, model}`. Successes emit nothing.

#[cfg(feature = "metrics")]
pub mod metrics;
mod stage;
mod subscription;
mod trace;

pub use subscription::Subscription;

use crate::types::{Classification, Phase, Reason};
pub use stage::Stage;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::broadcast;

/// Maximum queued events per subscriber.
const BACKLOG: usize = 1024;

/// An event. Names are those of operations, breakers, models and policies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt failed.
    AttemptFailed {
        /// Operation.
        operation: Arc<str>,
        /// Number, from 1 over all models.
        attempt: u32,
        /// Classification.
        classification: Classification,
        /// Text, cut to 200 bytes.
        message: String,
    },
    /// Another host is asked.
    HostSwitched {
        /// Operation.
        operation: Arc<str>,
        /// Number of the failed attempt.
        attempt: u32,
        /// Name of the host before, if known.
        from: Option<Arc<str>>,
        /// Name of the host from now on, if known.
        to: Option<Arc<str>>,
        /// Why.
        reason: Reason,
    },
    /// A retry follows.
    RetryScheduled {
        /// Operation.
        operation: Arc<str>,
        /// Number of the retry's attempt, from 1.
        attempt: u32,
        /// Delay before it.
        delay: Duration,
    },
    /// Another model follows.
    ModelSwitched {
        /// Operation.
        operation: Arc<str>,
        /// Number of attempts.
        attempt: u32,
        /// Failed model.
        from: String,
        /// Next model.
        to: String,
        /// Reason.
        reason: Reason,
    },
    /// The model reloads with a larger window and rereads the question.
    WindowEnlarged {
        /// Operation.
        operation: Arc<str>,
        /// Number of attempts.
        attempt: u32,
        /// Old window, if known; tokens.
        from: Option<u32>,
        /// New window; tokens.
        to: u32,
        /// Question length, if known; tokens.
        needed: Option<u32>,
        /// Expected time to load and read, if known.
        expected: Option<Duration>,
    },
    /// A simplified workflow follows.
    WorkflowSimplified {
        /// Operation.
        operation: Arc<str>,
        /// Number of attempts.
        attempt: u32,
        /// Reason.
        reason: Reason,
    },
    /// A cached answer was served.
    ServedCached {
        /// Operation.
        operation: Arc<str>,
        /// Number of attempts.
        attempt: u32,
        /// Age of the answer.
        age: Duration,
    },
    /// The fallback ran.
    FallbackUsed {
        /// Operation.
        operation: Arc<str>,
        /// Number of attempts.
        attempt: u32,
        /// Reason.
        reason: Reason,
    },
    /// The operation failed.
    GaveUp {
        /// Operation.
        operation: Arc<str>,
        /// Number of attempts.
        attempt: u32,
        /// Reason.
        reason: Reason,
    },
    /// A breaker changed phase.
    BreakerMoved {
        /// Breaker.
        breaker: Arc<str>,
        /// Old phase.
        from: Phase,
        /// New phase.
        to: Phase,
    },
    /// A breaker rejected a call.
    CallRejected {
        /// Operation.
        operation: Arc<str>,
        /// Number of attempts.
        attempt: u32,
        /// Breaker.
        breaker: Arc<str>,
    },
    /// A bulkhead rejected a call.
    BulkheadRejected {
        /// Operation.
        operation: Arc<str>,
        /// Number of attempts.
        attempt: u32,
        /// Bulkhead.
        bulkhead: Arc<str>,
    },
    /// A hedge attempt started.
    Hedged {
        /// Operation.
        operation: Arc<str>,
        /// Number of the attempt, from 1 over all models.
        attempt: u32,
        /// Number of the hedge, from 1 per attempt.
        hedge: u32,
    },
    /// Another policy became active.
    PolicySwapped {
        /// Old name and version.
        from: String,
        /// New name and version.
        to: String,
    },
    /// A policy entered a stage.
    PolicyStage {
        /// Name and version, else file.
        policy: String,
        /// Stage.
        stage: Stage,
    },
    /// A candidate failed; the active policy stays.
    PolicyRefused {
        /// Name and version, else file.
        policy: String,
        /// Stage.
        stage: Stage,
        /// Error.
        error: String,
    },
    /// The policy failed; native code answered.
    SafeMode {
        /// Policy.
        policy: String,
        /// Error.
        error: String,
    },
    /// A failing policy was rolled back.
    PolicyRolledBack {
        /// Failed policy.
        from: String,
        /// Policy active again.
        to: String,
    },
    /// The subscriber was too slow.
    Missed {
        /// Number of missed events.
        events: u64,
    },
}

/// Whether spans or metrics are wanted.
#[inline]
#[doc(hidden)]
pub fn is_watched() -> bool {
    trace::is_wanted() || cfg!(feature = "metrics")
}

/// Sends events. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Made for the first subscriber: its backlog takes about 100 kB.
    sender: OnceLock<broadcast::Sender<Event>>,
    /// The sender's count needs a lock.
    subscribers: AtomicUsize,
}

impl Shared {
    fn sender(&self) -> &broadcast::Sender<Event> {
        self.sender.get_or_init(|| broadcast::Sender::new(BACKLOG))
    }
}

impl Events {
    /// Subscribes. From 1,024 queued events on, the oldest are lost ([`Event::Missed`]).
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(&self.shared)
    }

    /// Sends an event. Made only if wanted: rejections must be cheap.
    #[doc(hidden)]
    pub fn emit(&self, event: impl FnOnce() -> Event) {
        if self.are_wanted() {
            self.send(event());
        }
    }

    /// Whether events are wanted.
    #[inline]
    #[doc(hidden)]
    pub fn are_wanted(&self) -> bool {
        self.shared.subscribers.load(Ordering::Acquire) > 0 || trace::is_wanted() || cfg!(feature = "metrics")
    }

    #[cold]
    fn send(&self, event: Event) {
        trace::trace(&event);
        #[cfg(feature = "metrics")]
        metrics::count(&event);
        if self.shared.subscribers.load(Ordering::Acquire) > 0 {
            // Fails without subscribers.
            let _ = self.shared.sender().send(event);
        }
    }
}
