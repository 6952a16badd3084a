//! Tells callers why a guarded call failed.

mod store;

pub use store::StoreError;

use crate::types::{Classification, Reason};
use std::sync::Arc;
use std::time::Duration;

/// Any error of an operation.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The failure of a guarded call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operation failed, and nothing else could serve.
    #[error("{0}")]
    Failed(#[source] Box<Failure>),

    /// A circuit breaker rejected the call; nothing ran.
    #[error(transparent)]
    CircuitOpen(#[from] CircuitOpen),

    /// A bulkhead was full; nothing ran.
    #[error(transparent)]
    BulkheadFull(#[from] BulkheadFull),

    /// The operation and its fallback failed.
    #[error("the fallback failed too: {fallback}; the operation's failure: {first}")]
    FallbackFailed {
        /// The fallback's error.
        #[source]
        fallback: BoxError,
        /// The operation's error.
        first: Box<Error>,
    },

    /// The manager is shutting down.
    #[error("shutting down: no new operations are accepted")]
    ShuttingDown,

    /// A tower service failed to become ready; nothing ran.
    #[error("the service did not become ready: {0}")]
    NotReady(#[source] BoxError),

    /// A setting is invalid.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),

    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// The operation's failure, if it ran.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::FallbackFailed { first, .. } => first.failure(),
            _ => None,
        }
    }

    /// The operation's last error as `E`, also from nested guarded calls.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        let source = match self {
            Self::NotReady(source) => source,
            _ => &self.failure()?.source,
        };
        source.downcast_ref().or_else(|| source.downcast_ref::<Self>().and_then(Self::downcast_ref))
    }

    /// The operation's own last error by value, if it is of this type.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use upright::RetryStrategy;
    ///
    /// let retry = RetryStrategy::builder().max_retries(0).build().unwrap();
    /// let error = retry.execute(|| async { Err::<(), _>("abc".parse::<u32>().unwrap_err()) }).await.unwrap_err();
    /// let cause: std::num::ParseIntError = error.into_cause().unwrap();
    /// assert_eq!(cause.to_string(), "invalid digit found in string");
    /// # }
    /// ```
    ///
    /// # Errors
    /// This error, unchanged, where no attempt was made or the operation failed with another type.
    pub fn into_cause<E: std::error::Error + 'static>(self) -> Result<E, Self> {
        match self {
            Self::Failed(mut failure) => match std::mem::replace(&mut failure.source, "".into()).downcast::<E>() {
                Ok(cause) => Ok(*cause),
                Err(source) => match source.downcast::<Self>() {
                    Ok(inner) => inner.into_cause().map_err(|inner| {
                        failure.source = inner.into();
                        Self::Failed(failure)
                    }),
                    Err(source) => {
                        failure.source = source;
                        Err(Self::Failed(failure))
                    }
                },
            },
            Self::FallbackFailed { fallback, first } => {
                first.into_cause().map_err(|first| Self::FallbackFailed { fallback, first: Box::new(first) })
            }
            Self::NotReady(source) => source.downcast().map(|cause| *cause).map_err(Self::NotReady),
            other => Err(other),
        }
    }
}

/// The final failure of an operation.
#[derive(Debug, thiserror::Error)]
#[error("failed after {attempts} attempt{} ({reason}): {source}", plural(*attempts))]
pub struct Failure {
    /// Number of attempts over all models.
    pub attempts: u32,
    /// Why no further attempt followed.
    pub reason: Reason,
    /// Classification of the last error.
    pub classification: Classification,
    /// Total time.
    pub elapsed: Duration,
    /// The last error.
    #[source]
    pub source: BoxError,
}

/// A circuit breaker rejected the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Circuit breaker OPEN: \"{breaker}\" {rejection}")]
pub struct CircuitOpen {
    /// Breaker name.
    pub breaker: Arc<str>,
    /// Reason and remaining time.
    pub rejection: Rejection,
}

impl CircuitOpen {
    /// Time until calls may pass; `None` if isolated.
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
        /// Time until probes.
        time_left: Duration,
    },
    /// All probes are in flight.
    Probing,
    /// Isolated by hand, until reset.
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

/// A full bulkhead rejected a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bulkhead full: \"{bulkhead}\" has {max_concurrent} call{} in flight{}", plural(*max_concurrent), Queue(self))]
pub struct BulkheadFull {
    /// Bulkhead name.
    pub bulkhead: Arc<str>,
    /// Maximum number of concurrent calls.
    pub max_concurrent: u32,
    /// Maximum number of queued calls.
    pub max_queued: u32,
    /// Time waited; zero if the queue was full.
    pub waited: Duration,
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

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

/// The first invalid setting.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{setting} is {value}: {expected}")]
pub struct ConfigurationError {
    /// Setting name.
    pub setting: &'static str,
    /// Value found.
    pub value: String,
    /// Value expected.
    pub expected: &'static str,
}

impl ConfigurationError {
    /// Fails for `setting` unless `holds`.
    #[doc(hidden)]
    pub fn unless(holds: bool, setting: &'static str, value: impl std::fmt::Display, expected: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { setting, value: value.to_string(), expected }) }
    }
}

/// An attempt exceeded its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attempt timed out after {:.3} s", limit.as_secs_f64())]
pub struct AttemptTimeout {
    /// The timeout.
    pub limit: Duration,
}

/// The operation succeeded, but `accept` rejected its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the result was not accepted by the caller's predicate")]
pub struct RejectedResult;
