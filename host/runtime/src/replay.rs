//! Shows what another policy would have decided: asks it the questions of a [journal](crate::journal), and counts
//! differing answers.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright_runtime::replay::{Replay, Replayer};
//!
//! let mut replay = Replay::new(Replayer::from_file("my-policy.wasm")?, None);
//! replay.begin("journal.jsonl");
//! for line in std::fs::read("journal.jsonl")?.split(|byte| *byte == b'\n') {
//!     replay.line(line);
//! }
//! for group in replay.report().differences {
//!     println!("{} x {}: {} → {}, first at {}", group.count, group.what, group.before, group.after, group.example);
//! }
//! # Ok(()) }
//! ```

mod difference;
mod report;
#[cfg(test)]
mod tests;

pub use report::{Change, DifferenceGroup, Place, ReplayReport, Replayed, Unreadable, UnreadableLine};

use super::fuel::Counted;
use super::{Policy, PolicyError, loader, policy};
use crate::clock::seconds;
use crate::journal::{Entry, Line, breaker_after};
use crate::types::Directive;
use difference::Difference;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use upright_core::policy::{Answer, Function, Question};

/// A policy to replay; its instructions are counted.
#[derive(Debug)]
pub struct Replayer {
    counted: Counted,
    asked: u64,
}

impl Replayer {
    /// Prepares a loaded policy.
    ///
    /// # Errors
    /// [`PolicyError::Compile`].
    pub fn new(policy: Policy) -> Result<Self, PolicyError> {
        Ok(Self { counted: Counted::new(policy)?, asked: 0 })
    }

    /// Prepares the built-in policy.
    ///
    /// # Errors
    /// [`PolicyError::Compile`] if components cannot run here.
    pub fn built_in() -> Result<Self, PolicyError> {
        Self::new(Policy::built_in()?)
    }

    /// Loads a component without its signature, since it decides nothing here.
    ///
    /// # Errors
    /// Those of [`Policy::from_file`] but [`PolicyError::Signature`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PolicyError> {
        let path = path.as_ref();
        Self::from_bytes(&loader::read(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?)
    }

    /// Inspects, compiles and probes a component.
    ///
    /// # Errors
    /// Those of [`Policy::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PolicyError> {
        Self::new(Policy::from_bytes(bytes)?)
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        self.counted.policy()
    }

    fn layout(&self) -> u32 {
        self.policy().description().state_layout
    }

    /// A slot's answer, with the policy's error if safe mode answered.
    fn answer(&mut self, question: &mut Question, recorded_layout: u32) -> (Answer, Option<PolicyError>) {
        self.asked += 1;
        // Hides memory of another layout; restored below.
        let hidden = if recorded_layout == self.layout() {
            None
        } else {
            question.breaker_state_mut().map(|state| std::mem::take(&mut state.memory))
        };
        let asked = policy::ask(&self.counted, question.ask())
            .and_then(|answer| question.check(&answer).map(|()| answer).map_err(PolicyError::from));
        let answer = match asked {
            Ok(answer) => (answer, None),
            Err(error) => {
                let natively = question.answer_natively();
                // A question without valid answers (impossible settings) says nothing about the policy.
                let senseless = matches!(error, PolicyError::Nonsense { .. }) && question.check(&natively).is_err();
                (natively, (!senseless).then_some(error))
            }
        };
        if let (Some(memory), Some(state)) = (hidden, question.breaker_state_mut()) {
            state.memory = memory;
        }
        answer
    }

    fn fuel_per_decision(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.counted.fuel() as f64 / self.asked as f64)
    }
}

/// Replays journals line by line.
#[derive(Debug)]
pub struct Replay {
    policy: Replayer,
    against: Option<Replayer>,
    journal: Arc<str>,
    line: u64,
    entries: u64,
    lost: u64,
    unreadable: Unreadable,
    differing: u64,
    groups: BTreeMap<(Function, Difference), Group>,
    delay: Change<Duration>,
    retries: Change<u64>,
}

#[derive(Debug)]
struct Group {
    count: u64,
    journal: Arc<str>,
    line: u64,
}

impl Replay {
    /// Compares `policy` with `against`, or else with the recorded answers.
    pub fn new(policy: Replayer, against: Option<Replayer>) -> Self {
        Self {
            policy,
            against,
            journal: Arc::from("-"),
            line: 0,
            entries: 0,
            lost: 0,
            unreadable: Unreadable::default(),
            differing: 0,
            groups: BTreeMap::new(),
            delay: Change::default(),
            retries: Change::default(),
        }
    }

    /// Begins a journal, named in positions.
    pub fn begin(&mut self, journal: &str) {
        (self.journal, self.line) = (Arc::from(journal), 0);
    }

    /// Replays a line. Counts non-entries; ignores empty lines.
    pub fn line(&mut self, line: &[u8]) {
        self.line += 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        match Line::read(line) {
            Ok(Line::Entry(entry)) => self.entry(*entry),
            Ok(Line::Lost(lost)) => self.lost = self.lost.saturating_add(lost),
            Err(error) => self.note_unreadable(error.to_string()),
        }
    }

    /// Counts a line that was not read completely.
    pub fn unreadable_line(&mut self, reason: impl Into<String>) {
        self.line += 1;
        self.note_unreadable(reason.into());
    }

    fn note_unreadable(&mut self, reason: String) {
        self.unreadable.lines += 1;
        let place = Place { journal: self.journal.as_ref().to_owned(), line: self.line };
        self.unreadable.first.get_or_insert(UnreadableLine { place, reason });
    }

    fn entry(&mut self, entry: Entry) {
        let Entry { mut question, answer: recorded, layout, .. } = entry;
        self.entries += 1;
        let (mut before, before_layout) = match &mut self.against {
            Some(other) => (other.answer(&mut question, layout).0, other.layout()),
            None => (recorded, layout),
        };
        let (mut after, failure) = self.policy.answer(&mut question, layout);
        add(&before, &mut self.delay.before, &mut self.retries.before);
        add(&after, &mut self.delay.after, &mut self.retries.after);
        let found = match failure {
            Some(error) => Some(difference::no_answer(&error)),
            None => {
                if before_layout != self.policy.layout() {
                    // Only its own policy can read a memory.
                    [&mut before, &mut after].into_iter().filter_map(breaker_after).for_each(|state| state.memory.clear());
                }
                difference::between(&before, &after)
            }
        };
        if let Some(difference) = found {
            self.differing += 1;
            let first = || Group { count: 0, journal: Arc::clone(&self.journal), line: self.line };
            self.groups.entry((question.function(), difference)).or_insert_with(first).count += 1;
        }
    }

    /// The findings so far.
    pub fn report(&self) -> ReplayReport {
        let differences = self.groups.iter().map(|((function, difference), group)| DifferenceGroup {
            function: *function,
            what: difference.what.to_owned(),
            before: difference.before.to_string(),
            after: difference.after.to_string(),
            count: group.count,
            share: group.count as f64 / self.entries as f64,
            example: Place { journal: group.journal.as_ref().to_owned(), line: group.line },
        });
        let mut differences: Vec<_> = differences.collect();
        // Stable: equal counts stay in name order.
        differences.sort_by_key(|group| Reverse(group.count));
        ReplayReport {
            policy: Replayed::new(self.policy.policy()),
            against: self.against.as_ref().map(|against| Replayed::new(against.policy())),
            entries: self.entries,
            lost: self.lost,
            unreadable: self.unreadable.clone(),
            differing: self.differing,
            differences,
            delay: self.delay,
            retries: self.retries,
            fuel_per_decision: Change {
                before: self.against.as_ref().and_then(Replayer::fuel_per_decision),
                after: self.policy.fuel_per_decision(),
            },
        }
    }
}

fn add(answer: &Answer, delay: &mut Duration, retries: &mut u64) {
    if let Answer::Decide(verdict) = answer
        && let Directive::RetryAfter(wait) = verdict.directive
    {
        *delay = delay.saturating_add(seconds(wait));
        *retries += 1;
    }
}
