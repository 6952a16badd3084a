//! How a breaker is built.

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

/// Builds a [`CircuitBreaker`]. What is not set is as the specification has it: 5 failures, 60 s, 2 successes.
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
    /// All settings at once.
    pub fn config(mut self, config: BreakerConfig) -> Self {
        self.config = config;
        self
    }

    /// This many failures in a row open it; at least 1.
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.config.failure_threshold = failures;
        self
    }

    /// How long it stays open before it lets probes through; more than 0.
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.config.recovery_timeout = timeout.as_secs_f64();
        self
    }

    /// This many successful probes close it; at least 1.
    pub fn success_threshold(mut self, successes: u32) -> Self {
        self.config.success_threshold = successes;
        self
    }

    /// This many probes may be in flight at once; at least 1.
    pub fn half_open_permits(mut self, permits: u32) -> Self {
        self.config.half_open_permits = permits;
        self
    }

    /// A call that takes at least this long is slow, also if it succeeds; more than 0. No call is, unless this is set. It opens the breaker
    /// when [enough](Self::slow_call_rate_threshold) are.
    ///
    /// A call's time is the breaker's clock's from when it was let through to when its end is told, in which it waits for no place in a
    /// [`Bulkhead`](crate::Bulkhead) of the strategy. A slow success asks the policy, as a failure does.
    pub fn slow_call_duration(mut self, duration: Duration) -> Self {
        self.config.slow_call_duration = Some(duration.as_secs_f64());
        self
    }

    /// This share of slow calls among those of a window opens it, from [`BreakerConfig::minimum_calls`] calls on; above 0, above 1 never.
    /// All of them, if this is not set.
    pub fn slow_call_rate_threshold(mut self, share: f64) -> Self {
        self.config.slow_call_rate_threshold = share;
        self
    }

    /// Who decides; the built-in policy if this is not set.
    pub fn policy(mut self, policy: impl Into<PolicySlot>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Where time comes from; the system's clock if this is not set.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Where events are sent to.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Whose history the failures of [`CircuitBreaker::call`] go to.
    pub fn classifier(mut self, classifier: Arc<ErrorClassifier>) -> Self {
        self.classifier = Some(classifier);
        self
    }

    /// The breaker: closed, unless another state was [restored](Self::restored).
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    pub fn build(self) -> Result<CircuitBreaker, ConfigurationError> {
        configuration::breaker(&self.config)?;
        Ok(self.build_checked())
    }

    /// It is kept in a store.
    #[doc(hidden)]
    pub fn shared_by(mut self, sharing: BreakerSharing) -> Self {
        self.sharing = Some(sharing);
        self
    }

    /// The breaker, of settings that were found usable.
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
    /// Builds a breaker. The name stands in errors, events and the registry.
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
