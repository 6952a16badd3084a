//! A policy: read, inspected, compiled, ready to be asked.

use super::bindings::{Cross, Policy as Bindings, exports::upright::policy as wit};
use super::engine::{Runtime, runtime};
use super::error::PolicyError;
use super::inspect::{Surface, describe_bytes};
use super::instance::Instance;
use super::limits::{Allowance, Limits, twice};
use super::loader::{Given, PolicyLoader};
use super::signature::Signature;
use crate::events::Stage;
use crate::types::*;
use crossbeam_queue::ArrayQueue;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use upright_core::policy::{Answer, Ask, Decider, PolicyFailure, Question, bounded_message};
use wasmtime::component::{Component, InstancePre};

/// Built from `guest/` and committed, so that builds need no WebAssembly target.
pub(crate) static BUILT_IN: &[u8] = include_bytes!("../policy.wasm");

/// Maximum idle instances; more are dropped after use.
const WARM_INSTANCES: usize = 16;

/// A WebAssembly policy, ready to decide. Clones share it.
#[derive(Clone)]
pub struct Policy {
    shared: Arc<Shared>,
    signature: Option<Arc<Signature>>,
}

struct Shared {
    description: Description,
    digest: String,
    bytes: Arc<[u8]>,
    surface: Surface,
    contract: String,
    runtime: &'static Runtime,
    component: Component,
    pre: InstancePre<Limits>,
    given: Given,
    warm: ArrayQueue<Box<Instance>>,
    crossings: AtomicU64,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shared { description, digest, .. } = &*self.shared;
        write!(formatter, "Policy({} {}, sha256:{})", description.name, description.version, &digest[..12])
    }
}

impl Policy {
    /// The built-in policy, compiled once a process.
    pub fn built_in() -> Result<Self, PolicyError> {
        static COMPILED: OnceLock<Policy> = OnceLock::new();
        if let Some(policy) = COMPILED.get() {
            return Ok(policy.clone());
        }
        // Two threads may both compile it. A test probes it instead.
        let policy = PolicyLoader::default().probe(false).from_bytes(BUILT_IN)?;
        super::probe::remember(&policy);
        Ok(COMPILED.get_or_init(|| policy).clone())
    }

    /// Loads a component with the default [`PolicyLoader`].
    ///
    /// # Errors
    /// Those of [`PolicyLoader::from_file`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PolicyError> {
        PolicyLoader::default().from_file(path)
    }

    /// Loads a component with the default [`PolicyLoader`].
    ///
    /// # Errors
    /// Those of [`PolicyLoader::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PolicyError> {
        PolicyLoader::default().from_bytes(bytes)
    }

    pub(super) fn compile(bytes: &[u8], digest: String, given: Given, passed: &mut dyn FnMut(Stage)) -> Result<Self, PolicyError> {
        if let Some(found) = describe_bytes(bytes) {
            return Err(PolicyError::NotAComponent { found });
        }
        let runtime = runtime().map_err(|detail| PolicyError::Compile { detail })?;
        let component =
            Component::from_binary(&runtime.engine, bytes).map_err(|error| PolicyError::Compile { detail: one_line(&error) })?;
        let surface = Surface::of(&component, &runtime.engine);
        let contract = surface.check(given.wasi)?;
        passed(Stage::Inspection);
        let linker = super::link::linker(&runtime.engine, given.wasi).map_err(|error| PolicyError::Compile { detail: one_line(&error) })?;
        let pre = linker.instantiate_pre(&component).map_err(|error| PolicyError::Compile { detail: one_line(&error) })?;
        let describe = || {
            let mut first = Box::new(Instance::new(runtime, &pre, given.allowance)?);
            let described =
                first.ask(runtime, "metadata.describe", |bindings, store| bindings.upright_policy_metadata().call_describe(store))?;
            Ok((first, described))
        };
        let (first, described) = super::link::apart(given.wasi, || twice(describe))??;
        let description: Description = described.cross();
        Question::Describe {}.check(&Answer::Describe(description.clone()))?;
        passed(Stage::Compilation);
        let warm = ArrayQueue::new(WARM_INSTANCES);
        let _ = warm.push(first);
        let crossings = AtomicU64::new(0);
        let bytes = bytes.into();
        let shared = Shared { description, digest, bytes, surface, contract, runtime, component, pre, given, warm, crossings };
        Ok(Self { shared: Arc::new(shared), signature: None })
    }

    /// Checks for valid and repeatable answers, once a process: decisions are pure.
    ///
    /// # Errors
    /// [`PolicyError::Unequal`] for state between calls, or how a function failed.
    pub fn probe(&self) -> Result<(), PolicyError> {
        super::probe::probe(self)
    }

    pub(super) fn signed(mut self, signature: Option<Signature>) -> Self {
        self.signature = signature.map(Arc::new);
        self
    }

    /// The signature that admitted it.
    #[doc(hidden)]
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_deref()
    }

    pub(super) fn given(&self) -> Given {
        self.shared.given
    }

    /// The component.
    pub fn bytes(&self) -> &[u8] {
        &self.shared.bytes
    }

    /// A copy with instances of its own, which share no state.
    #[must_use]
    #[doc(hidden)]
    pub fn twin(&self) -> Self {
        let Shared { description, digest, bytes, surface, contract, runtime, component, pre, given, .. } = &*self.shared;
        let shared = Shared {
            description: description.clone(),
            digest: digest.clone(),
            bytes: Arc::clone(bytes),
            surface: surface.clone(),
            contract: contract.clone(),
            runtime,
            component: component.clone(),
            pre: pre.clone(),
            given: *given,
            warm: ArrayQueue::new(WARM_INSTANCES),
            crossings: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), signature: self.signature.clone() }
    }

    /// The policy's own description.
    pub fn description(&self) -> &Description {
        &self.shared.description
    }

    /// SHA-256 of the component, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.shared.digest
    }

    /// Imports (none without WASI) and exports.
    #[doc(hidden)]
    pub fn surface(&self) -> &Surface {
        &self.shared.surface
    }

    /// Contract version; perhaps another patch of [`CONTRACT_VERSION`](super::CONTRACT_VERSION).
    pub fn contract_version(&self) -> &str {
        &self.shared.contract
    }

    /// Number of crossings into WebAssembly: one a question, two after a timeout.
    #[doc(hidden)]
    pub fn crossings(&self) -> u64 {
        self.shared.crossings.load(Ordering::Relaxed)
    }

    pub(crate) fn component(&self) -> &Component {
        &self.shared.component
    }

    pub(crate) fn allowance(&self) -> Allowance {
        self.shared.given.allowance
    }

    pub(crate) fn is_allowed_wasi(&self) -> bool {
        self.shared.given.wasi
    }

    #[inline]
    fn ask_here<R>(
        &self,
        function: &'static str,
        question: impl Fn(&Bindings, &mut wasmtime::Store<Limits>) -> wasmtime::Result<R>,
    ) -> Result<R, PolicyError> {
        let mut waiting = self.shared.warm.pop();
        // A second try gets a fresh instance: neither the timed-out one nor one with state from other questions.
        twice(|| self.ask_once(waiting.take(), function, &question))
    }

    #[inline]
    fn ask_once<R>(
        &self,
        waiting: Option<Box<Instance>>,
        function: &'static str,
        question: impl FnOnce(&Bindings, &mut wasmtime::Store<Limits>) -> wasmtime::Result<R>,
    ) -> Result<R, PolicyError> {
        let Shared { runtime, pre, warm, given, crossings, .. } = &*self.shared;
        crossings.fetch_add(1, Ordering::Relaxed);
        let mut instance = match waiting {
            Some(instance) => instance,
            None => Box::new(Instance::new(runtime, pre, given.allowance)?),
        };
        let answer = instance.ask(runtime, function, question)?;
        if !instance.is_used_up() {
            // A full pool drops it.
            let _ = warm.push(instance);
        }
        Ok(answer)
    }
}

pub(super) trait Asks: std::fmt::Debug + Send + Sync {
    fn description(&self) -> &Description;

    /// Asks again after a timeout.
    fn ask<R: Send>(
        &self,
        function: &'static str,
        question: impl Fn(&Bindings, &mut wasmtime::Store<Limits>) -> wasmtime::Result<R> + Send,
    ) -> Result<R, PolicyError>;
}

impl Asks for Policy {
    fn description(&self) -> &Description {
        &self.shared.description
    }

    fn ask<R: Send>(
        &self,
        function: &'static str,
        question: impl Fn(&Bindings, &mut wasmtime::Store<Limits>) -> wasmtime::Result<R> + Send,
    ) -> Result<R, PolicyError> {
        super::link::apart(self.is_allowed_wasi(), || self.ask_here(function, question))?
    }
}

pub(super) fn ask(policy: &impl Asks, ask: Ask<'_>) -> Result<Answer, PolicyError> {
    match ask {
        Ask::Describe {} => Ok(Answer::Describe(policy.description().clone())),
        Ask::Recommend { profile } => policy
            .ask("settings.recommend", |policy, store| policy.upright_policy_settings().call_recommend(store, profile.cross()))
            .map(|answer| Answer::Recommend(answer.cross())),
        Ask::Delay { config, attempt, random } => policy
            .ask("backoff.delay", |policy, store| policy.upright_policy_backoff().call_delay(store, config.cross(), *attempt, *random))
            .map(Answer::Delay),
        Ask::Initial { now } => policy
            .ask("breaker.initial", |policy, store| policy.upright_policy_breaker().call_initial(store, *now))
            .map(|answer| Answer::Initial(answer.cross())),
        Ask::Step { config, state, observation } => {
            let (config, state, observation) = (config.cross(), state.cross(), observation.cross());
            policy
                .ask("breaker.step", |policy, store| policy.upright_policy_breaker().call_step(store, config, &state, observation))
                .map(|answer| Answer::Step(answer.cross()))
        }
        Ask::Classify { fault } => {
            let mut fault: wit::types::Fault = fault.cross();
            bounded_message(&mut fault.message);
            policy
                .ask("classifier.classify", |policy, store| policy.upright_policy_classifier().call_classify(store, &fault))
                .map(|answer| Answer::Classify(answer.cross()))
        }
        Ask::NextModel { current, chain } => policy
            .ask("degradation.next-model", |policy, store| policy.upright_policy_degradation().call_next_model(store, current, chain))
            .map(Answer::NextModel),
        Ask::SimplifyWorkflow { workflow } => {
            let workflow: Vec<wit::degradation::WorkflowEntry> = workflow.iter().map(Cross::cross).collect();
            policy
                .ask("degradation.simplify-workflow", |policy, store| {
                    policy.upright_policy_degradation().call_simplify_workflow(store, &workflow)
                })
                .map(|answer| Answer::SimplifyWorkflow(answer.cross()))
        }
        Ask::MayServeCached { age, max_age, failure } => {
            let failure = failure.cross();
            policy
                .ask("degradation.may-serve-cached", |policy, store| {
                    policy.upright_policy_degradation().call_may_serve_cached(store, *age, *max_age, &failure)
                })
                .map(Answer::MayServeCached)
        }
        Ask::Judge { snapshot, thresholds } => {
            let (snapshot, thresholds) = (snapshot.cross(), thresholds.cross());
            policy
                .ask("health.judge", |policy, store| policy.upright_policy_health().call_judge(store, snapshot, thresholds))
                .map(|answer| Answer::Judge(answer.cross()))
        }
        Ask::Decide { incident } => {
            let mut incident: wit::recovery::Incident = incident.cross();
            bounded_message(&mut incident.failure.message);
            policy
                .ask("recovery.decide", |policy, store| policy.upright_policy_recovery().call_decide(store, &incident))
                .map(|answer| Answer::Decide(answer.cross()))
        }
    }
}

impl Policy {
    /// Asks one question; [`Question::check`] checks the answer.
    ///
    /// # Errors
    /// [`PolicyError`]: how the policy failed.
    #[doc(hidden)]
    pub fn answer(&self, question: &Question) -> Result<Answer, PolicyError> {
        ask(self, question.ask())
    }
}

impl Decider for Policy {
    fn describe(&self) -> Description {
        self.shared.description.clone()
    }

    fn state_layout(&self) -> u32 {
        self.shared.description.state_layout
    }

    fn digest(&self) -> Option<&str> {
        Some(&self.shared.digest)
    }

    fn answer(&self, question: Ask<'_>) -> Result<Answer, PolicyFailure> {
        ask(self, question).map_err(PolicyFailure::from)
    }
}

/// Fit for a terminal: wasmtime's errors span lines and quote names from components.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace(char::is_control, "\u{fffd}")
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use wasmtime::Trap;

    #[test]
    fn a_second_try_has_an_instance_that_nobody_has_asked_yet() {
        let policy = crate::patient::built_in().twin();
        let Shared { runtime, pre, given, warm, .. } = &*policy.shared;
        for _ in 0..2 {
            assert!(warm.push(Box::new(Instance::new(runtime, pre, given.allowance).unwrap())).is_ok());
        }
        let tries = Cell::new(0);
        let answered = policy.ask_here("recovery.decide", |_, _| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 { Err(Trap::Interrupt.into()) } else { Ok(tries.get()) }
        });
        assert_eq!((answered.unwrap(), policy.crossings()), (2, 2));
        assert_eq!(warm.len(), 2);
    }
}
