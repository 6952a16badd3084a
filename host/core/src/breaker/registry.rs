//! Keeps one breaker per model or host, so the failing do not block the healthy.

use super::{CircuitBreaker, CircuitBreakerBuilder};
use crate::error::ConfigurationError;
use crate::registry::Registry;
use crate::types::BreakerConfig;
use std::sync::{Arc, PoisonError, RwLock};

/// One breaker per key, made on first use. Clones share it. From 1,024 on, idle unheld ones are evicted.
#[derive(Clone)]
pub struct CircuitBreakers {
    breakers: Registry<CircuitBreaker>,
    /// For new breakers, except names.
    template: Arc<RwLock<CircuitBreakerBuilder>>,
}

impl CircuitBreakers {
    /// A registry that builds from `template`.
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn new(template: CircuitBreakerBuilder) -> Result<Self, ConfigurationError> {
        crate::configuration::breaker(&template.config)?;
        Ok(Self { breakers: Registry::default(), template: Arc::new(RwLock::new(template)) })
    }

    /// The breaker of this key.
    pub fn get(&self, key: &str) -> CircuitBreaker {
        let make = |name: &Arc<str>| {
            let mut template = self.template.read().unwrap_or_else(PoisonError::into_inner).clone();
            template.name = Arc::clone(name);
            // A state belongs to one breaker.
            template.restored = None;
            template.build_checked()
        };
        self.breakers.get(key, make, CircuitBreaker::is_idle)
    }

    /// The breaker, if it exists.
    pub fn find(&self, key: &str) -> Option<CircuitBreaker> {
        self.breakers.find(key)
    }

    /// Removes it; holders keep it.
    pub fn remove(&self, key: &str) -> Option<CircuitBreaker> {
        self.breakers.remove(key)
    }

    /// All breakers, by key.
    pub fn all(&self) -> Vec<CircuitBreaker> {
        self.breakers.all()
    }

    /// Changes settings of all breakers, future ones included. States stay.
    ///
    /// # Errors
    /// [`ConfigurationError`]; nothing changes.
    pub fn reconfigure(&self, config: BreakerConfig) -> Result<(), ConfigurationError> {
        crate::configuration::breaker(&config)?;
        self.template.write().unwrap_or_else(PoisonError::into_inner).config = config;
        self.all().iter().try_for_each(|breaker| breaker.reconfigure(config))
    }
}
