//! Answers every question by the active policy, or natively if it fails (safe mode).
//!
//! A swap is one pointer store: calls in flight finish on their policy.

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
use upright_logic::types::MESSAGE_LIMIT;

/// The deciding policy.
#[derive(Clone, Debug)]
pub enum Active {
    /// This policy.
    Policy(Arc<dyn Decider>),
    /// The built-in logic.
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

    /// The component's SHA-256, if any.
    pub fn digest(&self) -> Option<&str> {
        match self {
            Self::Policy(policy) => policy.digest(),
            Self::Native => None,
        }
    }

    /// Layout of the policy's breaker memory.
    pub fn state_layout(&self) -> u32 {
        match self {
            Self::Policy(policy) => policy.state_layout(),
            Self::Native => native::breaker::STATE_LAYOUT,
        }
    }
}

/// Source of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum By {
    /// The policy.
    Component,
    /// Native code: the policy trapped, timed out or answered nonsense.
    SafeMode,
    /// Native code: no policy.
    Native,
}

/// A decision, for a [`Recorder`].
#[derive(Debug)]
pub struct Decision {
    /// Instant of the question, on the slot's clock.
    pub at: Instant,
    /// Time taken.
    pub took: Duration,
    /// The policy asked; `None` if native.
    pub policy: Option<Arc<dyn Decider>>,
    /// Source of the answer.
    pub by: By,
    /// Layout of the breaker memory in question and answer.
    pub layout: u32,
    /// Question.
    pub question: Question,
    /// The answer followed.
    pub answer: Answer,
}

/// Records decisions, such as a journal. Runs on the caller's thread: must not block.
pub trait Recorder: Send + Sync {
    /// Records a decision.
    fn record(&self, decision: Decision);
}

/// Manages a slot's policies: rollback and shadowing.
pub trait SlotObserver: Send + Sync {
    /// Before a decision. Runs on the caller's thread: must not block.
    fn deciding(&self, incident: &Incident);

    /// The policy failed; native code answered.
    fn failed(&self, policy: &Arc<Active>, failure: &PolicyFailure);

    /// An observer for an independent copy of the slot.
    fn of_copy(&self, active: &Arc<ActivePolicy>) -> Arc<dyn SlotObserver>;
}

/// The active policy, shared with its observer.
pub struct ActivePolicy {
    active: ArcSwap<Active>,
    clock: SharedClock,
    events: Events,
    decisions: AtomicU64,
    safe_mode: AtomicU64,
}

impl ActivePolicy {
    /// An active policy on its slot's clock and events.
    pub fn new(active: Active, clock: SharedClock, events: Events) -> Self {
        let zero = || AtomicU64::new(0);
        Self { active: ArcSwap::from_pointee(active), clock, events, decisions: zero(), safe_mode: zero() }
    }

    /// The active policy.
    pub fn load(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Replaces the policy; returns the old one.
    pub fn swap(&self, active: Active) -> Arc<Active> {
        self.active.swap(Arc::new(active))
    }

    /// The slot's clock.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// The slot's events.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Whether this policy is active.
    pub fn is(&self, active: &Arc<Active>) -> bool {
        Arc::ptr_eq(active, &self.active.load())
    }

    /// Numbers of decisions.
    pub fn counts(&self) -> DecisionCounts {
        DecisionCounts { decisions: self.decisions.load(Ordering::Relaxed), safe_mode: self.safe_mode.load(Ordering::Relaxed) }
    }
}

/// Numbers of decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecisionCounts {
    /// Number of answered questions.
    pub decisions: u64,
    /// Number of native answers.
    pub safe_mode: u64,
}

/// Decides by the active policy. Clones share it.
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

macro_rules! ask {
    ($slot:expr, $case:ident $arguments:tt) => {
        match $slot.ask(Ask::$case $arguments) {
            Answer::$case(answer) => answer,
            // Native code and `Ask::check` allow no other function's answer.
            other => unreachable!("{} was answered with {other:?}", stringify!($case)),
        }
    };
}

impl PolicySlot {
    /// A slot with the built-in logic.
    pub fn native() -> Self {
        Self::with(Active::Native, SystemClock::shared(), Events::default())
    }

    /// A slot with this policy.
    #[doc(hidden)]
    pub fn of(policy: impl Decider) -> Self {
        Self::with(Active::Policy(Arc::new(policy)), SystemClock::shared(), Events::default())
    }

    /// A slot on this clock and these events.
    #[doc(hidden)]
    pub fn with(active: Active, clock: SharedClock, events: Events) -> Self {
        Self { active: Arc::new(ActivePolicy::new(active, clock, events)), observer: None, recorder: None }
    }

    /// A slot managed by `observer`.
    #[doc(hidden)]
    pub fn observed(active: Arc<ActivePolicy>, observer: Arc<dyn SlotObserver>, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self { active, observer: Some(observer), recorder }
    }

    /// A copy on this clock and these events.
    #[must_use]
    #[doc(hidden)]
    pub fn connected(&self, clock: SharedClock, events: Events) -> Self {
        let copy = Self::with(Active::clone(&self.active.active.load()), clock, events);
        let observer = self.observer.as_ref().map(|observer| observer.of_copy(&copy.active));
        Self { observer, recorder: self.recorder.clone(), ..copy }
    }

    /// A copy that records to `recorder`.
    #[must_use]
    #[doc(hidden)]
    pub fn recorded(&self, recorder: Arc<dyn Recorder>) -> Self {
        let copy = self.connected(SharedClock::clone(&self.active.clock), self.active.events.clone());
        Self { recorder: Some(recorder), ..copy }
    }

    /// Active policy and recorder.
    #[doc(hidden)]
    pub fn into_parts(self) -> (Arc<ActivePolicy>, Option<Arc<dyn Recorder>>) {
        (self.active, self.recorder)
    }

    /// Name, version and breaker-state layout.
    pub fn description(&self) -> Description {
        self.active.active.load().description()
    }

    /// Numbers of decisions.
    #[doc(hidden)]
    pub fn counts(&self) -> DecisionCounts {
        self.active.counts()
    }

    /// Whether both are one slot: a swap in one is a swap in the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.active, &other.active)
    }

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

    #[inline]
    fn begin(&self) -> Option<Begun<'_>> {
        let recorder = self.recorder.as_deref()?;
        Some(Begun { recorder, clock: &*self.active.clock, at: self.active.clock.now() })
    }

    /// `None`: answer natively.
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

    /// [`PolicySlot::decide`] that first clears memory of another layout.
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

struct Begun<'a> {
    recorder: &'a dyn Recorder,
    clock: &'a dyn Clock,
    at: Instant,
}

impl Begun<'_> {
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

/// Cuts a message to a policy's limit.
pub fn bounded_message(message: &mut String) {
    if message.len() > MESSAGE_LIMIT {
        *message = crate::fault::bounded(message);
    }
}

/// Clears memory of another layout.
fn adapt(state: Option<&mut BreakerState>, written: &mut u32, wanted: u32) {
    if *written != wanted {
        if let Some(state) = state {
            state.memory.clear();
        }
        *written = wanted;
    }
}

/// Name and version.
pub fn label(description: &Description) -> String {
    format!("{} {}", description.name, description.version)
}

/// Each question gets an allowed answer.
impl PolicySlot {
    /// Recommends settings for a kind of operation.
    #[doc(hidden)]
    pub fn recommend(&self, profile: Profile) -> Recommendation {
        ask!(self, Recommend { profile: &profile })
    }

    /// Delay after failed attempt `attempt`, from 0; `random` in [0, 1).
    #[doc(hidden)]
    pub fn delay(&self, config: &RetryConfig, attempt: u32, random: f64) -> Duration {
        crate::clock::seconds(ask!(self, Delay { config, attempt: &attempt, random: &random }))
    }

    /// Classifies a failure.
    #[doc(hidden)]
    pub fn classify(&self, fault: &Fault) -> Classification {
        ask!(self, Classify { fault })
    }

    /// Index in `chain` of the model after `current`.
    #[doc(hidden)]
    pub fn next_model(&self, current: &str, chain: &[String]) -> Option<usize> {
        ask!(self, NextModel { current, chain }).map(|index| index as usize)
    }

    /// Edits that lighten a workflow.
    #[doc(hidden)]
    pub fn simplify_workflow(&self, workflow: &[WorkflowEntry]) -> Vec<WorkflowEdit> {
        ask!(self, SimplifyWorkflow { workflow })
    }

    /// Whether a cached answer may replace a live one.
    #[doc(hidden)]
    pub fn may_serve_cached(&self, age: Duration, max_age: Duration, failure: &Classification) -> bool {
        let (age, max_age) = (age.as_secs_f64(), max_age.as_secs_f64());
        ask!(self, MayServeCached { age: &age, max_age: &max_age, failure })
    }

    /// Judges resources.
    #[doc(hidden)]
    pub fn judge(&self, snapshot: &ResourceSnapshot, thresholds: &ResourceThresholds) -> Judgement {
        ask!(self, Judge { snapshot, thresholds })
    }

    /// Classifies a failure, moves the breaker and chooses the next step.
    #[doc(hidden)]
    pub fn decide(&self, incident: &Incident) -> Verdict {
        if let Some(observer) = &self.observer {
            observer.deciding(incident);
        }
        ask!(self, Decide { incident })
    }
}
