//! Counts instructions of decisions. Unlike time, they do not depend on machine and load, so replays compare them.
//!
//! Counting slows decisions, so it has its own engine.

use super::bindings::Policy as Bindings;
use super::engine::configuration;
use super::error::PolicyError;
use super::limits::{Limits, failure, start_failure};
use super::policy::{Asks, Policy, one_line};
use crate::types::Description;
use std::sync::{Mutex, OnceLock, PoisonError};
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Store, Trap};

/// Number of instructions per microsecond of the decision limit. Unlike a clock, it ends a decision at one place every
/// time.
const FUEL_A_MICROSECOND: u64 = 4000;

const DECISIONS_PER_INSTANCE: u32 = 100_000;

pub(super) struct Counted {
    policy: Policy,
    engine: &'static Engine,
    pre: InstancePre<Limits>,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    /// `None` after a failure, which poisons the store.
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
    pub(super) fn new(policy: Policy) -> Result<Self, PolicyError> {
        let compile = |error: wasmtime::Error| PolicyError::Compile { detail: one_line(&error) };
        let engine = engine()?;
        let component = Component::from_binary(engine, policy.bytes()).map_err(compile)?;
        let pre =
            super::link::linker(engine, policy.is_allowed_wasi()).and_then(|linker| linker.instantiate_pre(&component)).map_err(compile)?;
        Ok(Self { policy, engine, pre, work: Mutex::default() })
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) fn fuel(&self) -> u64 {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).fuel
    }

    fn limit(&self) -> u64 {
        // No overflow: the limit is at most 10 s.
        self.policy.allowance().decision.as_micros() as u64 * FUEL_A_MICROSECOND
    }

    fn instantiate(&self) -> Result<Live, PolicyError> {
        let mut store = Store::new(self.engine, Limits::new(self.policy.allowance()));
        store.limiter(|limits| limits);
        let set_up = store
            // Starting a runtime is not compared.
            .set_fuel(u64::MAX)
            .and_then(|()| self.pre.instantiate(&mut store))
            .and_then(|instance| Bindings::new(&mut store, &instance));
        match set_up {
            Ok(bindings) => Ok(Live { store, bindings, decisions: 0 }),
            Err(error) => Err(start_failure(&store, &error)),
        }
    }
}

impl Asks for Counted {
    fn description(&self) -> &Description {
        self.policy.description()
    }

    fn ask<R: Send>(
        &self,
        function: &'static str,
        question: impl Fn(&Bindings, &mut Store<Limits>) -> wasmtime::Result<R> + Send,
    ) -> Result<R, PolicyError> {
        super::link::apart(self.policy.is_allowed_wasi(), || self.ask_here(function, question))?
    }
}

impl Counted {
    fn ask_here<R>(
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
        let limit = self.limit();
        let answer = live.store.set_fuel(limit).and_then(|()| question(&live.bindings, &mut live.store));
        work.fuel += limit.saturating_sub(live.store.get_fuel().unwrap_or_default());
        let answer = answer.map_err(|error| self.failed(function, &live.store, &error))?;
        work.live = Some(live);
        Ok(answer)
    }

    fn failed(&self, function: &'static str, store: &Store<Limits>, error: &wasmtime::Error) -> PolicyError {
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => PolicyError::TimedOut { function, limit: self.policy.allowance().decision },
            _ => failure(function, store, error),
        }
    }
}
