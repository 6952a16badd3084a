//! Compares a candidate with the active policy on live failures; it decides nothing.
//!
//! Both answer a sample of the incidents. The caller pays only for a copy: the active policy is asked again, since
//! decisions are pure. Excess incidents are dropped and counted.
//!
//! A candidate with another layout of breaker memory gets it empty, so effects of many failures do not show.

mod lane;
mod report;

pub use report::{Disagreement, Latency, ShadowExample, ShadowReport};

use super::error::PolicyError;
use super::policy::Policy;
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

/// Waking the thread instead would cost the caller a system call.
const GLANCE: Duration = Duration::from_millis(2);
/// Maximum interval, while nothing fails.
const LONGEST_GLANCE: Duration = Duration::from_millis(64);
const ONE: u64 = 1 << 32;

/// How a candidate is shadowed.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowOptions {
    /// Share of incidents compared, above 0 and at most 1; 1 by default.
    pub sample: f64,
    /// Automatic promotion; by default only [`PolicyLifecycle::promote`] promotes.
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
    /// Minimum number of decisions.
    pub decisions: u64,
    /// Maximum number that differed.
    pub disagreements: u64,
}

/// Without a shadow, an incident costs a load and a branch.
#[derive(Default)]
pub(super) struct Shadowing {
    on: AtomicBool,
    current: ArcSwapOption<Shadow>,
}

struct Shadow {
    candidate: Policy,
    probation: Duration,
    promotion: Option<Promotion>,
    /// Added to `sampled` per incident; each integer passed selects one.
    step: u64,
    sampled: AtomicU64,
    waiting: Lanes,
    ended: AtomicBool,
    tally: Mutex<Tally>,
}

impl Shadowing {
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
    pub(super) fn begin_shadow(&self, candidate: Policy, options: ShadowOptions, probation: Duration) -> Result<(), PolicyError> {
        if !(options.sample > 0.0 && options.sample <= 1.0) {
            return Err(PolicyError::Sample { value: options.sample });
        }
        let shadow = Arc::new(Shadow {
            probation,
            promotion: options.promotion,
            // Rounded up: a hundredth selects the hundredth incident.
            step: (options.sample * ONE as f64).ceil() as u64,
            sampled: AtomicU64::new(0),
            waiting: Lanes::default(),
            ended: AtomicBool::new(false),
            // Own instances, so that live decisions are not disturbed.
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

    /// The report up to now, `None` without a shadow. Promotes a shadow that meets its rule.
    pub fn shadow_report(&self) -> Option<ShadowReport> {
        let shadow = self.shared.shadowing.current.load_full()?;
        let report = shadow.catch_up(&self.shared.active.load());
        if shadow.is_due(&report) {
            self.promote_this(&shadow);
        }
        Some(report)
    }

    /// Makes the shadow active. Returns its report, `None` without a shadow.
    pub fn promote(&self) -> Option<ShadowReport> {
        let shadow = self.shared.shadowing.current.load_full()?;
        let report = shadow.catch_up(&self.shared.active.load());
        self.promote_this(&shadow).then_some(report)
    }

    /// Ends the shadow. Returns its report, `None` without a shadow.
    pub fn end_shadow(&self) -> Option<ShadowReport> {
        let shadow = self.shared.shadowing.replace(None)?;
        let report = shadow.catch_up(&self.shared.active.load());
        self.note(&label(shadow.candidate.description()), Some(shadow.candidate.digest()), Stage::Retired);
        Some(report)
    }

    fn promote_this(&self, shadow: &Arc<Shadow>) -> bool {
        if shadow.ended.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.shared.shadowing.replace(None);
        self.activate(shadow.candidate.clone(), shadow.probation);
        true
    }
}

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
