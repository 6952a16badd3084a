//! Makes guards by name, in a bounded collection.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Above this size idle entries are evicted: names may be attacker-controlled.
const LIMIT: usize = 1024;

/// Clones share entries.
pub(crate) struct Registry<T> {
    things: Arc<RwLock<BTreeMap<Arc<str>, T>>>,
}

impl<T> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Self { things: Arc::clone(&self.things) }
    }
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self { things: Arc::default() }
    }
}

impl<T: Clone> Registry<T> {
    /// Finds or makes an entry; a full registry evicts one that `is_idle`.
    pub(crate) fn get(&self, name: &str, make: impl FnOnce(&Arc<str>) -> T, is_idle: impl Fn(&T) -> bool) -> T {
        if let Some(thing) = self.find(name) {
            return thing;
        }
        let mut things = self.things.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(thing) = things.get(name) {
            return thing.clone();
        }
        let name: Arc<str> = name.into();
        let thing = make(&name);
        if things.len() >= LIMIT
            && let Some(idle) = things.iter().find(|(_, thing)| is_idle(thing)).map(|(name, _)| Arc::clone(name))
        {
            things.remove(&idle);
        }
        things.insert(name, thing.clone());
        thing
    }

    pub(crate) fn find(&self, name: &str) -> Option<T> {
        self.things.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn insert(&self, name: &str, thing: T) {
        self.things.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), thing);
    }

    pub(crate) fn remove(&self, name: &str) -> Option<T> {
        self.things.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.things.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
