//! The slot that holds the active policy and decides by it.
//!
//! A caller always gets an answer: where the policy gives none, or one that its question does not allow, the built-in logic answers natively (safe mode).
//! Replacing the active policy is one pointer store: calls in flight finish on the policy that they began with.

use super::decider::{Decider, PolicyFailure};
use super::question::{Answer, Ask, Question};
use crate::clock::{Clock, Instant, SharedClock, SystemClock};
use crate::events::{Event, Events};
use crate::types::*;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use upright_logic as native;

/// Which policy decides.
#[derive(Clone, Debug)]
pub enum Active {
    /// This one.
    Policy(Arc<dyn Decider>),
    /// The built-in logic, as native code.
    Native,
}

impl Active {
    /// Name, version and breaker-state layout.
    pub fn description(&self) -> Description {
        match self {
            Self::Policy(policy) => policy.describe(),
            Self::Native => native::metadata::describe(),
        }
    }

    /// SHA-256 of the component, where the policy is one.
    pub fn digest(&self) -> Option<&str> {
        match self {
            Self::Policy(policy) => policy.digest(),
            Self::Native => None,
        }
    }

    /// The layout of the breaker memory that the policy writes.
    pub fn state_layout(&self) -> u32 {
        match self {
            Self::Policy(policy) => policy.state_layout(),
            Self::Native => native::breaker::STATE_LAYOUT,
        }
    }
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum By {
    /// The policy.
    Component,
    /// Native code, because the policy trapped, took too long or answered nonsense.
    SafeMode,
    /// Native code, because there is no policy to ask.
    Native,
}

/// A decision, for a [`Recorder`].
#[derive(Debug)]
pub struct Decision {
    /// When the question was asked, on the slot's clock.
    pub at: Instant,
    /// How long the answer took.
    pub took: Duration,
    /// The policy that was asked; `None` where the slot decides natively.
    pub policy: Option<Arc<dyn Decider>>,
    /// Who answered.
    pub by: By,
    /// The layout of the breaker's private memory in question and answer.
    pub layout: u32,
    /// The question.
    pub question: Question,
    /// The answer that was followed.
    pub answer: Answer,
}

/// Keeps decisions, such as a journal. It is called by whoever asks, so it must not block.
pub trait Recorder: Send + Sync {
    /// Keeps a decision.
    fn record(&self, decision: Decision);
}

/// Looks after the policies of a slot: rolls failing ones back, and puts live questions to a candidate.
pub trait SlotObserver: Send + Sync {
    /// The slot is about to decide on an incident. Called by whoever asks, so it must not block.
    fn deciding(&self, incident: &Incident);

    /// The policy failed, and the built-in logic answered in its place.
    fn failed(&self, policy: &Arc<Active>, failure: &PolicyFailure);

    /// An observer for a copy of the slot, which has a life of its own.
    fn of_copy(&self, active: &Arc<ActivePolicy>) -> Arc<dyn SlotObserver>;
}

/// The active policy, shared by a slot and whoever looks after its policies.
pub struct ActivePolicy {
    active: ArcSwap<Active>,
    clock: SharedClock,
    events: Events,
    decisions: AtomicU64,
    safe_mode: AtomicU64,
}

impl ActivePolicy {
    /// An active policy with the clock and the events of its slot.
    pub fn new(active: Active, clock: SharedClock, events: Events) -> Self {
        let zero = || AtomicU64::new(0);
        Self { active: ArcSwap::from_pointee(active), clock, events, decisions: zero(), safe_mode: zero() }
    }

    /// The policy that decides.
    pub fn load(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Makes another policy the active one, and gives the one before.
    pub fn swap(&self, active: Active) -> Arc<Active> {
        self.active.swap(Arc::new(active))
    }

    /// The slot's clock.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Where the slot's events are sent to.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Whether this is the active policy.
    pub fn is(&self, active: &Arc<Active>) -> bool {
        Arc::ptr_eq(active, &self.active.load())
    }

    /// The number of decisions so far.
    pub fn counts(&self) -> DecisionCounts {
        DecisionCounts { decisions: self.decisions.load(Ordering::Relaxed), safe_mode: self.safe_mode.load(Ordering::Relaxed) }
    }
}

/// Number of decisions that a slot made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecisionCounts {
    /// Questions answered, in any way.
    pub decisions: u64,
    /// Of those, answered natively, because the policy failed or there is none.
    pub safe_mode: u64,
}

/// Holds the active policy and decides by it. Cloning shares the slot.
#[derive(Clone)]
pub struct PolicySlot {
    active: Arc<ActivePolicy>,
    observer: Option<Arc<dyn SlotObserver>>,
    recorder: Option<Arc<dyn Recorder>>,
}

impl Default for PolicySlot {
    fn default() -> Self {
        Self::native()
    }
}

impl std::fmt::Debug for PolicySlot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PolicySlot({:?})", self.active.active.load())
    }
}

/// Asks the slot, and takes the answer of that function out of [`Answer`].
macro_rules! ask {
    ($slot:expr, $case:ident $arguments:tt) => {
        match $slot.ask(Ask::$case $arguments) {
            Answer::$case(answer) => answer,
            // `Ask::check` refuses a policy's answer of another function, and native code gives none.
            other => unreachable!("{} was answered with {other:?}", stringify!($case)),
        }
    };
}

impl PolicySlot {
    /// A slot in which the built-in logic decides, as native code.
    pub fn native() -> Self {
        Self::with(Active::Native, SystemClock::shared(), Events::default())
    }

    /// A slot in which this policy decides.
    pub fn of(policy: impl Decider) -> Self {
        Self::with(Active::Policy(Arc::new(policy)), SystemClock::shared(), Events::default())
    }

    /// A slot that takes its time from `clock` and reports to `events`.
    pub fn with(active: Active, clock: SharedClock, events: Events) -> Self {
        Self { active: Arc::new(ActivePolicy::new(active, clock, events)), observer: None, recorder: None }
    }

    /// The slot of an active policy that somebody looks after.
    pub fn observed(active: Arc<ActivePolicy>, observer: Arc<dyn SlotObserver>, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self { active, observer: Some(observer), recorder }
    }

    /// The same policy in a slot of its own that takes its time from `clock` and reports to `events`.
    #[must_use]
    pub fn connected(&self, clock: SharedClock, events: Events) -> Self {
        let copy = Self::with(Active::clone(&self.active.active.load()), clock, events);
        let observer = self.observer.as_ref().map(|observer| observer.of_copy(&copy.active));
        Self { observer, recorder: self.recorder.clone(), ..copy }
    }

    /// The same policy in a slot of its own that hands its decisions to `recorder`.
    #[must_use]
    pub fn recorded(&self, recorder: Arc<dyn Recorder>) -> Self {
        let copy = self.connected(SharedClock::clone(&self.active.clock), self.active.events.clone());
        Self { recorder: Some(recorder), ..copy }
    }

    /// The active policy and the recorder, for whoever is to look after the policies.
    pub fn into_parts(self) -> (Arc<ActivePolicy>, Option<Arc<dyn Recorder>>) {
        (self.active, self.recorder)
    }

    /// Name, version and breaker-state layout of the active policy.
    pub fn description(&self) -> Description {
        self.active.active.load().description()
    }

    /// The number of decisions so far.
    pub fn counts(&self) -> DecisionCounts {
        self.active.counts()
    }

    /// Asks the active policy; the built-in logic answers where it fails.
    fn ask(&self, ask: Ask<'_>) -> Answer {
        let active = self.active.active.load();
        let begun = self.begin();
        let by_policy = self.ask_policy(&active, ask);
        let by_itself = by_policy.is_some();
        let answer = by_policy.unwrap_or_else(|| ask.answer_natively());
        if let Some(begun) = begun {
            begun.end(&active, by_itself, ask.to_question(), answer.clone());
        }
        answer
    }

    /// Begins a record, where decisions are recorded.
    #[inline]
    fn begin(&self) -> Option<Begun<'_>> {
        let recorder = self.recorder.as_deref()?;
        Some(Begun { recorder, clock: &*self.active.clock, at: self.active.clock.now() })
    }

    /// The policy's answer, if there is one that the question allows. Otherwise the caller is about to answer natively.
    fn ask_policy(&self, active: &Arc<Active>, ask: Ask<'_>) -> Option<Answer> {
        let ActivePolicy { decisions, safe_mode, .. } = &*self.active;
        decisions.fetch_add(1, Ordering::Relaxed);
        if let Active::Policy(policy) = &**active {
            match policy.answer(ask).and_then(|answer| ask.check(&answer).map(|()| answer)) {
                Ok(answer) => return Some(answer),
                Err(failure) => self.failed(active, &failure),
            }
        }
        safe_mode.fetch_add(1, Ordering::Relaxed);
        None
    }

    #[cold]
    fn failed(&self, active: &Arc<Active>, failure: &PolicyFailure) {
        let policy = || label(&active.description());
        self.active.events.emit(|| Event::SafeMode { policy: policy(), error: failure.to_string() });
        if let Some(observer) = &self.observer {
            observer.failed(active, failure);
        }
    }

    /// [`PolicySlot::decide`] for a breaker that remembers which layout its memory has: memory of another layout is cleared first.
    pub(crate) fn decide_guarded(&self, incident: &mut Incident, layout: &mut u32) -> Verdict {
        let active = self.active.active.load();
        adapt(incident.guard.as_mut().map(|guard| &mut guard.state), layout, active.state_layout());
        if let Some(observer) = &self.observer {
            observer.deciding(incident);
        }
        let begun = self.begin();
        let by_policy = match self.ask_policy(&active, Ask::Decide { incident }) {
            Some(Answer::Decide(verdict)) => Some(verdict),
            _ => None,
        };
        let by_itself = by_policy.is_some();
        let verdict = by_policy.unwrap_or_else(|| {
            adapt(incident.guard.as_mut().map(|guard| &mut guard.state), layout, native::breaker::STATE_LAYOUT);
            let mut incident = incident.clone();
            bounded_message(&mut incident.failure.message);
            native::recovery::decide(incident)
        });
        if let Some(begun) = begun {
            begun.end(&active, by_itself, Ask::Decide { incident }.to_question(), Answer::Decide(verdict.clone()));
        }
        verdict
    }

    /// One step of a breaker that remembers which layout its memory has.
    #[doc(hidden)]
    pub fn step(&self, config: &BreakerConfig, mut state: BreakerState, layout: &mut u32, seen: &Observation) -> Transition {
        let active = self.active.active.load();
        adapt(Some(&mut state), layout, active.state_layout());
        let begun = self.begin();
        let by_policy = match self.ask_policy(&active, Ask::Step { config, state: &state, observation: seen }) {
            Some(Answer::Step(transition)) => Some(transition),
            _ => None,
        };
        let by_itself = by_policy.is_some();
        let transition = by_policy.unwrap_or_else(|| {
            adapt(Some(&mut state), layout, native::breaker::STATE_LAYOUT);
            native::breaker::step(config, state.clone(), seen)
        });
        if let Some(begun) = begun {
            let question = Question::Step { config: *config, state, observation: *seen };
            begun.end(&active, by_itself, question, Answer::Step(transition.clone()));
        }
        transition
    }

    /// The first state of a breaker, and the layout of its memory.
    #[doc(hidden)]
    pub fn initial(&self, now: Instant) -> (Transition, u32) {
        let active = self.active.active.load();
        let begun = self.begin();
        let by_policy = match self.ask_policy(&active, Ask::Initial { now: &now }) {
            Some(Answer::Initial(transition)) => Some(transition),
            _ => None,
        };
        let by_itself = by_policy.is_some();
        let (transition, layout) = match by_policy {
            Some(transition) => (transition, active.state_layout()),
            None => (native::breaker::initial(now), native::breaker::STATE_LAYOUT),
        };
        if let Some(begun) = begun {
            begun.end(&active, by_itself, Question::Initial { now }, Answer::Initial(transition.clone()));
        }
        (transition, layout)
    }
}

/// A decision whose answer is still to come.
struct Begun<'a> {
    recorder: &'a dyn Recorder,
    clock: &'a dyn Clock,
    at: Instant,
}

impl Begun<'_> {
    /// Records it. `by_itself` says whether the policy answered, and not native code in its place.
    fn end(self, active: &Active, by_itself: bool, question: Question, answer: Answer) {
        let (policy, by, layout) = match active {
            Active::Native => (None, By::Native, native::breaker::STATE_LAYOUT),
            Active::Policy(policy) if by_itself => (Some(Arc::clone(policy)), By::Component, active.state_layout()),
            Active::Policy(policy) => (Some(Arc::clone(policy)), By::SafeMode, native::breaker::STATE_LAYOUT),
        };
        let took = Duration::from_nanos(self.clock.now().saturating_sub(self.at));
        self.recorder.record(Decision { at: self.at, took, policy, by, layout, question, answer });
    }
}

/// Cuts a fault's message to what a policy is shown.
pub fn bounded_message(message: &mut String) {
    if message.len() > MESSAGE_LIMIT {
        *message = crate::fault::bounded(message);
    }
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
pub fn label(description: &Description) -> String {
    format!("{} {}", description.name, description.version)
}

/// The questions. Each always has an answer that its question allows.
impl PolicySlot {
    /// The settings that the policy recommends for a kind of operation.
    pub fn recommend(&self, profile: Profile) -> Recommendation {
        ask!(self, Recommend { profile: &profile })
    }

    /// The delay after attempt `attempt` (the first is 0) failed; `random` is in [0, 1).
    pub fn delay(&self, config: &RetryConfig, attempt: u32, random: f64) -> Duration {
        crate::clock::seconds(ask!(self, Delay { config: config, attempt: &attempt, random: &random }))
    }

    /// What a failure means.
    pub fn classify(&self, fault: &Fault) -> Classification {
        ask!(self, Classify { fault: fault })
    }

    /// The index in `chain` of the model to try after `current`.
    pub fn next_model(&self, current: &str, chain: &[String]) -> Option<usize> {
        ask!(self, NextModel { current: current, chain: chain }).map(|index| index as usize)
    }

    /// The edits that make a workflow lighter.
    pub fn simplify_workflow(&self, workflow: &[WorkflowEntry]) -> Vec<WorkflowEdit> {
        ask!(self, SimplifyWorkflow { workflow: workflow })
    }

    /// Whether an answer of this age may be served in place of a live one after this failure.
    pub fn may_serve_cached(&self, age: Duration, max_age: Duration, failure: &Classification) -> bool {
        let (age, max_age) = (age.as_secs_f64(), max_age.as_secs_f64());
        ask!(self, MayServeCached { age: &age, max_age: &max_age, failure: failure })
    }

    /// Judges a resource snapshot.
    pub fn judge(&self, snapshot: &ResourceSnapshot, thresholds: &ResourceThresholds) -> Judgement {
        ask!(self, Judge { snapshot: snapshot, thresholds: thresholds })
    }

    /// Classifies a failure, moves the breaker on, and says what to do next: the one question that a failure costs.
    pub fn decide(&self, incident: &Incident) -> Verdict {
        if let Some(observer) = &self.observer {
            observer.deciding(incident);
        }
        ask!(self, Decide { incident: incident })
    }
}
