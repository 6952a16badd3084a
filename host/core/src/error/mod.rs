//! What a caller gets when nothing could be done.

mod store;

pub use store::StoreError;

use crate::types::{Classification, Reason};
use std::sync::Arc;
use std::time::Duration;

/// Any error, as operations return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// How a guarded call ends when it does not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operation failed, and neither another attempt nor anything else could serve.
    #[error("{0}")]
    Failed(#[source] Box<Failure>),

    /// A circuit breaker let nothing through; the operation was not tried.
    #[error(transparent)]
    CircuitOpen(#[from] CircuitOpen),

    /// A bulkhead had no room; the operation was not tried.
    #[error(transparent)]
    BulkheadFull(#[from] BulkheadFull),

    /// The operation failed, and so did the fallback that was to take its place.
    #[error("the fallback failed too: {fallback}; before it: {first}")]
    FallbackFailed {
        /// How the fallback failed.
        #[source]
        fallback: BoxError,
        /// What it was to make good.
        first: Box<Error>,
    },

    /// The manager is shutting down and takes no new operations.
    #[error("shutting down: no new operations are taken")]
    ShuttingDown,

    /// A service of tower's failed to become ready; nothing was tried.
    #[error("the service did not become ready: {0}")]
    NotReady(#[source] BoxError),

    /// A setting cannot be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),

    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// The failure behind this error, where the operation was tried.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::FallbackFailed { first, .. } => first.failure(),
            _ => None,
        }
    }

    /// The operation's own last error, if it was of this type: also where it failed within another guarded call that it made.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        let source = match self {
            Self::NotReady(source) => source,
            _ => &self.failure()?.source,
        };
        source.downcast_ref().or_else(|| source.downcast_ref::<Self>().and_then(Self::downcast_ref))
    }
}

/// How an operation failed for good.
#[derive(Debug, thiserror::Error)]
#[error("failed after {attempts} attempt{} ({reason}): {source}", plural(*attempts))]
pub struct Failure {
    /// Attempts that were made, over all models.
    pub attempts: u32,
    /// Why no other attempt was made.
    pub reason: Reason,
    /// What the last error means.
    pub classification: Classification,
    /// From the first attempt to the end.
    pub elapsed: Duration,
    /// The last error of the operation itself.
    #[source]
    pub source: BoxError,
}

/// A circuit breaker let nothing through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Circuit breaker OPEN: \"{breaker}\" {rejection}")]
pub struct CircuitOpen {
    /// The breaker's name.
    pub breaker: Arc<str>,
    /// Why, and for how long.
    pub rejection: Rejection,
}

impl CircuitOpen {
    /// The time after which a call may pass again, where that is known: not for an isolated breaker.
    pub fn time_left(&self) -> Option<Duration> {
        match self.rejection {
            Rejection::Open { time_left } => Some(time_left),
            Rejection::Probing => Some(Duration::ZERO),
            Rejection::Isolated => None,
        }
    }
}

/// Why a breaker rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The service was failing.
    Open {
        /// Until probes are let through.
        time_left: Duration,
    },
    /// It is being probed, and the probes that may be in flight are.
    Probing,
    /// Somebody isolated it; it stays so until it is reset.
    Isolated,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open { time_left } => write!(formatter, "rejects calls for another {:.1} s", time_left.as_secs_f64()),
            Self::Probing => formatter.write_str("is being probed, and all its probes are in flight"),
            Self::Isolated => formatter.write_str("is isolated until it is reset"),
        }
    }
}

/// A bulkhead had no room for a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bulkhead full: \"{bulkhead}\" has {max_concurrent} call{} in flight{}", plural(*max_concurrent), Queue(self))]
pub struct BulkheadFull {
    /// The bulkhead's name.
    pub bulkhead: Arc<str>,
    /// Calls that it lets through at once.
    pub max_concurrent: u32,
    /// Calls that it lets wait.
    pub max_queued: u32,
    /// How long this call waited; zero if there was no place in the queue.
    pub waited: Duration,
}

/// What makes a word one of several.
fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What a full bulkhead says of its queue.
struct Queue<'a>(&'a BulkheadFull);

impl std::fmt::Display for Queue<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            BulkheadFull { waited, .. } if !waited.is_zero() => write!(formatter, ", and none ended within {:.1} s", waited.as_secs_f64()),
            BulkheadFull { max_queued: 0, .. } => Ok(()),
            BulkheadFull { max_queued, .. } => write!(formatter, " and {max_queued} waiting"),
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{setting} is {value}: {expected}")]
pub struct ConfigurationError {
    /// The setting's name.
    pub setting: &'static str,
    /// What it was set to.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}

impl ConfigurationError {
    /// Complains that `setting` is `value` and says what was expected.
    pub fn unless(holds: bool, setting: &'static str, value: impl std::fmt::Display, expected: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { setting, value: value.to_string(), expected }) }
    }
}

/// An attempt took longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attempt timed out after {:.3} s", limit.as_secs_f64())]
pub struct AttemptTimeout {
    /// How long it was given.
    pub limit: Duration,
}

/// A result that the caller's predicate would not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the result was not accepted by the caller's predicate")]
pub struct RejectedResult;
