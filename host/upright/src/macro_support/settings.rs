//! The options as an attribute writes them, with spans of time in seconds.

use crate::error::ConfigurationError;
use crate::retry::{RetryStrategy, RetryStrategyBuilder};
use crate::types::{BreakerConfig, RetryConfig};
use std::sync::Arc;
use std::time::Duration;
use upright_core::breaker::CircuitBreaker;
use upright_core::configuration::positive_span;

/// A span of time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no span of time",
    label = "expected seconds as an `f64`, or a `Duration`",
    note = "a span of time is a number of seconds, such as `0.5`, or a `std::time::Duration`"
)]
pub trait Seconds {
    /// In seconds.
    fn seconds(self) -> f64;
}

impl Seconds for f64 {
    fn seconds(self) -> f64 {
        self
    }
}

impl Seconds for Duration {
    fn seconds(self) -> f64 {
        self.as_secs_f64()
    }
}

/// The settings of a function's own strategy.
#[must_use]
pub struct RetrySettings {
    builder: RetryStrategyBuilder,
    config: RetryConfig,
    attempt_timeout: Option<f64>,
    deadline: Option<f64>,
    /// Why the breaker that it is to have could not be built.
    unusable: Option<ConfigurationError>,
}

/// The settings of a function's own breaker.
#[must_use]
pub struct BreakerSettings {
    name: Arc<str>,
    config: BreakerConfig,
}

/// Setters that only store.
macro_rules! setters {
    ($($(#[$attribute:meta])* $name:ident: $kind:ty => $self:ident.$($to:ident).+ = $value:expr;)*) => {
        $($(#[$attribute])*
        pub fn $name(mut $self, $name: $kind) -> Self {
            $self.$($to).+ = $value;
            $self
        })*
    };
}

impl RetrySettings {
    /// The defaults, under this name.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        let builder = RetryStrategy::builder().name(name);
        Self { builder, config: RetryConfig::default(), attempt_timeout: None, deadline: None, unusable: None }
    }

    setters! {
        /// Retries after the first attempt.
        max_retries: u32 => self.config.max_retries = max_retries;
        /// The delay before the first retry.
        base_delay: impl Seconds => self.config.base_delay = base_delay.seconds();
        /// No delay is longer.
        max_delay: impl Seconds => self.config.max_delay = max_delay.seconds();
        /// Factor between one delay and the next.
        backoff_factor: f64 => self.config.backoff_factor = backoff_factor;
        /// Whether delays vary at random.
        jitter: bool => self.config.jitter = jitter;
        /// How long one attempt may take.
        attempt_timeout: impl Seconds => self.attempt_timeout = Some(attempt_timeout.seconds());
        /// How long all of it may take.
        deadline: impl Seconds => self.deadline = Some(deadline.seconds());
        /// Whether repeating the function can do no harm.
        idempotent: bool => self.builder = self.builder.idempotent(idempotent);
        /// Whether the strategy has a breaker of its own.
        use_circuit_breaker: bool => self.builder = self.builder.use_circuit_breaker(use_circuit_breaker);
    }

    /// The breaker of the strategy.
    pub fn breaker(mut self, breaker: Result<CircuitBreaker, ConfigurationError>) -> Self {
        match breaker {
            Ok(breaker) => self.builder = self.builder.breaker(breaker),
            Err(unusable) => self.unusable = Some(unusable),
        }
        self
    }

    /// The strategy.
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    pub fn build(self) -> Result<RetryStrategy, ConfigurationError> {
        if let Some(unusable) = self.unusable {
            return Err(unusable);
        }
        let mut builder = self.builder.config(self.config);
        if let Some(seconds) = self.attempt_timeout {
            builder = builder.attempt_timeout(positive_span("attempt_timeout", seconds)?);
        }
        if let Some(seconds) = self.deadline {
            builder = builder.deadline(positive_span("deadline", seconds)?);
        }
        builder.build()
    }
}

impl BreakerSettings {
    /// The defaults, under this name.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), config: BreakerConfig::default() }
    }

    setters! {
        /// This many failures in a row open it.
        failure_threshold: u32 => self.config.failure_threshold = failure_threshold;
        /// How long it stays open.
        recovery_timeout: impl Seconds => self.config.recovery_timeout = recovery_timeout.seconds();
        /// This many successful probes close it.
        success_threshold: u32 => self.config.success_threshold = success_threshold;
        /// This many probes may be in flight at once.
        half_open_permits: u32 => self.config.half_open_permits = half_open_permits;
    }

    /// The breaker.
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    pub fn build(self) -> Result<CircuitBreaker, ConfigurationError> {
        CircuitBreaker::builder(self.name).config(self.config).build()
    }
}
