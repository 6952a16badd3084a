//! Questions to a policy as data, and their answers by a slot.

use crate::dice::Dice;
use crate::vary::{Sample, Vary};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use upright::breaker::SavedState;
use upright::testing::DrivenClock;
use upright::types::*;
use upright::{CircuitBreaker, PolicySlot};
use upright_conformance::Vector;

/// An event for a breaker of the host.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// A call that succeeds, if admitted.
    Succeeds,
    /// A call that succeeds after this many seconds, if admitted.
    SucceedsAfter(f64),
    /// A call that fails, if admitted.
    Fails,
    /// A dropped call.
    Dropped,
    /// This many seconds pass.
    Passes(f64),
}

/// State of the breaker after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Whether a call was admitted; `None` without a call.
    pub admitted: Option<bool>,
    /// Its phase.
    pub phase: Phase,
    /// Number of transitions.
    pub generation: u64,
}

macro_rules! questions {
    ($($(#[$meta:meta])* $name:literal $case:ident { $($field:ident: $ty:ty),+ },)+) => {
        /// A question. In JSON like a vector: function name, then named arguments.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum Question {
            $( $(#[$meta])* #[serde(rename = $name)] $case { $($field: $ty),+ }, )+
        }

        impl Question {
            /// Names of all questions.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Name; `interface.function` for a function of the contract.
            pub fn name(&self) -> &'static str {
                match self { $( Self::$case { .. } => $name, )+ }
            }
        }

        impl Vary for Question {
            fn vary(&mut self, dice: &mut Dice) {
                match self { $( Self::$case { $($field),+ } => crate::vary_one!(dice: $($field),+), )+ }
            }

            fn simpler(&self) -> Vec<Self> {
                let mut simpler = Vec::new();
                match self { $( Self::$case { $($field),+ } => { $( simpler.extend($field.simpler().into_iter().map(|value| {
                    let mut copy = self.clone();
                    if let Self::$case { $field: place, .. } = &mut copy {
                        *place = value;
                    }
                    copy
                })); )+ } )+ }
                simpler
            }
        }
    };
}

questions! {
    "settings.recommend" Recommend { profile: Profile },
    "backoff.delay" Delay { config: RetryConfig, attempt: u32, random: f64 },
    "breaker.initial" Initial { now: u64 },
    "breaker.step" Step { config: BreakerConfig, state: BreakerState, observation: Observation },
    "classifier.classify" Classify { fault: Fault },
    "degradation.next_model" NextModel { current: String, chain: Vec<String> },
    "degradation.simplify_workflow" Simplify { workflow: Vec<WorkflowEntry> },
    "degradation.may_serve_cached" MayServeCached { age: f64, max_age: f64, failure: Classification },
    "health.judge" Judge { snapshot: ResourceSnapshot, thresholds: ResourceThresholds },
    "recovery.decide" Decide { incident: Box<Incident> },
    /// Not in the contract: a breaker in its gate, through a series of events.
    "host.breaker" Breaker { config: BreakerConfig, happenings: Vec<Happening> },
}

impl Sample for Happening {
    fn sample() -> Self {
        Self::Fails
    }
}

impl Vary for Happening {
    fn vary(&mut self, dice: &mut Dice) {
        let mut seconds = 60.0;
        seconds.vary(dice);
        *self = *dice.pick(&[Self::Succeeds, Self::SucceedsAfter(seconds), Self::Fails, Self::Fails, Self::Dropped, Self::Passes(seconds)]);
    }

    fn simpler(&self) -> Vec<Self> {
        match self {
            Self::Passes(seconds) => seconds.simpler().into_iter().map(Self::Passes).collect(),
            Self::SucceedsAfter(seconds) => {
                std::iter::once(Self::Succeeds).chain(seconds.simpler().into_iter().map(Self::SucceedsAfter)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Answer {
    Recommendation(Recommendation),
    Delay(Duration),
    /// State of a breaker made or restored, then stepped; or the host's reason for not making it.
    Breaker(Result<(Left, BreakerState), String>),
    Classification(Classification),
    NextModel(Option<usize>),
    Edits(Vec<WorkflowEdit>),
    MayServe(bool),
    Judgement(Judgement),
    Verdict(Box<Verdict>),
    Walk(Result<Vec<Left>, String>),
}

impl Question {
    /// A vector's question; `None` without variable arguments.
    pub fn of(vector: &Vector) -> Option<Self> {
        serde_json::from_value(Value::Object([(vector.function.clone(), vector.arguments.clone())].into_iter().collect())).ok()
    }

    /// Function and JSON arguments, if it is in the contract and JSON has all its numbers.
    pub fn in_json(&self) -> Option<(&'static str, Value)> {
        let Ok(Value::Object(whole)) = serde_json::to_value(self) else { return None };
        let (_, arguments) = whole.into_iter().next()?;
        let same = serde_json::from_value(Value::Object([(self.name().to_owned(), arguments.clone())].into_iter().collect()));
        let sayable = !matches!(self, Self::Breaker { .. }) && same.is_ok_and(|same: Self| format!("{same:?}") == format!("{self:?}"));
        sayable.then_some((self.name(), arguments))
    }

    /// Asks a slot.
    pub fn ask(&self, slot: &PolicySlot) -> Answer {
        match self {
            Self::Recommend { profile } => Answer::Recommendation(slot.recommend(*profile)),
            Self::Delay { config, attempt, random } => Answer::Delay(slot.delay(config, *attempt, *random)),
            Self::Initial { now } => Answer::Breaker(stepped(slot, BreakerConfig::default(), None, *now, None)),
            Self::Step { config, state, observation } => {
                Answer::Breaker(stepped(slot, *config, Some(state), observation.now, Some(observation)))
            }
            Self::Classify { fault } => Answer::Classification(slot.classify(fault)),
            Self::NextModel { current, chain } => Answer::NextModel(slot.next_model(current, chain)),
            Self::Simplify { workflow } => Answer::Edits(slot.simplify_workflow(workflow)),
            Self::MayServeCached { age, max_age, failure } => {
                Answer::MayServe(slot.may_serve_cached(duration(*age), duration(*max_age), failure))
            }
            Self::Judge { snapshot, thresholds } => Answer::Judgement(slot.judge(snapshot, thresholds)),
            Self::Decide { incident } => Answer::Verdict(Box::new(slot.decide(incident))),
            Self::Breaker { config, happenings } => Answer::Walk(walk(slot, *config, happenings)),
        }
    }
}

fn duration(seconds: f64) -> Duration {
    if seconds > 0.0 { Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) } else { Duration::ZERO }
}

fn fault() -> Fault {
    Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "server busy, please try again") }
}

fn stepped(
    slot: &PolicySlot,
    config: BreakerConfig,
    state: Option<&BreakerState>,
    now: u64,
    seen: Option<&Observation>,
) -> Result<(Left, BreakerState), String> {
    let clock = DrivenClock::new();
    clock.advance(Duration::from_nanos(now));
    let mut builder = CircuitBreaker::builder("stepped").config(config).policy(slot.clone()).clock(clock.shared());
    if let Some(state) = state {
        let layout = slot.description().state_layout;
        builder = builder.restored(SavedState { state: state.clone(), layout, isolated: false });
    }
    let breaker = builder.build().map_err(|error| error.to_string())?;
    let happening = match seen.map(|seen| (seen.event, seen.took)) {
        None => Happening::Passes(0.0),
        Some((BreakerEvent::Success(_), took)) => Happening::SucceedsAfter(took),
        Some((BreakerEvent::Failure(_), _)) => Happening::Fails,
        Some((BreakerEvent::Elapsed | BreakerEvent::Ignored(_), _)) => Happening::Dropped,
    };
    Ok((happen(&breaker, &clock, happening), breaker.save().state))
}

fn walk(slot: &PolicySlot, config: BreakerConfig, happenings: &[Happening]) -> Result<Vec<Left>, String> {
    let clock = DrivenClock::new();
    let builder = CircuitBreaker::builder("walked").config(config).policy(slot.clone()).clock(clock.shared());
    let breaker = builder.build().map_err(|error| error.to_string())?;
    Ok(happenings.iter().map(|happening| happen(&breaker, &clock, *happening)).collect())
}

fn happen(breaker: &CircuitBreaker, clock: &DrivenClock, happening: Happening) -> Left {
    let mut admitted = None;
    if let Happening::Passes(seconds) = happening {
        clock.advance(duration(seconds));
    } else {
        let permit = breaker.try_acquire();
        admitted = Some(permit.is_ok());
        match (permit, happening) {
            (Ok(permit), Happening::Succeeds) => permit.success(),
            (Ok(permit), Happening::SucceedsAfter(seconds)) => {
                clock.advance(duration(seconds));
                permit.success();
            }
            (Ok(permit), Happening::Fails) => drop(permit.fault(fault())),
            _ => {}
        }
    }
    let state = breaker.snapshot();
    Left { admitted, phase: state.phase, generation: state.generation }
}
