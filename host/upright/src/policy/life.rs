//! The life of a candidate: probe, shadow, active, probation, and back again.
//!
//! Replacing the recovery logic of a running program must be safer than redeploying it. So a candidate passes its stages one after the other
//! ([`Stage`]), each may end its life for a reason of its own, and until it has decided for a while without trouble the policy before it is kept ready.

use super::error::PolicyError;
use super::loader::PolicyLoader;
use super::shadow::ShadowOptions;
use super::signature::SignatureError;
use super::slot::{Active, PolicySlot, label};
use super::stage::Stage;
use crate::clock::{Instant, nanoseconds, unix_milliseconds};
use crate::events::Event;
use crate::policy::Policy;
use crate::policy::home::Keeper;
use crate::store::following::Calls;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A policy that fails so often within [`STRIKE_WINDOW`] is replaced.
pub const STRIKES: usize = 3;
/// Failures of a policy that are further apart do not add up.
pub const STRIKE_WINDOW: Duration = Duration::from_secs(60);
/// How long a policy decides before others are rolled back to it, unless [`SwapOptions::probation`] says otherwise.
pub const PROBATION: Duration = Duration::from_secs(60);
/// So many entries of a slot's history are kept in memory.
const HISTORY: usize = 256;

/// How a candidate is swapped in.
#[derive(Clone, Debug)]
pub struct SwapOptions {
    /// Whether it must pass the conformance probe first. On by default; off for tests of what the probe would refuse.
    pub probe: bool,
    /// Lets it answer live questions beside the active policy first; it becomes active by [`PolicySlot::promote`] or by a rule.
    pub shadow: Option<ShadowOptions>,
    /// How long it must decide without being struck out to count as good. A minute by default.
    pub probation: Duration,
    /// Lets in a signed policy of a lower revision than was seen: a way back that the signer's owner has to ask for. Off by default.
    pub allow_lower_revision: bool,
}

impl Default for SwapOptions {
    fn default() -> Self {
        Self { probe: true, shadow: None, probation: PROBATION, allow_lower_revision: false }
    }
}

/// One step in the life of a slot's policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Milliseconds since 1970, by the wall clock.
    pub unix_milliseconds: u64,
    /// Name and version, or the file where it never got as far as to have one.
    pub policy: String,
    /// SHA-256 of the component, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The stage that it entered, or could not.
    pub stage: Stage,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What only swaps and failures look at.
pub(super) struct Life {
    last_good: Active,
    strikes: VecDeque<Instant>,
    /// When the active policy's probation ends, if it has not.
    probation_ends: Option<Instant>,
    /// The highest revision of a signature that was accepted.
    highest_revision: Option<u64>,
    history: VecDeque<HistoryEntry>,
    pub(super) keeper: Option<Keeper>,
    /// Tells a fleet how this slot stands.
    pub(super) follower: Weak<Calls>,
}

impl Life {
    pub(super) fn new() -> Self {
        Self {
            // There was none before the first: should that one fail repeatedly, native code decides.
            last_good: Active::Native,
            strikes: VecDeque::new(),
            probation_ends: None,
            highest_revision: None,
            history: VecDeque::new(),
            keeper: None,
            follower: Weak::new(),
        }
    }
}

impl PolicySlot {
    /// Makes a candidate the active policy, or its shadow, and tells which. Calls in flight finish on the policy that they began with.
    ///
    /// # Errors
    /// What the probe finds, or [`SignatureError::LowerRevision`]; the active policy stays.
    pub fn swap(&self, candidate: Policy, options: &SwapOptions) -> Result<Stage, PolicyError> {
        let named = label(candidate.description());
        let swapped = self.try_swap(candidate, options);
        if let Err(error) = &swapped {
            self.note_refusal(&named, error);
        }
        swapped
    }

    /// Reads a candidate from a file and swaps it in. Each stage that it passes is an event, and so is the one that it does not.
    ///
    /// # Errors
    /// Each stage's own; the active policy stays.
    pub fn swap_file(&self, path: impl AsRef<Path>, loader: &PolicyLoader, options: &SwapOptions) -> Result<Stage, PolicyError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let candidate =
            loader.step_by_step(path, &mut |stage| self.note(&file, None, stage)).inspect_err(|error| self.note_refusal(&file, error))?;
        self.swap(candidate, options)
    }

    fn try_swap(&self, candidate: Policy, options: &SwapOptions) -> Result<Stage, PolicyError> {
        if options.probe {
            candidate.probe()?;
            self.note(&label(candidate.description()), Some(candidate.digest()), Stage::Probe);
        }
        if !options.allow_lower_revision {
            self.check_revision(&candidate)?;
        }
        match &options.shadow {
            Some(shadow) => {
                self.begin_shadow(candidate, shadow.clone(), options.probation)?;
                Ok(Stage::Shadow)
            }
            None => {
                self.activate(candidate, options.probation);
                Ok(Stage::Active)
            }
        }
    }

    fn check_revision(&self, candidate: &Policy) -> Result<(), PolicyError> {
        let (Some(signature), Some(highest)) = (candidate.signature(), self.life().highest_revision) else { return Ok(()) };
        let revision = signature.manifest.revision;
        if revision < highest {
            return Err(SignatureError::LowerRevision { revision, highest }.into());
        }
        Ok(())
    }

    /// Remembers a revision that was accepted before this process began.
    pub(super) fn saw_revision(&self, revision: u64) {
        let mut life = self.life();
        life.highest_revision = life.highest_revision.max(Some(revision));
    }

    /// One pointer store.
    pub(super) fn activate(&self, policy: Policy, probation: Duration) {
        self.settle();
        let (to, digest) = (policy.description().clone(), policy.digest().to_owned());
        let revision = policy.signature().map(|signature| signature.manifest.revision);
        let from = {
            let mut life = self.life();
            let from = self.shared.active.swap(Arc::new(Active::Component(policy)));
            // One that is on probation, or has failed lately, is nothing to go back to.
            if life.strikes.is_empty() && life.probation_ends.is_none() {
                life.last_good = Active::clone(&from);
            }
            life.strikes.clear();
            life.highest_revision = life.highest_revision.max(revision);
            life.probation_ends = Some(self.shared.clock.now().saturating_add(nanoseconds(probation)));
            if let Some(keeper) = &life.keeper {
                keeper.wake_in(probation);
                if let Some(revision) = life.highest_revision.filter(|_| revision.is_some()) {
                    keeper.saw_revision(revision);
                }
            }
            from
        };
        self.shared.swaps.fetch_add(1, Ordering::Relaxed);
        let (from, from_digest) = (label(&from.description()), from.digest());
        self.shared.events.emit(|| Event::PolicySwapped { from: from.clone(), to: label(&to) });
        self.note(&from, from_digest.as_deref(), Stage::Retired);
        self.note(&label(&to), Some(&digest), Stage::Active);
    }

    /// Ends the active policy's probation if its time is over: it counts as good from then on.
    pub fn settle(&self) {
        let now = self.shared.clock.now();
        let mut life = self.life();
        forget_old_strikes(&mut life.strikes, now);
        let over = life.probation_ends.is_some_and(|ends| now >= ends) && life.strikes.is_empty();
        if !over {
            return;
        }
        life.probation_ends = None;
        let active = self.shared.active.load_full();
        if let (Some(keeper), Active::Component(policy)) = (&life.keeper, &*active) {
            keeper.remember(policy.clone());
        }
        drop(life);
        self.note(&label(&active.description()), active.digest().as_deref(), Stage::Good);
    }

    /// Whether the active policy does not count as good yet.
    pub fn is_on_probation(&self) -> bool {
        self.life().probation_ends.is_some()
    }

    /// Goes back to the last good policy, as if the active one had been struck out, and tells its name and version.
    pub fn roll_back(&self) -> String {
        let mut life = self.life();
        let failed = self.shared.active.load_full();
        self.replace_by_last_good(&mut life, failed)
    }

    /// Notes that a policy failed; the third time within a minute it is replaced by the last good one.
    pub(super) fn strike(&self, failed: &Arc<Active>, error: &PolicyError) {
        let policy = label(&failed.description());
        self.shared.events.emit(|| Event::SafeMode { policy, error: error.to_string() });
        let now = self.shared.clock.now();
        let mut life = self.life();
        // A call that began before a swap says nothing of the policy that is active now.
        if !Arc::ptr_eq(failed, &self.shared.active.load()) {
            return;
        }
        life.strikes.push_back(now);
        forget_old_strikes(&mut life.strikes, now);
        if life.strikes.len() >= STRIKES {
            self.replace_by_last_good(&mut life, Arc::clone(failed));
        }
    }

    fn replace_by_last_good(&self, life: &mut Life, failed: Arc<Active>) -> String {
        life.strikes.clear();
        life.probation_ends = None;
        // Should the last good one turn out bad as well, native code takes over.
        let last_good = std::mem::replace(&mut life.last_good, Active::Native);
        let (from, to) = (label(&failed.description()), label(&last_good.description()));
        self.shared.active.store(Arc::new(last_good));
        self.shared.rollbacks.fetch_add(1, Ordering::Relaxed);
        self.note_in(life, entry(&from, failed.digest().as_deref(), Stage::RolledBack, None, self.wall()));
        self.shared.events.emit(|| Event::PolicyRolledBack { from, to: to.clone() });
        to
    }

    /// What happened to this slot's policies, the latest at the end; at most 256 entries.
    pub fn history(&self) -> Vec<HistoryEntry> {
        self.settle();
        self.life().history.iter().cloned().collect()
    }

    /// Notes that a policy entered a stage.
    pub(super) fn note(&self, policy: &str, digest: Option<&str>, stage: Stage) {
        self.shared.events.emit(|| Event::PolicyStage { policy: policy.to_owned(), stage });
        let entry = entry(policy, digest, stage, None, self.wall());
        self.note_in(&mut self.life(), entry);
    }

    /// Notes that a candidate could not enter a stage.
    pub(super) fn note_refusal(&self, policy: &str, error: &PolicyError) {
        let (stage, refused) = (error.stage(), error.to_string());
        self.shared.events.emit(|| Event::PolicyRefused { policy: policy.to_owned(), stage, error: refused.clone() });
        let entry = entry(policy, None, stage, Some(refused), self.wall());
        self.note_in(&mut self.life(), entry);
    }

    fn note_in(&self, life: &mut Life, entry: HistoryEntry) {
        if life.history.len() == HISTORY {
            life.history.pop_front();
        }
        if let Some(keeper) = &life.keeper {
            keeper.write_down(entry.clone());
        }
        life.history.push_back(entry);
        if let Some(follower) = life.follower.upgrade() {
            follower.wake();
        }
    }

    fn wall(&self) -> u64 {
        unix_milliseconds(self.shared.clock.wall())
    }
}

fn forget_old_strikes(strikes: &mut VecDeque<Instant>, now: Instant) {
    while strikes.front().is_some_and(|strike| now.saturating_sub(*strike) > nanoseconds(STRIKE_WINDOW)) {
        strikes.pop_front();
    }
}

fn entry(policy: &str, digest: Option<&str>, stage: Stage, refused: Option<String>, unix_milliseconds: u64) -> HistoryEntry {
    HistoryEntry { unix_milliseconds, policy: policy.to_owned(), digest: digest.map(str::to_owned), stage, refused }
}
