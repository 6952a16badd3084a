//! Compares two policies' answers and counts the differences.

use crate::label;
use crate::lifecycle::component;
use crate::policy::Policy;
use crate::types::{Directive, Incident, Verdict};
use serde::Serialize;
use std::mem::discriminant;
use std::time::Instant;
use upright_core::policy::{Active, Answer, Ask, Decider, PolicyFailure};
use upright_logic as native;

const TIMES: usize = 4096;

type Kind = (&'static str, fn(&Verdict, &Verdict) -> bool);

/// Differences that a caller or breaker could notice.
const KINDS: [Kind; 10] = [
    ("category", |one, other| one.classification.category != other.classification.category),
    ("severity", |one, other| one.classification.severity != other.classification.severity),
    ("action", |one, other| one.classification.action != other.classification.action),
    ("counted", |one, other| one.classification.counted != other.classification.counted),
    ("directive", |one, other| discriminant(&one.directive) != discriminant(&other.directive)),
    (
        "delay",
        |one, other| matches!((one.directive, other.directive), (Directive::RetryAfter(one), Directive::RetryAfter(other)) if one != other),
    ),
    (
        "model",
        |one, other| matches!((one.directive, other.directive), (Directive::SwitchModel(one), Directive::SwitchModel(other)) if one != other),
    ),
    ("reason", |one, other| one.reason != other.reason),
    ("phase", |one, other| phase(one) != phase(other)),
    ("admission", |one, other| admission(one) != admission(other)),
];

const FAILED: &str = "failed";

fn phase(verdict: &Verdict) -> Option<crate::types::Phase> {
    verdict.breaker.as_ref().map(|transition| transition.state.phase)
}

fn admission(verdict: &Verdict) -> Option<crate::types::Admission> {
    verdict.breaker.as_ref().map(|transition| transition.admission)
}

/// Findings of a shadow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShadowReport {
    /// Name and version.
    pub candidate: String,
    /// SHA-256 of the component.
    pub digest: String,
    /// Number of decisions compared.
    pub decisions: u64,
    /// Number that differed.
    pub disagreeing: u64,
    /// Share that agreed, 0 to 1; 1 before the first.
    pub agreement: f64,
    /// Number of incidents not compared for lack of time.
    pub dropped: u64,
    /// Kinds of difference; a decision can have several.
    pub disagreements: Vec<Disagreement>,
    /// Time of the active policy.
    pub active: Latency,
    /// Time of the candidate.
    pub shadow: Latency,
}

/// One kind of difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disagreement {
    /// `category`, `severity`, `action`, `counted`, `directive`, `delay`, `model`, `reason`, `phase`, `admission`, or
    /// `failed` for an invalid answer.
    pub kind: &'static str,
    /// Number of decisions.
    pub count: u64,
    /// First such decision.
    pub example: ShadowExample,
}

/// A decision in which answers differed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShadowExample {
    /// The question.
    pub incident: Incident,
    /// Active policy's answer.
    pub active: Verdict,
    /// Candidate's answer or error.
    pub candidate: Result<Verdict, String>,
}

/// Times of the latest 4,096 decisions, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Median.
    pub median_nanoseconds: u64,
    /// 99th percentile.
    pub percentile_99_nanoseconds: u64,
}

pub(super) struct Tally {
    candidate: Policy,
    mirror: Option<(Policy, String)>,
    decisions: u64,
    disagreeing: u64,
    disagreements: Vec<Disagreement>,
    active: Times,
    shadow: Times,
}

#[derive(Default)]
struct Times {
    latest: Vec<u64>,
    next: usize,
}

impl Times {
    fn add(&mut self, began: Instant) {
        let nanoseconds = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if self.latest.len() < TIMES {
            self.latest.push(nanoseconds);
        } else {
            self.latest[self.next] = nanoseconds;
        }
        self.next = (self.next + 1) % TIMES;
    }

    fn latency(&self) -> Latency {
        let mut sorted = self.latest.clone();
        sorted.sort_unstable();
        let at = |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default();
        Latency { median_nanoseconds: at(50), percentile_99_nanoseconds: at(99) }
    }
}

impl Tally {
    /// The candidate needs instances of its own.
    pub(super) fn of(candidate: Policy) -> Self {
        let (active, shadow) = (Times::default(), Times::default());
        Self { candidate, mirror: None, decisions: 0, disagreeing: 0, disagreements: Vec::new(), active, shadow }
    }

    /// Native if the policy fails, as for its caller.
    fn active_answer(&mut self, incident: &Incident, active: &Active) -> Verdict {
        let natively = || native::recovery::decide(incident.clone());
        let answer = match active {
            Active::Native => return natively(),
            Active::Policy(decider) => match component(active) {
                Some(policy) => verdict(self.mirror(policy), incident),
                None => verdict(&**decider, incident),
            },
        };
        answer.unwrap_or_else(|_| natively())
    }

    fn mirror(&mut self, policy: &Policy) -> &Policy {
        let mirrored = self.mirror.take().filter(|(_, of)| of == policy.digest());
        let mirror = match mirrored {
            Some(mirror) => mirror,
            None => (policy.twin(), policy.digest().to_owned()),
        };
        &self.mirror.insert(mirror).0
    }

    pub(super) fn compare(&mut self, incident: &Incident, active: &Active) {
        let began = Instant::now();
        let before = self.active_answer(incident, active);
        self.active.add(began);

        let foreign = self.candidate.description().state_layout != active.state_layout();
        let question = if foreign { &without_memory(incident.clone()) } else { incident };
        let began = Instant::now();
        let answered = Decider::answer(&self.candidate, Ask::Decide { incident: question });
        self.shadow.add(began);
        let after = answered.and_then(|answer| checked(answer, question)).map_err(|error| error.to_string());

        let kinds: Vec<_> = match &after {
            Ok(after) => KINDS.iter().filter(|(_, differ)| differ(&before, after)).map(|(name, _)| *name).collect(),
            Err(_) => vec![FAILED],
        };
        self.decisions += 1;
        if kinds.is_empty() {
            return;
        }
        self.disagreeing += 1;
        for kind in kinds {
            match self.disagreements.iter_mut().find(|known| known.kind == kind) {
                Some(known) => known.count += 1,
                None => {
                    let example = ShadowExample { incident: incident.clone(), active: before.clone(), candidate: after.clone() };
                    self.disagreements.push(Disagreement { kind, count: 1, example });
                }
            }
        }
    }

    pub(super) fn report(&self, candidate: &Policy, dropped: u64) -> ShadowReport {
        let Self { decisions, disagreeing, .. } = *self;
        let agreement = if decisions == 0 { 1.0 } else { (decisions - disagreeing) as f64 / decisions as f64 };
        ShadowReport {
            candidate: label(candidate.description()),
            digest: candidate.digest().to_owned(),
            decisions,
            disagreeing,
            agreement,
            dropped,
            disagreements: self.disagreements.clone(),
            active: self.active.latency(),
            shadow: self.shadow.latency(),
        }
    }
}

fn verdict(policy: &dyn Decider, incident: &Incident) -> Result<Verdict, PolicyFailure> {
    checked(policy.answer(Ask::Decide { incident })?, incident)
}

fn checked(answer: Answer, incident: &Incident) -> Result<Verdict, PolicyFailure> {
    Ask::Decide { incident }.check(&answer)?;
    match answer {
        Answer::Decide(verdict) => Ok(verdict),
        other => Err(PolicyFailure::Nonsense { function: "recovery.decide", answer: format!("{other:?}"), expected: "a verdict" }),
    }
}

/// For a policy that did not write the breaker's memory.
fn without_memory(mut incident: Incident) -> Incident {
    if let Some(guard) = &mut incident.guard {
        guard.state.memory.clear();
    }
    incident
}
