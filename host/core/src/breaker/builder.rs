//! Builds circuit breakers.

use super::gate::Gate;
use super::restore::{SavedState, resume};
use super::sharing::BreakerSharing;
use super::{CircuitBreaker, Kept, Shared, slow_from};
use crate::classifier::ErrorClassifier;
use crate::clock::{SharedClock, SystemClock};
use crate::configuration;
use crate::error::ConfigurationError;
use crate::events::Events;
use crate::policy::PolicySlot;
use crate::types::{BreakerConfig, Transition};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Builds a [`CircuitBreaker`]. Defaults: 5 failures, 60 s, 2 successes.
#[derive(Clone)]
#[must_use]
pub struct CircuitBreakerBuilder {
    pub(super) name: Arc<str>,
    pub(super) config: BreakerConfig,
    policy: Option<PolicySlot>,
    clock: SharedClock,
    events: Events,
    classifier: Option<Arc<ErrorClassifier>>,
    pub(super) restored: Option<SavedState>,
    sharing: Option<BreakerSharing>,
}

impl CircuitBreakerBuilder {
    /// All settings.
    pub fn config(mut self, config: BreakerConfig) -> Self {
        self.config = config;
        self
    }

    /// Number of consecutive failures that open it; at least 1.
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.config.failure_threshold = failures;
        self
    }

    /// Time until an open breaker admits probes; more than 0.
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.config.recovery_timeout = timeout.as_secs_f64();
        self
    }

    /// Number of successful probes that close it; at least 1.
    pub fn success_threshold(mut self, successes: u32) -> Self {
        self.config.success_threshold = successes;
        self
    }

    /// Maximum number of concurrent probes; at least 1.
    pub fn half_open_permits(mut self, permits: u32) -> Self {
        self.config.half_open_permits = permits;
        self
    }

    /// Time after which failures no longer add up, and the length of the windows of all shares; more than 0.
    pub fn failure_window(mut self, window: Duration) -> Self {
        self.config.failure_window = window.as_secs_f64();
        self
    }

    /// Minimum duration of a slow call, even a successful one; more than 0. Default: none is slow.
    /// [Enough](Self::slow_call_rate_threshold) slow calls open the breaker.
    ///
    /// The breaker's clock runs from permit to outcome, without time in the strategy's [`Bulkhead`](crate::Bulkhead). A
    /// slow success asks the policy, like a failure.
    pub fn slow_call_duration(mut self, duration: Duration) -> Self {
        self.config.slow_call_duration = Some(duration.as_secs_f64());
        self
    }

    /// Share of slow calls that opens it, in windows of at least [`BreakerConfig::minimum_calls`]; above 0. Default 1
    /// (all); above 1 never.
    pub fn slow_call_rate_threshold(mut self, share: f64) -> Self {
        self.config.slow_call_rate_threshold = share;
        self
    }

    /// The policy that moves it, whichever caller uses it; default built-in. See [the module](super).
    pub fn policy(mut self, policy: impl Into<PolicySlot>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Clock; default the system's.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Receives events.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Records failures of [`CircuitBreaker::call`].
    pub fn classifier(mut self, classifier: Arc<ErrorClassifier>) -> Self {
        self.classifier = Some(classifier);
        self
    }

    /// Builds it, closed unless [restored](Self::restored).
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn build(self) -> Result<CircuitBreaker, ConfigurationError> {
        configuration::breaker(&self.config)?;
        Ok(self.build_checked())
    }

    #[doc(hidden)]
    pub fn shared_by(mut self, sharing: BreakerSharing) -> Self {
        self.sharing = Some(sharing);
        self
    }

    #[doc(hidden)]
    pub fn build_checked(self) -> CircuitBreaker {
        match self.sharing.clone() {
            Some(sharing) => {
                sharing.join(&Arc::clone(&self.name), |saved| Self { restored: saved.or(self.restored.clone()), ..self }.build_alone())
            }
            None => self.build_alone(),
        }
    }

    fn build_alone(self) -> CircuitBreaker {
        let own = || PolicySlot::native().connected(Arc::clone(&self.clock), self.events.clone());
        let policy = self.policy.unwrap_or_else(own);
        let now = self.clock.now();
        let (kept, admission) = match self.restored {
            Some(saved) => resume(&policy, self.config, saved, now),
            None => {
                let (Transition { state, admission }, layout) = policy.initial(now);
                (Kept { config: self.config, state, layout, isolated: false }, admission)
            }
        };
        let gate = Gate::new(kept.state.generation, admission);
        if kept.isolated {
            gate.isolate(kept.state.generation);
        }
        gate.measure(slow_from(&self.config));
        let kept = Mutex::new(kept);
        let Self { name, clock, events, classifier, sharing, .. } = self;
        CircuitBreaker { shared: Arc::new(Shared { name, gate, kept, policy, clock, events, classifier, sharing }) }
    }
}

impl CircuitBreaker {
    /// Builds a breaker. `name` appears in errors, events and the registry.
    pub fn builder(name: impl Into<Arc<str>>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder {
            name: name.into(),
            config: BreakerConfig::default(),
            policy: None,
            clock: SystemClock::shared(),
            events: Events::default(),
            classifier: None,
            restored: None,
            sharing: None,
        }
    }
}
