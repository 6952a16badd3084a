//! A candidate that answers live questions and decides nothing.
//!
//! Whether new recovery logic does what it should shows on the failures that a program really has. So a candidate can stand in the active policy's shadow: a
//! sample of the incidents is put before both, off the caller's path, and where their answers differ it is counted and kept as an example.
//! The caller pays for handing over a copy of the incident, and nothing more: the active policy's answer need not be handed
//! over, since decisions are pure and it can be asked again. When more comes than is looked at, incidents are dropped and counted.
//!
//! A breaker's private memory belongs to the active policy. A candidate that writes another layout is asked with an empty one, so what it would have gathered
//! over many failures does not show here.

mod lane;
mod report;

pub use report::{Disagreement, Latency, ShadowExample, ShadowReport};

use super::error::PolicyError;
use super::loaded::Policy;
use crate::events::Stage;
use crate::label;
use crate::lifecycle::{PolicyLifecycle, Shared};
use crate::types::Incident;
use arc_swap::ArcSwapOption;
use lane::Lanes;
use report::Tally;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use upright_core::policy::Active;

/// How often the shadow's thread looks for incidents. It is not woken: that would cost the caller a call of the system.
const GLANCE: Duration = Duration::from_millis(2);
/// While nothing fails it looks less and less often, down to this.
const LONGEST_GLANCE: Duration = Duration::from_millis(64);
/// One, in the fixed-point numbers that count the sample.
const ONE: u64 = 1 << 32;

/// How a candidate stands in the shadow.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowOptions {
    /// The share of the incidents that it is asked about; above 0, at most 1. All by default.
    pub sample: f64,
    /// When it becomes active by itself. By default never: [`PolicyLifecycle::promote`] does it.
    pub promotion: Option<Promotion>,
}

impl Default for ShadowOptions {
    fn default() -> Self {
        Self { sample: 1.0, promotion: None }
    }
}

/// When a shadow becomes active by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// After so many decisions beside the active policy,
    pub decisions: u64,
    /// if at most so many of them differed.
    pub disagreements: u64,
}

/// What a slot needs of its shadow. Without one, an incident costs a load and a branch.
#[derive(Default)]
pub(super) struct Shadowing {
    on: AtomicBool,
    current: ArcSwapOption<Shadow>,
}

struct Shadow {
    candidate: Policy,
    probation: Duration,
    promotion: Option<Promotion>,
    /// What each incident adds to `sampled`; one is asked about whenever the sum passes a whole number.
    step: u64,
    sampled: AtomicU64,
    waiting: Lanes,
    ended: AtomicBool,
    tally: Mutex<Tally>,
}

impl Shadowing {
    /// Hands an incident over.
    #[inline]
    pub(super) fn offer(&self, incident: &Incident) {
        if self.on.load(Ordering::Relaxed) {
            self.hand_over(incident);
        }
    }

    #[cold]
    fn hand_over(&self, incident: &Incident) {
        let current = self.current.load();
        let Some(shadow) = &*current else { return };
        if shadow.step == ONE || shadow.is_sampled() {
            shadow.waiting.put(incident);
        }
    }

    fn replace(&self, shadow: Option<Arc<Shadow>>) -> Option<Arc<Shadow>> {
        self.on.store(shadow.is_some(), Ordering::Release);
        let before = self.current.swap(shadow);
        if let Some(before) = &before {
            before.ended.store(true, Ordering::Release);
        }
        before
    }
}

impl Shadow {
    /// Asks both about what has been handed over.
    fn catch_up(&self, active: &Active) -> ShadowReport {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.take(|incident| tally.compare(incident, active));
        tally.report(&self.candidate, self.waiting.dropped())
    }

    fn is_sampled(&self) -> bool {
        let before = self.sampled.fetch_add(self.step, Ordering::Relaxed);
        before.wrapping_add(self.step) / ONE != before / ONE
    }

    fn is_due(&self, report: &ShadowReport) -> bool {
        self.promotion.is_some_and(|rule| report.decisions >= rule.decisions && report.disagreeing <= rule.disagreements)
    }
}

impl PolicyLifecycle {
    /// Puts a candidate into the shadow of the active policy, in place of the one that was there.
    pub(super) fn begin_shadow(&self, candidate: Policy, options: ShadowOptions, probation: Duration) -> Result<(), PolicyError> {
        if !(options.sample > 0.0 && options.sample <= 1.0) {
            return Err(PolicyError::Sample { value: options.sample });
        }
        let shadow = Arc::new(Shadow {
            probation,
            promotion: options.promotion,
            // Rounded up: the last of a hundred incidents is the one of a hundredth.
            step: (options.sample * ONE as f64).ceil() as u64,
            sampled: AtomicU64::new(0),
            waiting: Lanes::default(),
            ended: AtomicBool::new(false),
            // With instances of its own: whoever decides at the same time shall not notice.
            tally: Mutex::new(Tally::of(candidate.twin())),
            candidate,
        });
        let (slot, of_thread) = (Arc::downgrade(&self.shared), Arc::clone(&shadow));
        let thread = std::thread::Builder::new().name("upright-shadow".into()).spawn(move || watch(&slot, &of_thread));
        thread.map_err(|error| PolicyError::NoThread { detail: error.to_string() })?;
        self.note(&label(shadow.candidate.description()), Some(shadow.candidate.digest()), Stage::Shadow);
        self.shared.shadowing.replace(Some(shadow));
        Ok(())
    }

    /// What the shadow has shown so far, with what was handed over until now; none where there is none.
    pub fn shadow_report(&self) -> Option<ShadowReport> {
        let shadow = self.shared.shadowing.current.load_full()?;
        let report = shadow.catch_up(&self.shared.active.load());
        if shadow.is_due(&report) {
            self.promote_this(&shadow);
        }
        Some(report)
    }

    /// Makes the shadow the active policy, on probation, and tells what it had shown; none where there is no shadow.
    pub fn promote(&self) -> Option<ShadowReport> {
        let shadow = self.shared.shadowing.current.load_full()?;
        let report = shadow.catch_up(&self.shared.active.load());
        self.promote_this(&shadow).then_some(report)
    }

    /// Ends the shadow without following it, and tells what it had shown; none where there is no shadow.
    pub fn end_shadow(&self) -> Option<ShadowReport> {
        let shadow = self.shared.shadowing.replace(None)?;
        let report = shadow.catch_up(&self.shared.active.load());
        self.note(&label(shadow.candidate.description()), Some(shadow.candidate.digest()), Stage::Retired);
        Some(report)
    }

    /// Whether it was this call that did it.
    fn promote_this(&self, shadow: &Arc<Shadow>) -> bool {
        // Of several that find it due, one activates it.
        if shadow.ended.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.shared.shadowing.replace(None);
        self.activate(shadow.candidate.clone(), shadow.probation);
        true
    }
}

/// The shadow's thread: until the shadow ends, or the slot is gone.
fn watch(slot: &Weak<Shared>, shadow: &Arc<Shadow>) {
    let (mut glance, mut seen) = (GLANCE, 0);
    while !shadow.ended.load(Ordering::Acquire) {
        let Some(shared) = slot.upgrade() else { return };
        let slot = PolicyLifecycle::of(shared);
        let report = shadow.catch_up(&slot.shared.active.load());
        if shadow.is_due(&report) {
            slot.promote_this(shadow);
        }
        drop(slot);
        glance = if report.decisions == seen { LONGEST_GLANCE.min(glance * 2) } else { GLANCE };
        seen = report.decisions;
        std::thread::sleep(glance);
    }
}
