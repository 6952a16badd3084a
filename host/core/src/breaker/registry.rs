//! Breakers by name.
//!
//! One breaker for all models and hosts blocks the healthy with the sick. A registry hands out one for each key, made when it is first asked for.

use super::{CircuitBreaker, CircuitBreakerBuilder};
use crate::error::ConfigurationError;
use crate::registry::Registry;
use crate::types::BreakerConfig;
use std::sync::{Arc, PoisonError, RwLock};

/// One breaker for each key. Cloning shares the registry. It holds 1,024 and then forgets those that nobody holds and that have nothing to remember.
#[derive(Clone)]
pub struct CircuitBreakers {
    breakers: Registry<CircuitBreaker>,
    /// How new breakers are built, but for their names.
    template: Arc<RwLock<CircuitBreakerBuilder>>,
}

impl CircuitBreakers {
    /// A registry whose breakers are built as `template` says.
    ///
    /// # Errors
    /// Names the first setting of the template that cannot be used.
    pub fn new(template: CircuitBreakerBuilder) -> Result<Self, ConfigurationError> {
        crate::configuration::breaker(&template.config)?;
        Ok(Self { breakers: Registry::default(), template: Arc::new(RwLock::new(template)) })
    }

    /// The breaker of this key.
    pub fn get(&self, key: &str) -> CircuitBreaker {
        let make = |name: &Arc<str>| {
            let mut template = self.template.read().unwrap_or_else(PoisonError::into_inner).clone();
            template.name = Arc::clone(name);
            // A state is one breaker's.
            template.restored = None;
            template.build_checked()
        };
        self.breakers.get(key, make, CircuitBreaker::is_idle)
    }

    /// The breaker of this key, if it was asked for before.
    pub fn find(&self, key: &str) -> Option<CircuitBreaker> {
        self.breakers.find(key)
    }

    /// Forgets the breaker of this key. Who holds it keeps it.
    pub fn remove(&self, key: &str) -> Option<CircuitBreaker> {
        self.breakers.remove(key)
    }

    /// All breakers, by key.
    pub fn all(&self) -> Vec<CircuitBreaker> {
        self.breakers.all()
    }

    /// Changes the settings of all breakers, and of those to come. Their states stay, and calls in flight are not touched.
    ///
    /// # Errors
    /// Names the first setting that cannot be used; then nothing is changed.
    pub fn reconfigure(&self, config: BreakerConfig) -> Result<(), ConfigurationError> {
        crate::configuration::breaker(&config)?;
        self.template.write().unwrap_or_else(PoisonError::into_inner).config = config;
        self.all().iter().try_for_each(|breaker| breaker.reconfigure(config))
    }
}
