//! Variants of a strategy, for operations that differ in whether they may be repeated.

use super::{RetryStrategy, Shared};
use crate::driving::{Attempt, Settings};
use std::sync::Arc;

impl RetryStrategy {
    /// Whether repeating its operations can do no harm.
    #[doc(hidden)]
    pub fn is_idempotent(&self) -> bool {
        self.shared.settings.idempotent
    }

    /// This strategy with another answer to whether repeating the operation can do no harm. Where it can do harm,
    /// only failures that never reached the service are retried, and no hedge attempts are sent. Both strategies
    /// share breaker, budget and bulkhead.
    ///
    /// ```
    /// use upright::RetryStrategy;
    ///
    /// let reading = RetryStrategy::builder().build()?;
    /// let ordering = reading.with_idempotent(false);
    /// assert!(reading.is_idempotent() && !ordering.is_idempotent());
    /// # Ok::<(), upright::error::ConfigurationError>(())
    /// ```
    #[must_use]
    pub fn with_idempotent(&self, idempotent: bool) -> Self {
        self.varied(|settings| {
            settings.idempotent = idempotent;
            settings.hedge = settings.hedge.take().filter(|_| idempotent);
        })
    }

    /// This strategy without retries and hedge attempts, for operations that can be made only once.
    #[must_use]
    #[doc(hidden)]
    pub fn without_retries(&self) -> Self {
        self.varied(|settings| {
            settings.retry.max_retries = 0;
            settings.hedge = None;
        })
    }

    /// Whether the operation may be called again after this attempt has begun. If not, it may give its request away.
    #[doc(hidden)]
    pub fn may_repeat(&self, attempt: &Attempt) -> bool {
        let Settings { retry, hedge, .. } = &self.shared.settings;
        attempt.number <= retry.max_retries || hedge.is_some()
    }

    fn varied(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let Shared { runtime, settings, breaker, .. } = &*self.shared;
        let mut settings = settings.clone();
        change(&mut settings);
        Self { shared: Shared::new(Arc::clone(runtime), settings, breaker.clone()) }
    }
}
