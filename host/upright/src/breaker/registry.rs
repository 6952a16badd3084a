//! Breakers by name.
//!
//! One breaker for all models and hosts blocks the healthy with the sick. A registry hands out one for each key, made when it is first asked for.

use super::{CircuitBreaker, CircuitBreakerBuilder};
use crate::error::ConfigurationError;
use crate::types::BreakerConfig;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// From so many breakers on, a new one takes the place of one that nobody holds and that has nothing to remember: keys may come from anybody.
const LIMIT: usize = 1024;

/// One breaker for each key. Cloning shares the registry.
#[derive(Clone)]
pub struct CircuitBreakers {
    shared: Arc<Shared>,
}

struct Shared {
    /// How new breakers are built, but for their names.
    template: RwLock<CircuitBreakerBuilder>,
    breakers: RwLock<BTreeMap<Arc<str>, CircuitBreaker>>,
}

impl CircuitBreakers {
    /// A registry whose breakers are built as `template` says.
    ///
    /// # Errors
    /// Names the first setting of the template that cannot be used.
    pub fn new(template: CircuitBreakerBuilder) -> Result<Self, ConfigurationError> {
        crate::configuration::breaker(&template.config)?;
        Ok(Self { shared: Arc::new(Shared { template: RwLock::new(template), breakers: RwLock::default() }) })
    }

    /// The breaker of this key.
    pub fn get(&self, key: &str) -> CircuitBreaker {
        if let Some(breaker) = self.find(key) {
            return breaker;
        }
        let mut breakers = self.shared.breakers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = breakers.get(key) {
            return breaker.clone();
        }
        let name: Arc<str> = key.into();
        let mut template = self.shared.template.read().unwrap_or_else(PoisonError::into_inner).clone();
        template.name = Arc::clone(&name);
        let breaker = template.build_checked();
        if breakers.len() >= LIMIT
            && let Some(idle) = breakers.iter().find(|(_, breaker)| breaker.is_idle()).map(|(key, _)| Arc::clone(key))
        {
            breakers.remove(&idle);
        }
        breakers.insert(name, breaker.clone());
        breaker
    }

    /// The breaker of this key, if it was asked for before.
    pub fn find(&self, key: &str) -> Option<CircuitBreaker> {
        self.shared.breakers.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Forgets the breaker of this key. Who holds it keeps it.
    pub fn remove(&self, key: &str) -> Option<CircuitBreaker> {
        self.shared.breakers.write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    /// All breakers, by key.
    pub fn all(&self) -> Vec<CircuitBreaker> {
        self.shared.breakers.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Changes the settings of all breakers, and of those to come. Their states stay, and calls in flight are not touched.
    ///
    /// # Errors
    /// Names the first setting that cannot be used; then nothing is changed.
    pub fn reconfigure(&self, config: BreakerConfig) -> Result<(), ConfigurationError> {
        crate::configuration::breaker(&config)?;
        self.shared.template.write().unwrap_or_else(PoisonError::into_inner).config = config;
        self.all().iter().try_for_each(|breaker| breaker.reconfigure(config))
    }
}
