//! The place that holds the active policy.
//!
//! Recovery must not stop while its logic is replaced, and must not be worse off when the new logic is bad. A swap is one pointer
//! store: calls in flight finish on the policy that they began with. A caller always gets an answer: where the policy traps, times out or answers
//! nonsense, `upright-logic` answers natively (safe mode), and a policy that does so repeatedly is replaced by the last good one.

use super::check;
use super::error::PolicyError;
use super::life::Life;
use super::loaded::{Policy, cap};
use super::question::{Answer, Question};
use super::questions::Questions;
use super::shadow::Shadowing;
use crate::clock::{Instant, SharedClock, SystemClock};
use crate::events::Events;
use crate::journal::{self, Begun, By, Journal};
use crate::types::*;
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use upright_logic as native;

/// What decides: a component, a test ([`crate::testing::TestPolicy`]), or native code alone where no component can run.
#[derive(Clone, Debug)]
pub(super) enum Active {
    Component(Policy),
    Told(Arc<dyn Questions>),
    Native,
}

impl Active {
    /// Who answers; none where native code does.
    pub(super) fn answering(&self) -> Option<&dyn Questions> {
        match self {
            Self::Component(policy) => Some(policy),
            Self::Told(told) => Some(&**told),
            Self::Native => None,
        }
    }

    /// SHA-256 of the component, where it is one.
    pub(super) fn digest(&self) -> Option<String> {
        match self {
            Self::Component(policy) => Some(policy.digest().to_owned()),
            Self::Told(_) | Self::Native => None,
        }
    }

    pub(super) fn description(&self) -> Description {
        self.answering().map_or_else(native::metadata::describe, Questions::describe)
    }

    /// For the journal: who answered, and in which layout. `itself` says whether this did, and not safe mode in its place.
    fn answered(&self, itself: bool) -> (Option<Policy>, By, u32) {
        let policy = if let Self::Component(policy) = self { Some(policy.clone()) } else { None };
        match self {
            Self::Native => (None, By::Native, native::breaker::STATE_LAYOUT),
            Self::Component(_) | Self::Told(_) if itself => (policy, By::Component, self.state_layout()),
            Self::Component(_) | Self::Told(_) => (policy, By::SafeMode, native::breaker::STATE_LAYOUT),
        }
    }

    /// The layout of the breaker memory that it writes.
    pub(super) fn state_layout(&self) -> u32 {
        match self {
            Self::Component(policy) => policy.description().state_layout,
            Self::Told(_) | Self::Native => native::breaker::STATE_LAYOUT,
        }
    }
}

/// Counts of what a slot did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SlotCounts {
    /// Questions answered, by whichever way.
    pub decisions: u64,
    /// Of those, answered natively because the policy failed or none can run.
    pub safe_mode: u64,
    /// Policies that were put in place by [`PolicySlot::swap`].
    pub swaps: u64,
    /// Policies that were replaced because they failed repeatedly.
    pub rollbacks: u64,
}

/// Holds the active policy; cloning shares the slot.
#[derive(Clone)]
pub struct PolicySlot {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) active: ArcSwap<Active>,
    life: Mutex<Life>,
    pub(super) shadowing: Shadowing,
    pub(super) clock: SharedClock,
    pub(super) events: Events,
    journal: Option<Journal>,
    decisions: AtomicU64,
    safe_mode: AtomicU64,
    pub(super) swaps: AtomicU64,
    pub(super) rollbacks: AtomicU64,
}

impl Default for PolicySlot {
    fn default() -> Self {
        Self::built_in()
    }
}

impl std::fmt::Debug for PolicySlot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PolicySlot({:?})", self.shared.active.load())
    }
}

impl PolicySlot {
    /// A slot with the policy that comes with this crate. Where no component can run (a platform that forbids generating
    /// code), the same logic decides natively.
    pub fn built_in() -> Self {
        let active = match Policy::built_in() {
            Ok(policy) => Active::Component(policy),
            Err(error) => {
                tracing::warn!(%error, "the built-in policy cannot run as a component here: deciding natively");
                Active::Native
            }
        };
        Self::with(active, SystemClock::shared(), Events::default())
    }

    /// A slot with this policy, as it was loaded: it has passed the probe, unless its loader was told to do without.
    pub fn new(policy: Policy) -> Self {
        Self::with(Active::Component(policy), SystemClock::shared(), Events::default())
    }

    /// A slot that always decides natively, without WebAssembly.
    pub fn native() -> Self {
        Self::with(Active::Native, SystemClock::shared(), Events::default())
    }

    /// A slot in which a test answers.
    pub(crate) fn told(told: Arc<dyn Questions>) -> Self {
        Self::with(Active::Told(told), SystemClock::shared(), Events::default())
    }

    /// The same policy in a slot of its own that takes its time from `clock` and reports to `events`.
    #[must_use]
    pub fn connected(&self, clock: SharedClock, events: Events) -> Self {
        Self::made(Active::clone(&self.shared.active.load()), clock, events, self.shared.journal.clone())
    }

    /// The same policy in a slot of its own that keeps its decisions in `journal`. Guards that are given the slot keep it there as well.
    #[must_use]
    pub fn with_journal(&self, journal: Journal) -> Self {
        let Shared { active, clock, events, .. } = &*self.shared;
        Self::made(Active::clone(&active.load()), SharedClock::clone(clock), events.clone(), Some(journal))
    }

    fn with(active: Active, clock: SharedClock, events: Events) -> Self {
        Self::made(active, clock, events, None)
    }

    fn made(active: Active, clock: SharedClock, events: Events, journal: Option<Journal>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            shared: Arc::new(Shared {
                active: ArcSwap::from_pointee(active),
                life: Mutex::new(Life::new()),
                shadowing: Shadowing::default(),
                clock,
                events,
                journal,
                decisions: zero(),
                safe_mode: zero(),
                swaps: zero(),
                rollbacks: zero(),
            }),
        }
    }

    /// The active policy; none where native code decides alone, or a test.
    pub fn policy(&self) -> Option<Policy> {
        match &**self.shared.active.load() {
            Active::Component(policy) => Some(policy.clone()),
            Active::Told(_) | Active::Native => None,
        }
    }

    /// What the active policy says of itself.
    pub fn description(&self) -> Description {
        self.shared.active.load().description()
    }

    /// What the slot did so far.
    pub fn counts(&self) -> SlotCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { decisions, safe_mode, swaps, rollbacks, .. } = &*self.shared;
        SlotCounts { decisions: read(decisions), safe_mode: read(safe_mode), swaps: read(swaps), rollbacks: read(rollbacks) }
    }

    pub(super) fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.shared.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the active policy; answers natively where it fails. The last two are for the journal.
    fn ask<R: Clone>(
        &self,
        component: impl FnOnce(&dyn Questions) -> Result<R, PolicyError>,
        check: impl FnOnce(&R) -> Result<(), PolicyError>,
        native: impl FnOnce() -> R,
        question: impl FnOnce() -> Question,
        answer: fn(R) -> Answer,
    ) -> R {
        let active = self.shared.active.load();
        let begun = self.begin();
        let by_component = self.ask_component(&active, component, check);
        let answered = by_component.is_some();
        let result = by_component.unwrap_or_else(native);
        if let Some(begun) = begun {
            begun.end(active.answered(answered), question(), answer(result.clone()));
        }
        result
    }

    /// Begins an entry of the journal, if there is one.
    #[inline]
    fn begin(&self) -> Option<Begun<'_>> {
        self.shared.journal.as_ref().map(|journal| journal.begin(&*self.shared.clock))
    }

    /// The component's answer, if it is one and the answer makes sense. Otherwise the caller is about to answer natively.
    fn ask_component<R>(
        &self,
        active: &Arc<Active>,
        component: impl FnOnce(&dyn Questions) -> Result<R, PolicyError>,
        check: impl FnOnce(&R) -> Result<(), PolicyError>,
    ) -> Option<R> {
        self.shared.decisions.fetch_add(1, Ordering::Relaxed);
        if let Some(policy) = active.answering() {
            match component(policy).and_then(|answer| check(&answer).map(|()| answer)) {
                Ok(answer) => return Some(answer),
                Err(error) => self.strike(active, &error),
            }
        }
        self.shared.safe_mode.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// [`PolicySlot::decide`] for a breaker that remembers which layout its memory has: what another layout wrote is cleared first.
    pub(crate) fn decide_guarded(&self, incident: &mut Incident, layout: &mut u32) -> Verdict {
        let active = self.shared.active.load();
        adapt(incident.guard.as_mut().map(|guard| &mut guard.state), layout, active.state_layout());
        self.shared.shadowing.offer(incident);
        let begun = self.begin();
        let by_component = self.ask_component(&active, |policy| policy.decide(incident), |answer| check::verdict(answer, incident));
        let answered = by_component.is_some();
        let verdict = by_component.unwrap_or_else(|| {
            adapt(incident.guard.as_mut().map(|guard| &mut guard.state), layout, native::breaker::STATE_LAYOUT);
            decide_natively(incident)
        });
        if let Some(begun) = begun {
            begun.end(active.answered(answered), Question::Decide { incident: journal::copy(incident) }, Answer::Decide(verdict.clone()));
        }
        verdict
    }

    /// One step of a breaker that remembers which layout its memory has.
    pub(crate) fn step(&self, config: &BreakerConfig, mut state: BreakerState, layout: &mut u32, seen: &Observation) -> Transition {
        let active = self.shared.active.load();
        adapt(Some(&mut state), layout, active.state_layout());
        let check = |answer: &Transition| check::transition(answer, Some(&state), config, seen.now, "breaker.step");
        let begun = self.begin();
        let by_component = self.ask_component(&active, |policy| policy.step(config, &state, seen), check);
        let answered = by_component.is_some();
        let transition = by_component.unwrap_or_else(|| {
            adapt(Some(&mut state), layout, native::breaker::STATE_LAYOUT);
            native::breaker::step(config, state.clone(), seen)
        });
        if let Some(begun) = begun {
            let question = Question::Step { config: *config, state, observation: *seen };
            begun.end(active.answered(answered), question, Answer::Step(transition.clone()));
        }
        transition
    }

    /// The first state of a breaker, and the layout of its memory.
    pub(crate) fn initial(&self, now: Instant) -> (Transition, u32) {
        let active = self.shared.active.load();
        let check = |answer: &Transition| check::transition(answer, None, &BreakerConfig::default(), now, "breaker.initial");
        let begun = self.begin();
        let by_component = self.ask_component(&active, |policy| policy.initial(now), check);
        let answered = by_component.is_some();
        let (transition, layout) = match by_component {
            Some(transition) => (transition, active.state_layout()),
            None => (native::breaker::initial(now), native::breaker::STATE_LAYOUT),
        };
        if let Some(begun) = begun {
            begun.end(active.answered(answered), Question::Initial { now }, Answer::Initial(transition.clone()));
        }
        (transition, layout)
    }
}

/// The built-in logic's verdict on what a component is shown: no more of a long message.
fn classify_natively(fault: &Fault) -> Classification {
    if fault.message.len() <= MESSAGE_LIMIT {
        return native::classifier::classify(fault);
    }
    let mut fault = fault.clone();
    cap(&mut fault.message);
    native::classifier::classify(&fault)
}

fn decide_natively(incident: &Incident) -> Verdict {
    let mut incident = incident.clone();
    cap(&mut incident.failure.message);
    native::recovery::decide(incident)
}

/// Clears a breaker's private memory if it was written in another layout than the one that is to read it.
fn adapt(state: Option<&mut BreakerState>, written: &mut u32, wanted: u32) {
    if *written != wanted {
        if let Some(state) = state {
            state.memory.clear();
        }
        *written = wanted;
    }
}

/// A policy's name and version, for people.
pub(super) fn label(description: &Description) -> String {
    format!("{} {}", description.name, description.version)
}

/// The questions. Each always gets an answer that makes sense.
impl PolicySlot {
    /// The settings that the policy recommends for a kind of operation.
    pub fn recommend(&self, profile: Profile) -> Recommendation {
        self.ask(
            |policy| policy.recommend(profile),
            check::recommendation,
            || native::settings::recommend(profile),
            || Question::Recommend { profile },
            Answer::Recommend,
        )
    }

    /// The delay after attempt `attempt` (the first is 0) failed; `random` is in [0, 1).
    pub fn delay(&self, config: &RetryConfig, attempt: u32, random: f64) -> Duration {
        let seconds = self.ask(
            |policy| policy.delay(config, attempt, random),
            |answer| check::delay(*answer, config, "backoff.delay"),
            || native::backoff::delay(config, attempt, random),
            || Question::Delay { config: *config, attempt, random },
            Answer::Delay,
        );
        crate::clock::seconds(seconds)
    }

    /// What a failure means.
    pub fn classify(&self, fault: &Fault) -> Classification {
        self.ask(
            |policy| policy.classify(fault),
            |answer| check::classification(answer, "classifier.classify"),
            || classify_natively(fault),
            || Question::Classify { fault: journal::copy_of_fault(fault) },
            Answer::Classify,
        )
    }

    /// The index in `chain` of the model to try after `current`.
    pub fn next_model(&self, current: &str, chain: &[String]) -> Option<usize> {
        let index = self.ask(
            |policy| policy.next_model(current, chain),
            |answer| check::next_model(*answer, chain.len(), "degradation.next-model"),
            || native::degradation::next_model(current, chain),
            || Question::NextModel { current: current.to_owned(), chain: chain.to_vec() },
            Answer::NextModel,
        );
        index.map(|index| index as usize)
    }

    /// The edits that make a workflow lighter.
    pub fn simplify_workflow(&self, workflow: &[WorkflowEntry]) -> Vec<WorkflowEdit> {
        self.ask(
            |policy| policy.simplify_workflow(workflow),
            |answer| check::edits(answer, workflow.len()),
            || native::degradation::simplify_workflow(workflow),
            || Question::SimplifyWorkflow { workflow: workflow.to_vec() },
            Answer::SimplifyWorkflow,
        )
    }

    /// Whether an answer of this age may be served in place of a live one after this failure.
    pub fn may_serve_cached(&self, age: Duration, max_age: Duration, failure: &Classification) -> bool {
        let (age, max_age) = (age.as_secs_f64(), max_age.as_secs_f64());
        self.ask(
            |policy| policy.may_serve_cached(age, max_age, failure),
            |_| Ok(()),
            || native::degradation::may_serve_cached(age, max_age, failure),
            || Question::MayServeCached { age, max_age, failure: failure.clone() },
            Answer::MayServeCached,
        )
    }

    /// Judges a resource snapshot.
    pub fn judge(&self, snapshot: &ResourceSnapshot, thresholds: &ResourceThresholds) -> Judgement {
        self.ask(
            |policy| policy.judge(snapshot, thresholds),
            check::judgement,
            || native::health::judge(snapshot, thresholds),
            || Question::Judge { snapshot: *snapshot, thresholds: *thresholds },
            Answer::Judge,
        )
    }

    /// Classifies a failure, moves the breaker on, and says what to do: the one crossing that a failure costs.
    pub fn decide(&self, incident: &Incident) -> Verdict {
        self.shared.shadowing.offer(incident);
        self.ask(
            |policy| policy.decide(incident),
            |answer| check::verdict(answer, incident),
            || decide_natively(incident),
            || Question::Decide { incident: journal::copy(incident) },
            Answer::Decide,
        )
    }
}
