//! What a replay found.

use crate::Policy;
use serde::Serialize;
use upright_core::policy::Function;

/// What a replay found. The same journal gives the same report, on every machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReplayReport {
    /// The policy that was asked.
    pub policy: Replayed,
    /// The one that it is compared with; none where that is what the journal says was answered.
    pub against: Option<Replayed>,
    /// Decisions that were read and asked again.
    pub entries: u64,
    /// Decisions that the journal says are missing in it.
    pub lost: u64,
    /// Lines that are no entries.
    pub unreadable: Unreadable,
    /// Decisions that differ.
    pub differing: u64,
    /// The kinds of difference, most frequent first.
    pub differences: Vec<DifferenceGroup>,
    /// The sum of all delays before retries, seconds, over the decisions of `recovery.decide`. Where the policy has no answer, safe mode's counts.
    pub delay_seconds: Change<f64>,
    /// How many of those decisions were to try the same call again.
    pub retries: Change<u64>,
    /// Instructions of a decision in the component, on average; none where the recorded answers are compared with, or nothing was asked.
    pub fuel_per_decision: Change<Option<f64>>,
}

/// A policy by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `sha256:` and its digest.
    pub digest: String,
}

impl Replayed {
    pub(super) fn new(policy: &Policy) -> Self {
        let description = policy.description();
        let (name, version) = (description.name.clone(), description.version.clone());
        Self { name, version, digest: format!("sha256:{}", policy.digest()) }
    }
}

/// Where in the journals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as it was given.
    pub journal: String,
    /// The line, from 1.
    pub line: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.journal, self.line)
    }
}

/// Lines that are no entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// How many.
    pub lines: u64,
    /// The first, and what is wrong with it.
    pub first: Option<UnreadableLine>,
}

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableLine {
    /// Where it stands.
    pub place: Place,
    /// What is wrong with it.
    pub reason: String,
}

/// Decisions that differ in the same way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DifferenceGroup {
    /// The function.
    pub function: Function,
    /// The part of the answer that differs, the first that matters: `directive`, `delay`, `category`, `breaker_phase`, …; `no_answer` where the policy
    /// trapped, took too long or answered nonsense.
    pub what: String,
    /// What it was.
    pub before: String,
    /// What it is with the policy.
    pub after: String,
    /// How many decisions.
    pub count: u64,
    /// Their share of all decisions, 0 to 1.
    pub share: f64,
    /// The first of them.
    pub example: Place,
}

/// A number before, and with the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// Of the recorded answers, or of the policy that is compared with.
    pub before: T,
    /// Of the policy.
    pub after: T,
}
