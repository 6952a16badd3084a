//! The guards that operations share, and the settings of one operation.

use crate::budget::RetryBudget;
use crate::bulkhead::Bulkhead;
use crate::classifier::ErrorClassifier;
use crate::clock::{Instant, SharedClock};
use crate::configuration;
use crate::error::ConfigurationError;
use crate::events::Events;
use crate::fault::FaultReader;
use crate::hedge::Hedge;
use crate::policy::PolicySlot;
use crate::random::SharedRandom;
use crate::types::RetryConfig;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The reaction to an error that no rule of the classifier knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnUnknown {
    /// The operation gives up: a retry may repeat harm. The log names the error and the ways to retry it.
    #[default]
    GiveUp,
    /// The operation retries, as after a transient failure.
    Retry,
}

/// Says of an error whether to retry after it; `None` for an error of another type.
pub(crate) type RetryIf = Arc<dyn Fn(&(dyn Error + 'static)) -> Option<bool> + Send + Sync>;

/// The parts that all operations of a strategy share.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) policy: PolicySlot,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) events: Events,
    pub(crate) classifier: Option<Arc<ErrorClassifier>>,
    pub(crate) error_readers: Vec<FaultReader>,
    pub(crate) retry_if: Vec<RetryIf>,
    pub(crate) on_unknown: OnUnknown,
}

impl Runtime {
    /// The policy that decides.
    #[doc(hidden)]
    pub fn policy(&self) -> &PolicySlot {
        &self.policy
    }

    /// The clock by which operations wait.
    #[doc(hidden)]
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Runtime").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The settings in which one operation differs from the next.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name in events, spans and metrics.
    pub name: Arc<str>,
    /// Number of retries and the delays between them.
    pub retry: RetryConfig,
    /// Time limit of one attempt.
    pub attempt_timeout: Option<Duration>,
    /// Time limit of all attempts and waits together.
    pub deadline: Option<Duration>,
    /// Whether repeating the operation can do no harm.
    pub idempotent: bool,
    /// The budget that retries are taken from.
    pub budget: Option<RetryBudget>,
    /// The bulkhead in which each attempt needs a place.
    pub bulkhead: Option<Bulkhead>,
    /// Hedge attempts after slow attempts.
    pub hedge: Option<Hedge>,
}

impl Settings {
    /// The time limit of the first attempt, and when it began if that must be known exactly.
    #[inline]
    pub(crate) fn first_limit(&self, clock: &SharedClock) -> (Option<Duration>, Option<Instant>) {
        let limit = match (self.attempt_timeout, self.deadline) {
            (Some(timeout), Some(deadline)) => Some(timeout.min(deadline)),
            (timeout, deadline) => timeout.or(deadline),
        };
        (limit, self.deadline.map(|_| clock.now()))
    }

    /// Whether these settings can be used.
    ///
    /// # Errors
    /// [`ConfigurationError`] names the first setting that cannot.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), ConfigurationError> {
        configuration::retry(&self.retry)?;
        for (setting, limit) in [("attempt_timeout", self.attempt_timeout), ("deadline", self.deadline)] {
            limit.map_or(Ok(()), |limit| configuration::limit(setting, limit))?;
        }
        Ok(())
    }
}
