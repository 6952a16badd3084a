//! Ties admitted calls to reports of their outcome.

use super::{CircuitBreaker, Shared};
use crate::clock::{Instant, between};
use crate::fault::fault_of;
use crate::policy::PolicySlot;
use crate::types::{Classification, Fault, Incident, RetryConfig, Seconds, Verdict};

#[derive(Clone, Copy)]
pub(super) struct Passage {
    pub(super) generation: u64,
    /// On the breaker's clock; `None` if unmeasured.
    pub(super) began: Option<Instant>,
}

impl Passage {
    /// Seconds; 0 if unmeasured.
    pub(super) fn took(self, now: Instant) -> Seconds {
        self.began.map_or(0.0, |began| between(began, now).as_secs_f64())
    }
}

/// Permission for one call. Dropping it reports no outcome and returns a probe's permit.
///
/// [Slow calls](crate::breaker::CircuitBreakerBuilder::slow_call_duration) are timed from here.
#[must_use = "dropping a permit says nothing about the call"]
pub struct Permit<'a> {
    pub(super) breaker: &'a CircuitBreaker,
    pub(super) passage: Passage,
    pub(super) probe: bool,
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.probe {
            self.breaker.probe_ended(self.passage.generation);
        }
    }
}

impl Permit<'_> {
    /// Reports success.
    #[inline]
    pub fn success(self) {
        if self.probe {
            self.breaker.report_success(self.passage);
        } else {
            match self.passage.began {
                None => self.breaker.passed(self.passage.generation),
                Some(began) => self.measured(began),
            }
        }
    }

    #[cold]
    fn measured(&self, began: Instant) {
        let Shared { gate, clock, .. } = &*self.breaker.shared;
        if gate.is_slow(clock.now().saturating_sub(began)) {
            self.breaker.report_success(self.passage);
        } else {
            gate.succeeded(self.passage.generation);
        }
    }

    /// Reports failure; the policy decides whether it counts.
    pub fn failure(self, error: &(dyn std::error::Error + 'static)) -> Classification {
        self.fault(fault_of(error))
    }

    /// [`Permit::failure`] from facts.
    pub fn fault(self, fault: Fault) -> Classification {
        let shared = &*self.breaker.shared;
        let mut incident = single_attempt(fault, shared.clock.now());
        self.decide(&shared.policy, &mut incident).classification
    }

    /// Reports an outcome; classifies a failure.
    pub fn record<T, E: std::error::Error + 'static>(self, outcome: &Result<T, E>) -> Option<Classification> {
        match outcome {
            Ok(_) => {
                self.success();
                None
            }
            Err(error) => Some(self.failure(error)),
        }
    }

    /// The same permit, keeping its breaker alive.
    pub(crate) fn into_owned(mut self) -> super::OwnedPermit {
        // The duty to give a probe's place back moves over.
        let probe = std::mem::take(&mut self.probe);
        super::OwnedPermit { breaker: self.breaker.clone(), passage: self.passage, probe }
    }

    /// Moves the breaker by its policy, and decides about the call by the caller's.
    pub(crate) fn decide(self, caller: &PolicySlot, incident: &mut Incident) -> Verdict {
        self.breaker.decide(caller, incident, self.passage)
        // Drops the permit after the state moved.
    }
}

pub(super) fn single_attempt(failure: Fault, now: Instant) -> Incident {
    Incident { retry: RetryConfig { max_retries: 0, ..RetryConfig::default() }, now, ..Incident::of(failure) }
}
