//! Warm instances: a store, a policy in it, and the limits of a decision.
//!
//! A decision takes under a microsecond, setting an instance up about fifty; so instances are kept and used again. Each has a store of its own,
//! because a trap poisons the whole store: on any error the instance is dropped, and the next decision gets another.

use super::bindings::Policy as Bindings;
use super::engine::{Runtime, TICK};
use super::error::PolicyError;
use std::time::Duration;
use wasmtime::component::InstancePre;
use wasmtime::{ResourceLimiter, Store, Trap};

/// How long a decision may take.
pub(crate) const DECISION_LIMIT: Duration = Duration::from_millis(5);

/// How much memory an instance may have, in bytes.
pub(crate) const MEMORY_LIMIT: usize = 16 << 20;

/// An instance makes so many decisions before it is replaced, so that a policy that leaks does not grow for ever.
const DECISIONS_PER_INSTANCE: u32 = 100_000;

/// What the guest was refused, since it can only show that as `unreachable`.
#[derive(Default)]
pub(crate) struct Limits {
    refused: Option<usize>,
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > MEMORY_LIMIT {
            self.refused = Some(desired);
        }
        Ok(desired <= MEMORY_LIMIT)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 100_000)
    }
}

/// A policy that is ready to decide.
pub(crate) struct Instance {
    store: Store<Limits>,
    bindings: Bindings,
    decisions: u32,
}

impl Instance {
    pub(crate) fn new(runtime: &Runtime, pre: &InstancePre<Limits>) -> Result<Self, PolicyError> {
        let mut store = Store::new(&runtime.engine, Limits::default());
        store.limiter(|limits| limits);
        // A start function may loop for ever too.
        let _running = runtime.running();
        store.set_epoch_deadline(deadline_ticks());
        let set_up = pre.instantiate(&mut store).and_then(|instance| Bindings::new(&mut store, &instance));
        match set_up {
            Ok(bindings) => Ok(Self { store, bindings, decisions: 0 }),
            Err(error) if error.is::<Trap>() => Err(failure("the start of the component", &store, &error)),
            Err(error) => Err(PolicyError::WrongType { detail: format!("{error:#}") }),
        }
    }

    /// Whether it has made all the decisions that it may.
    pub(crate) fn is_used_up(&self) -> bool {
        self.decisions >= DECISIONS_PER_INSTANCE
    }

    /// Asks one question. After an error the instance must not be used again.
    pub(crate) fn ask<R>(
        &mut self,
        runtime: &Runtime,
        function: &'static str,
        question: impl FnOnce(&Bindings, &mut Store<Limits>) -> wasmtime::Result<R>,
    ) -> Result<R, PolicyError> {
        let _running = runtime.running();
        self.decisions += 1;
        self.store.set_epoch_deadline(deadline_ticks());
        question(&self.bindings, &mut self.store).map_err(|error| failure(function, &self.store, &error))
    }
}

/// One tick more than the limit holds, since the first may be over at once.
fn deadline_ticks() -> u64 {
    (DECISION_LIMIT.as_millis() / TICK.as_millis()) as u64 + 1
}

fn failure(function: &'static str, store: &Store<Limits>, error: &wasmtime::Error) -> PolicyError {
    if let Some(wanted) = store.data().refused {
        return PolicyError::OutOfMemory { function, wanted, limit: MEMORY_LIMIT };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => PolicyError::TimedOut { function, limit: DECISION_LIMIT },
        Some(trap) => PolicyError::Trapped { function, trap: trap.to_string() },
        None => PolicyError::Trapped { function, trap: format!("{error:#}") },
    }
}
