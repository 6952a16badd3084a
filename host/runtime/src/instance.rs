//! Warm instances: a decision takes under a microsecond, creating an instance about fifty, so instances are reused.
//!
//! A trap poisons the store, so any error drops the instance.

use super::bindings::Policy as Bindings;
use super::engine::Runtime;
use super::error::PolicyError;
use super::limits::{self, Allowance, Limits};
use wasmtime::Store;
use wasmtime::component::InstancePre;

/// Bounds the growth of a policy that leaks.
const DECISIONS_PER_INSTANCE: u32 = 100_000;

pub(crate) struct Instance {
    store: Store<Limits>,
    bindings: Bindings,
    decisions: u32,
}

impl Instance {
    pub(crate) fn new(runtime: &Runtime, pre: &InstancePre<Limits>, allowance: Allowance) -> Result<Self, PolicyError> {
        let mut store = limits::store(runtime, allowance);
        // A start function may loop for ever.
        let _running = runtime.running();
        limits::begin_start(&mut store);
        let instance = pre.instantiate(&mut store).map_err(|error| limits::start_failure(&store, &error))?;
        let wrong_type = |error| PolicyError::WrongType { detail: super::policy::one_line(&error) };
        let bindings = Bindings::new(&mut store, &instance).map_err(wrong_type)?;
        Ok(Self { store, bindings, decisions: 0 })
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.decisions >= DECISIONS_PER_INSTANCE
    }

    /// After an error, the instance must not be used again.
    #[inline]
    pub(crate) fn ask<R>(
        &mut self,
        runtime: &Runtime,
        function: &'static str,
        question: impl FnOnce(&Bindings, &mut Store<Limits>) -> wasmtime::Result<R>,
    ) -> Result<R, PolicyError> {
        let _running = runtime.running();
        self.decisions += 1;
        limits::begin(&mut self.store);
        question(&self.bindings, &mut self.store).map_err(|error| limits::failure(function, &self.store, &error))
    }
}
