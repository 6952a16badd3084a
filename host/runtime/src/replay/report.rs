//! Summarizes how a replay's answers differ.

use crate::Policy;
use serde::{Serialize, Serializer};
use std::time::Duration;
use upright_core::policy::Function;

/// Result of a replay, equal on all machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReplayReport {
    /// Policy asked.
    pub policy: Replayed,
    /// Policy compared with; `None` for the recorded answers.
    pub against: Option<Replayed>,
    /// Number of decisions asked again.
    pub entries: u64,
    /// Number of decisions missing in the journal.
    pub lost: u64,
    /// Lines that are not entries.
    pub unreadable: Unreadable,
    /// Number of decisions that differ.
    pub differing: u64,
    /// Kinds of difference, most frequent first.
    pub differences: Vec<DifferenceGroup>,
    /// Sum of `recovery.decide`'s retry delays; safe mode's where the policy fails. In JSON `delay_seconds`.
    #[serde(rename = "delay_seconds", serialize_with = "in_seconds")]
    pub delay: Change<Duration>,
    /// Number of `recovery.decide` answers that retry.
    pub retries: Change<u64>,
    /// Average instructions of a decision; `None` for recorded answers.
    pub fuel_per_decision: Change<Option<f64>>,
}

/// Identity of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Policy name.
    pub name: String,
    /// Policy version.
    pub version: String,
    /// `sha256:` and digest.
    pub digest: String,
}

impl Replayed {
    pub(super) fn new(policy: &Policy) -> Self {
        let description = policy.description();
        let (name, version) = (description.name.clone(), description.version.clone());
        Self { name, version, digest: format!("sha256:{}", policy.digest()) }
    }
}

/// Position in the journals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// File as given.
    pub journal: String,
    /// Line from 1.
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
    /// Number of lines.
    pub lines: u64,
    /// First such line.
    pub first: Option<UnreadableLine>,
}

/// A line that is not an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableLine {
    /// Its position.
    pub place: Place,
    /// Why it cannot be read.
    pub reason: String,
}

/// Decisions that differ in one way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DifferenceGroup {
    /// Function asked.
    pub function: Function,
    /// Most important difference: `directive`, `delay`, `category`, `breaker_phase`, …; `no_answer` without a valid
    /// answer.
    pub what: String,
    /// Value before.
    pub before: String,
    /// Value with the policy.
    pub after: String,
    /// Number of decisions.
    pub count: u64,
    /// Share of all decisions, 0 to 1.
    pub share: f64,
    /// First such decision.
    pub example: Place,
}

/// A number before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// With recorded answers, or the policy compared with.
    pub before: T,
    /// With the policy asked.
    pub after: T,
}

fn in_seconds<S: Serializer>(change: &Change<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    Change { before: change.before.as_secs_f64(), after: change.after.as_secs_f64() }.serialize(serializer)
}
