//! The life of a candidate: probe, shadow, active, probation, and back.
//!
//! To be safer than redeploying, each [`Stage`] may refuse a candidate. The earlier policy stays ready until the new
//! one has passed its probation.

use crate::clock::{Instant, SharedClock, nanoseconds, unix_milliseconds};
use crate::error::PolicyError;
use crate::events::{Event, Events, Stage};
use crate::journal::Journal;
use crate::loader::PolicyLoader;
use crate::policy::Policy;
use crate::shadow::{ShadowOptions, Shadowing};
use crate::signature::SignatureError;
use crate::types::{Description, Incident};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use upright_core::PolicySlot;
use upright_core::policy::{Active, ActivePolicy, DecisionCounts, PolicyFailure, Recorder, SlotObserver, label};

/// Number of failures within [`STRIKE_WINDOW`] that replace a policy.
pub const STRIKES: usize = 3;
/// Time within which failures add up.
pub const STRIKE_WINDOW: Duration = Duration::from_secs(60);
/// Default time that a policy decides before it counts as good.
pub const PROBATION: Duration = Duration::from_secs(60);
const HISTORY: usize = 256;

/// How a candidate is swapped in.
#[derive(Clone, Debug)]
pub struct SwapOptions {
    /// Requires the conformance probe; on by default. Turn it off to test failing policies.
    pub probe: bool,
    /// Shadow to run first, until [`PolicyLifecycle::promote`] or a rule makes it active.
    pub shadow: Option<ShadowOptions>,
    /// Time that it must decide to count as good; 60 s by default.
    pub probation: Duration,
    /// Admits a lower revision of a signed policy than seen before; off by default.
    pub allow_lower_revision: bool,
}

impl Default for SwapOptions {
    fn default() -> Self {
        Self { probe: true, shadow: None, probation: PROBATION, allow_lower_revision: false }
    }
}

/// A step in the life of a slot's policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Wall-clock time in milliseconds since 1970.
    pub unix_milliseconds: u64,
    /// Name and version, or the file before they are known.
    pub policy: String,
    /// SHA-256 of the component, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Stage entered or refused.
    pub stage: Stage,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

struct Life {
    last_good: Active,
    strikes: VecDeque<Instant>,
    probation_ends: Option<Instant>,
    /// Highest accepted revision.
    highest_revision: Option<u64>,
    history: VecDeque<HistoryEntry>,
    observers: Vec<Arc<dyn LifeObserver>>,
}

impl Life {
    fn new() -> Self {
        Self {
            // If the first policy keeps failing, native code decides.
            last_good: Active::Native,
            strikes: VecDeque::new(),
            probation_ends: None,
            highest_revision: None,
            history: VecDeque::new(),
            observers: Vec::new(),
        }
    }

    fn note(&mut self, entry: HistoryEntry) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(entry);
        if let Some(entry) = self.history.back() {
            self.notify(LifeEvent::Entry(entry));
        }
    }

    fn notify(&self, event: LifeEvent<'_>) {
        for observer in &self.observers {
            observer.observe(event);
        }
    }
}

/// Step in the life of a slot's policies.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LifeEvent<'a> {
    /// The history grew by this entry.
    Entry(&'a HistoryEntry),
    /// This policy passed its probation.
    Good(&'a Policy),
    /// Highest accepted revision of a signature.
    Revision(u64),
    /// A probation of this length began.
    Probation(Duration),
    /// The observer returns when everything so far is written.
    Flush,
}

/// Observes the life of a slot's policies.
pub trait LifeObserver: Send + Sync {
    /// Takes a step. Called under a lock, except for [`LifeEvent::Flush`]: it must not call the lifecycle or wait.
    fn observe(&self, event: LifeEvent<'_>);
}

/// Handle of a [`PolicyLifecycle`] that does not keep it alive.
#[derive(Clone)]
pub struct WeakPolicyLifecycle(Weak<Shared>);

impl WeakPolicyLifecycle {
    /// The lifecycle; `None` if nothing uses it any more.
    pub fn upgrade(&self) -> Option<PolicyLifecycle> {
        self.0.upgrade().map(PolicyLifecycle::of)
    }
}

impl std::fmt::Debug for WeakPolicyLifecycle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("WeakPolicyLifecycle")
    }
}

/// Counts of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotCounts {
    /// Number of questions answered.
    pub decisions: u64,
    /// Number answered natively, because the policy failed or none can run.
    pub safe_mode: u64,
    /// Number of policies made active.
    pub swaps: u64,
    /// Number of roll-backs.
    pub rollbacks: u64,
}

/// Swaps, shadows and rolls back a slot's policies. Clones share it.
///
/// A swap is one pointer store: calls in flight finish on their policy. [`STRIKES`] failures within [`STRIKE_WINDOW`]
/// bring the last good policy back.
#[derive(Clone)]
pub struct PolicyLifecycle {
    pub(crate) shared: Arc<Shared>,
    slot: PolicySlot,
}

pub(crate) struct Shared {
    pub(crate) active: Arc<ActivePolicy>,
    recorder: Option<Arc<dyn Recorder>>,
    life: Mutex<Life>,
    pub(crate) shadowing: Shadowing,
    swaps: AtomicU64,
    rollbacks: AtomicU64,
}

impl Shared {
    fn new(active: Arc<ActivePolicy>, recorder: Option<Arc<dyn Recorder>>) -> Arc<Self> {
        Arc::new(Self {
            active,
            recorder,
            life: Mutex::new(Life::new()),
            shadowing: Shadowing::default(),
            swaps: AtomicU64::new(0),
            rollbacks: AtomicU64::new(0),
        })
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wall(&self) -> u64 {
        unix_milliseconds(self.active.clock().wall())
    }

    fn replace_by_last_good(&self, life: &mut Life, failed: &Active) -> String {
        life.strikes.clear();
        life.probation_ends = None;
        // If that fails too, native code takes over.
        let last_good = std::mem::replace(&mut life.last_good, Active::Native);
        let (from, to) = (label(&failed.description()), label(&last_good.description()));
        self.active.swap(last_good);
        self.rollbacks.fetch_add(1, Ordering::Relaxed);
        life.note(entry(&from, failed.digest(), Stage::RolledBack, None, self.wall()));
        self.active.events().emit(|| Event::PolicyRolledBack { from, to: to.clone() });
        to
    }
}

impl SlotObserver for Shared {
    fn deciding(&self, incident: &Incident) {
        self.shadowing.offer(incident);
    }

    /// Brings the last good policy back at [`STRIKES`].
    fn failed(&self, failed: &Arc<Active>, _: &PolicyFailure) {
        let now = self.active.clock().now();
        let mut life = self.life();
        // Old calls say nothing about the active policy.
        if !self.active.is(failed) {
            return;
        }
        life.strikes.push_back(now);
        forget_old_strikes(&mut life.strikes, now);
        if life.strikes.len() >= STRIKES {
            self.replace_by_last_good(&mut life, failed);
        }
    }

    fn of_copy(&self, active: &Arc<ActivePolicy>) -> Arc<dyn SlotObserver> {
        Shared::new(Arc::clone(active), None)
    }
}

impl Default for PolicyLifecycle {
    fn default() -> Self {
        Self::built_in()
    }
}

impl std::fmt::Debug for PolicyLifecycle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PolicyLifecycle({:?})", self.shared.active.load())
    }
}

impl From<&PolicyLifecycle> for PolicySlot {
    fn from(lifecycle: &PolicyLifecycle) -> Self {
        lifecycle.slot.clone()
    }
}

impl From<PolicyLifecycle> for PolicySlot {
    fn from(lifecycle: PolicyLifecycle) -> Self {
        lifecycle.slot
    }
}

impl From<Policy> for PolicyLifecycle {
    fn from(policy: Policy) -> Self {
        Self::new(policy)
    }
}

impl From<&PolicyLifecycle> for PolicyLifecycle {
    fn from(lifecycle: &PolicyLifecycle) -> Self {
        lifecycle.clone()
    }
}

/// Begins with the slot's policy, in a slot of its own.
impl From<PolicySlot> for PolicyLifecycle {
    fn from(slot: PolicySlot) -> Self {
        let (active, recorder) = slot.into_parts();
        Self::copied(&active, SharedClock::clone(active.clock()), active.events().clone(), recorder)
    }
}

impl PolicyLifecycle {
    /// Starts with the default policy, natively where code generation is forbidden.
    pub fn built_in() -> Self {
        match Policy::built_in() {
            Ok(policy) => Self::new(policy),
            Err(error) => {
                tracing::warn!(%error, "the built-in policy cannot run as a component here: deciding natively");
                Self::native()
            }
        }
    }

    /// Starts with this policy, probed unless its loader skipped that.
    pub fn new(policy: Policy) -> Self {
        PolicySlot::of(policy).into()
    }

    /// Starts without a component: native code decides.
    pub fn native() -> Self {
        PolicySlot::native().into()
    }

    /// A new lifecycle of this policy, with `clock` and `events`.
    #[must_use]
    #[doc(hidden)]
    pub fn connected(&self, clock: SharedClock, events: Events) -> Self {
        Self::copied(&self.shared.active, clock, events, self.shared.recorder.clone())
    }

    /// A new lifecycle of this policy, recorded in `journal`.
    #[must_use]
    pub fn with_journal(&self, journal: Journal) -> Self {
        let Shared { active, .. } = &*self.shared;
        Self::copied(active, SharedClock::clone(active.clock()), active.events().clone(), Some(Arc::new(journal)))
    }

    /// The slot, where the active policy decides.
    pub fn slot(&self) -> &PolicySlot {
        &self.slot
    }

    /// A life of its own that begins with this policy.
    fn copied(active: &ActivePolicy, clock: SharedClock, events: Events, recorder: Option<Arc<dyn Recorder>>) -> Self {
        let active = ActivePolicy::new(Active::clone(&active.load()), clock, events);
        Self::of(Shared::new(Arc::new(active), recorder))
    }

    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        let slot = PolicySlot::observed(Arc::clone(&shared.active), Arc::clone(&shared) as Arc<dyn SlotObserver>, shared.recorder.clone());
        Self { shared, slot }
    }

    /// The active component; `None` if native code or a test decides.
    pub fn policy(&self) -> Option<Policy> {
        component(&self.shared.active.load()).cloned()
    }

    /// The active policy's name, version and breaker-state layout.
    pub fn description(&self) -> Description {
        self.shared.active.load().description()
    }

    /// The counts so far.
    pub fn counts(&self) -> SlotCounts {
        let Shared { active, swaps, rollbacks, .. } = &*self.shared;
        let DecisionCounts { decisions, safe_mode } = active.counts();
        SlotCounts { decisions, safe_mode, swaps: swaps.load(Ordering::Relaxed), rollbacks: rollbacks.load(Ordering::Relaxed) }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.shared.life()
    }
}

pub(crate) fn component(active: &Active) -> Option<&Policy> {
    match active {
        Active::Policy(policy) => (&**policy as &dyn Any).downcast_ref(),
        Active::Native => None,
    }
}

impl PolicyLifecycle {
    /// Makes a candidate active or shadow. Returns the stage.
    ///
    /// # Errors
    /// Those of [`Policy::probe`], [`SignatureError::LowerRevision`], or of a shadow [`PolicyError::Sample`] and
    /// [`PolicyError::NoThread`]. The active policy stays.
    pub fn swap(&self, candidate: Policy, options: &SwapOptions) -> Result<Stage, PolicyError> {
        let named = label(candidate.description());
        let swapped = self.try_swap(candidate, options);
        if let Err(error) = &swapped {
            self.note_refusal(&named, error);
        }
        swapped
    }

    /// Swaps in the policy of a file. Each passed stage is an event, as is a refusal.
    ///
    /// # Errors
    /// Those of [`PolicyLoader::from_file`] and [`PolicyLifecycle::swap`]. The active policy stays.
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

    /// Refuses signed policies of a lower revision from now on.
    #[doc(hidden)]
    pub fn accept_revision(&self, revision: u64) {
        let mut life = self.life();
        life.highest_revision = life.highest_revision.max(Some(revision));
    }

    /// Adds an observer of the history, for tools that keep it or report it.
    #[doc(hidden)]
    pub fn observe(&self, observer: Arc<dyn LifeObserver>) {
        self.life().observers.push(observer);
    }

    /// Waits until the observers have written everything so far.
    pub fn flush(&self) {
        // Outside the lock: an observer may read the history.
        let observers = self.life().observers.clone();
        observers.iter().for_each(|observer| observer.observe(LifeEvent::Flush));
    }

    /// A handle that does not keep the lifecycle alive.
    #[doc(hidden)]
    pub fn downgrade(&self) -> WeakPolicyLifecycle {
        WeakPolicyLifecycle(Arc::downgrade(&self.shared))
    }

    pub(crate) fn activate(&self, policy: Policy, probation: Duration) {
        self.settle();
        let (to, digest) = (policy.description().clone(), policy.digest().to_owned());
        let revision = policy.signature().map(|signature| signature.manifest.revision);
        let from = {
            let mut life = self.life();
            let from = self.shared.active.swap(Active::Policy(Arc::new(policy)));
            // A policy on probation or with recent failures is no roll-back target.
            if life.strikes.is_empty() && life.probation_ends.is_none() {
                life.last_good = Active::clone(&from);
            }
            life.strikes.clear();
            life.highest_revision = life.highest_revision.max(revision);
            life.probation_ends = Some(self.shared.active.clock().now().saturating_add(nanoseconds(probation)));
            life.notify(LifeEvent::Probation(probation));
            if let Some(revision) = life.highest_revision.filter(|_| revision.is_some()) {
                life.notify(LifeEvent::Revision(revision));
            }
            from
        };
        self.shared.swaps.fetch_add(1, Ordering::Relaxed);
        let (from, from_digest) = (label(&from.description()), from.digest().map(str::to_owned));
        self.shared.active.events().emit(|| Event::PolicySwapped { from: from.clone(), to: label(&to) });
        self.note(&from, from_digest.as_deref(), Stage::Retired);
        self.note(&label(&to), Some(&digest), Stage::Active);
    }

    /// Ends an elapsed probation: the policy counts as good.
    #[doc(hidden)]
    pub fn settle(&self) {
        let now = self.shared.active.clock().now();
        let mut life = self.life();
        forget_old_strikes(&mut life.strikes, now);
        let over = life.probation_ends.is_some_and(|ends| now >= ends) && life.strikes.is_empty();
        if !over {
            return;
        }
        life.probation_ends = None;
        let active = self.shared.active.load();
        if let Some(policy) = component(&active) {
            life.notify(LifeEvent::Good(policy));
        }
        drop(life);
        self.note(&label(&active.description()), active.digest(), Stage::Good);
    }

    /// Whether the active policy does not count as good yet.
    pub fn is_on_probation(&self) -> bool {
        self.life().probation_ends.is_some()
    }

    /// Rolls back. Returns the last good policy's name and version.
    pub fn roll_back(&self) -> String {
        let mut life = self.life();
        self.shared.replace_by_last_good(&mut life, &self.shared.active.load())
    }

    /// The latest 256 history entries, newest last.
    pub fn history(&self) -> Vec<HistoryEntry> {
        self.settle();
        self.life().history.iter().cloned().collect()
    }

    pub(crate) fn note(&self, policy: &str, digest: Option<&str>, stage: Stage) {
        self.shared.active.events().emit(|| Event::PolicyStage { policy: policy.to_owned(), stage });
        self.life().note(entry(policy, digest, stage, None, self.shared.wall()));
    }

    /// Adds a refused candidate to the history and the events. [`swap`](PolicyLifecycle::swap) and
    /// [`swap_file`](PolicyLifecycle::swap_file) do so themselves.
    #[doc(hidden)]
    pub fn note_refusal(&self, policy: &str, error: &PolicyError) {
        let (stage, refused) = (error.stage(), error.to_string());
        self.shared.active.events().emit(|| Event::PolicyRefused { policy: policy.to_owned(), stage, error: refused.clone() });
        self.life().note(entry(policy, None, stage, Some(refused), self.shared.wall()));
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
