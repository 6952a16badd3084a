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
pub struct Guarding {
    pub policy: PolicySlot,
    pub clock: SharedClock,
    pub random: SharedRandom,
    pub events: Events,
    pub classifier: Option<Arc<ErrorClassifier>>,
    pub fault_reader: Option<FaultReader>,
}

/// What one operation may have otherwise than another.
#[derive(Clone)]
pub struct Terms {
    pub name: Arc<str>,
    pub retry: RetryConfig,
    pub attempt_timeout: Option<Duration>,
    pub deadline: Option<Duration>,
    pub idempotent: bool,
    pub budget: Option<RetryBudget>,
    pub bulkhead: Option<Bulkhead>,
    pub hedge: Option<Hedge>,
}

impl Terms {
    /// How long the first attempt may take, and when it began if that must be known exactly.
    #[inline]
    pub fn first_limit(&self, clock: &SharedClock) -> (Option<Duration>, Option<Instant>) {
        let limit = match (self.attempt_timeout, self.deadline) {
            (Some(timeout), Some(deadline)) => Some(timeout.min(deadline)),
            (timeout, deadline) => timeout.or(deadline),
        };
        (limit, self.deadline.map(|_| clock.now()))
    }

    /// Whether these terms can be kept to.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        configuration::retry(&self.retry)?;
        for (setting, limit) in [("attempt_timeout", self.attempt_timeout), ("deadline", self.deadline)] {
            limit.map_or(Ok(()), |limit| configuration::limit(setting, limit))?;
        }
        Ok(())
    }
}
