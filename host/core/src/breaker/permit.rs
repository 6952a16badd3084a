//! Leave to make a call, and what is told of the call when it ends.

use super::{CircuitBreaker, Shared};
use crate::clock::{Instant, between};
use crate::fault::fault_of;
use crate::policy::PolicySlot;
use crate::types::{Classification, Fault, Incident, RetryConfig, Seconds, Verdict};

/// A call that was let through: what is to be known of it when it ends.
#[derive(Clone, Copy)]
pub(super) struct Passage {
    pub(super) generation: u64,
    /// When it began, on the breaker's clock; none where nobody wants to know how long it takes.
    pub(super) began: Option<Instant>,
}

impl Passage {
    /// How long the call took that ends now; seconds, 0 where it was not measured.
    pub(super) fn took(self, now: Instant) -> Seconds {
        self.began.map_or(0.0, |began| between(began, now).as_secs_f64())
    }
}

/// Leave to make one call. Say how it ended; dropping it says nothing and gives a probe's permit back.
///
/// Where [slow calls](crate::breaker::CircuitBreakerBuilder::slow_call_duration) count, the call's time runs from when the permit was had.
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
    /// The call succeeded.
    #[inline]
    pub fn success(self) {
        if self.probe {
            self.breaker.told_of_success(self.passage);
        } else {
            match self.passage.began {
                None => self.breaker.passed(self.passage.generation),
                Some(began) => self.measured(began),
            }
        }
    }

    /// The policy hears of a slow success at once.
    #[cold]
    fn measured(&self, began: Instant) {
        let Shared { gate, clock, .. } = &*self.breaker.shared;
        if gate.is_slow(clock.now().saturating_sub(began)) {
            self.breaker.told_of_success(self.passage);
        } else {
            gate.succeeded(self.passage.generation);
        }
    }

    /// The call failed. Whether that speaks against the service is the policy's decision.
    pub fn failure(self, error: &(dyn std::error::Error + 'static)) -> Classification {
        self.fault(fault_of(error))
    }

    /// [`Permit::failure`] for a caller who knows the facts and has no error to read them from.
    pub fn fault(self, fault: Fault) -> Classification {
        let shared = &*self.breaker.shared;
        let mut incident = single_attempt(fault, shared.clock.now());
        self.decide(&shared.policy, &mut incident).classification
    }

    /// The call ended so. What a failure means is told.
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

    /// Asks `policy` what the failure means for the breaker and for the caller, together.
    pub(crate) fn decide(self, policy: &PolicySlot, incident: &mut Incident) -> Verdict {
        self.breaker.decide(policy, incident, self.passage)
        // Dropping the permit gives a probe's place back, after the state has moved.
    }
}

/// An incident of a call that is not repeated.
pub(super) fn single_attempt(failure: Fault, now: Instant) -> Incident {
    Incident { retry: RetryConfig { max_retries: 0, ..RetryConfig::default() }, now, ..Incident::of(failure) }
}
