//! Things by name, each made when it is first asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// From so many things on, a new one takes the place of an idle one: names may come from anybody.
const LIMIT: usize = 1024;

/// One thing for each name. Cloning shares the registry.
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
    /// The thing of this name; `make` makes it, `is_idle` tells which may be forgotten for it.
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

    /// All things, by name.
    pub(crate) fn all(&self) -> Vec<T> {
        self.things.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
