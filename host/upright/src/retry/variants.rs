//! One strategy for operations that differ in how far they may be repeated.

use super::{RetryStrategy, Shared};
#[cfg(any(feature = "tower", feature = "reqwest-middleware"))]
use crate::session::Attempt;
use crate::session::Guarding;
use std::sync::Arc;

impl RetryStrategy {
    /// Whether repeating its operations can do no harm.
    pub fn is_idempotent(&self) -> bool {
        self.shared.guarding.idempotent
    }

    /// The same strategy for operations whose repetition can do no harm, or can: then only what never reached the service is retried. Both
    /// share everything else, breaker and budget among it.
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
        if self.is_idempotent() == idempotent { self.clone() } else { self.varied(|guarding| guarding.idempotent = idempotent) }
    }

    /// The same strategy for operations that can be made only once.
    #[cfg(feature = "reqwest-middleware")]
    pub(crate) fn without_retries(&self) -> Self {
        self.varied(|guarding| guarding.retry.max_retries = 0)
    }

    /// Whether the operation may be called again after this attempt has begun. If not, it need keep nothing back.
    #[cfg(any(feature = "tower", feature = "reqwest-middleware"))]
    pub(crate) fn may_repeat(&self, attempt: &Attempt) -> bool {
        attempt.number <= self.shared.guarding.retry.max_retries
    }

    fn varied(&self, change: impl FnOnce(&mut Guarding)) -> Self {
        let Shared { guarding, breaker } = &*self.shared;
        let mut guarding = guarding.clone();
        change(&mut guarding);
        Self { shared: Arc::new(Shared { guarding, breaker: breaker.clone() }) }
    }
}
