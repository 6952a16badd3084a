//! Warm instances: a store, a policy in it, and the limits of a decision.
//!
//! A decision takes under a microsecond, setting an instance up about fifty; so instances are kept and used again. Each has a store of its own,
//! because a trap poisons the whole store: on any error the instance is dropped, and the next decision gets another.

use super::bindings::Policy as Bindings;
use super::engine::Runtime;
use super::error::PolicyError;
use super::limits::{self, Allowance, Limits};
use wasmtime::Store;
use wasmtime::component::InstancePre;

/// An instance makes so many decisions before it is replaced, so that a policy that leaks does not grow for ever.
const DECISIONS_PER_INSTANCE: u32 = 100_000;

/// A policy that is ready to decide.
pub(crate) struct Instance {
    store: Store<Limits>,
    bindings: Bindings,
    decisions: u32,
}

impl Instance {
    pub(crate) fn new(runtime: &Runtime, pre: &InstancePre<Limits>, allowance: Allowance) -> Result<Self, PolicyError> {
        let mut store = limits::store(runtime, allowance);
        // A start function may loop for ever too.
        let _running = runtime.running();
        limits::begin_start(&mut store);
        let instance = pre.instantiate(&mut store).map_err(|error| limits::start_failure(&store, &error))?;
        let wrong_type = |error| PolicyError::WrongType { detail: super::loaded::one_line(&error) };
        let bindings = Bindings::new(&mut store, &instance).map_err(wrong_type)?;
        Ok(Self { store, bindings, decisions: 0 })
    }

    /// Whether it has made all the decisions that it may.
    pub(crate) fn is_used_up(&self) -> bool {
        self.decisions >= DECISIONS_PER_INSTANCE
    }

    /// Asks one question. After an error the instance must not be used again.
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
