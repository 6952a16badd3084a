//! A policy whose work is counted.
//!
//! How long a decision takes depends on the machine and on what else it does. How many instructions it takes does not, so that is what policies are
//! compared by. Counting makes every decision slower: an engine of its own does it, beside the one that the process decides with.

use super::bindings::Policy as Bindings;
use super::engine::configuration;
use super::error::PolicyError;
use super::limits::{DECISION_LIMIT, Limits, failure};
use super::loaded::{Asks, Policy, one_line};
use crate::types::Description;
use std::sync::{Mutex, OnceLock, PoisonError};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store, Trap};

/// A decision that takes more instructions would take longer than a decision may. Unlike a clock, this ends it at the same place every time.
const FUEL_LIMIT: u64 = 20_000_000;

/// An instance makes so many decisions before it is replaced, as those of a slot are.
const DECISIONS_PER_INSTANCE: u32 = 100_000;

/// A policy on the engine that counts.
pub(super) struct Counted {
    policy: Policy,
    engine: &'static Engine,
    pre: InstancePre<Limits>,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    /// None before the first question and after a failure, which poisons the store.
    live: Option<Live>,
    fuel: u64,
}

struct Live {
    store: Store<Limits>,
    bindings: Bindings,
    decisions: u32,
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Counted({:?})", self.policy)
    }
}

fn engine() -> Result<&'static Engine, PolicyError> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    let made = ENGINE.get_or_init(|| {
        let mut configuration = configuration();
        configuration.consume_fuel(true).epoch_interruption(false);
        Engine::new(&configuration).map_err(|error| one_line(&error))
    });
    made.as_ref().map_err(|detail| PolicyError::Compile { detail: detail.clone() })
}

impl Counted {
    /// Compiles a policy once more; `policy` was made of the same bytes, so all that is asked of a policy was.
    pub(super) fn new(policy: Policy, bytes: &[u8]) -> Result<Self, PolicyError> {
        let compile = |error: wasmtime::Error| PolicyError::Compile { detail: one_line(&error) };
        let engine = engine()?;
        let component = Component::from_binary(engine, bytes).map_err(compile)?;
        let pre = Linker::<Limits>::new(engine).instantiate_pre(&component).map_err(compile)?;
        Ok(Self { policy, engine, pre, work: Mutex::default() })
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Instructions that it took so far, by wasmtime's count.
    pub(super) fn fuel(&self) -> u64 {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).fuel
    }

    fn instantiate(&self) -> Result<Live, PolicyError> {
        let mut store = Store::new(self.engine, Limits::default());
        store.limiter(|limits| limits);
        let set_up = store
            .set_fuel(FUEL_LIMIT)
            .and_then(|()| self.pre.instantiate(&mut store))
            .and_then(|instance| Bindings::new(&mut store, &instance));
        match set_up {
            Ok(bindings) => Ok(Live { store, bindings, decisions: 0 }),
            Err(error) => Err(failed("the start of the component", &store, &error)),
        }
    }
}

impl Asks for Counted {
    fn description(&self) -> &Description {
        self.policy.description()
    }

    fn ask<R>(
        &self,
        function: &'static str,
        question: impl FnOnce(&Bindings, &mut Store<Limits>) -> wasmtime::Result<R>,
    ) -> Result<R, PolicyError> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut live = match work.live.take() {
            Some(live) if live.decisions < DECISIONS_PER_INSTANCE => live,
            _ => self.instantiate()?,
        };
        live.decisions += 1;
        let answer = live.store.set_fuel(FUEL_LIMIT).and_then(|()| question(&live.bindings, &mut live.store));
        work.fuel += FUEL_LIMIT.saturating_sub(live.store.get_fuel().unwrap_or_default());
        let answer = answer.map_err(|error| failed(function, &live.store, &error))?;
        work.live = Some(live);
        Ok(answer)
    }
}

fn failed(function: &'static str, store: &Store<Limits>, error: &wasmtime::Error) -> PolicyError {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => PolicyError::TimedOut { function, limit: DECISION_LIMIT },
        _ => failure(function, store, error),
    }
}
