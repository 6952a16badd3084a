//! What an operation is guarded by, and on which terms.

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
use std::sync::Arc;
use std::time::Duration;

/// Everything that guards operations and is the same for all of them.
#[derive(Clone)]
pub(crate) struct Guarding {
    pub(crate) policy: PolicySlot,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) events: Events,
    pub(crate) classifier: Option<Arc<ErrorClassifier>>,
    pub(crate) fault_reader: Option<FaultReader>,
}

/// What one operation may have otherwise than another.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) name: Arc<str>,
    pub(crate) retry: RetryConfig,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) idempotent: bool,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) bulkhead: Option<Bulkhead>,
    pub(crate) hedge: Option<Hedge>,
}

impl Terms {
    /// How long the first attempt may take, and when it began if that must be known exactly.
    #[inline]
    pub(crate) fn first_limit(&self, clock: &SharedClock) -> (Option<Duration>, Option<Instant>) {
        let limit = match (self.attempt_timeout, self.deadline) {
            (Some(timeout), Some(deadline)) => Some(timeout.min(deadline)),
            (timeout, deadline) => timeout.or(deadline),
        };
        (limit, self.deadline.map(|_| clock.now()))
    }

    /// Whether these terms can be kept to.
    pub(crate) fn check(&self) -> Result<(), ConfigurationError> {
        configuration::retry(&self.retry)?;
        for (setting, limit) in [("attempt_timeout", self.attempt_timeout), ("deadline", self.deadline)] {
            limit.map_or(Ok(()), |limit| configuration::limit(setting, limit))?;
        }
        Ok(())
    }
}
