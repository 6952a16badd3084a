//! A permit that keeps its breaker alive, for calls that borrow nothing.

use super::permit::Passage;
use super::{CircuitBreaker, Permit};
use crate::error::{BoxError, CircuitOpen, Error};
use crate::policy::PolicySlot;
use crate::types::{Classification, Fault, Incident, Verdict};
use std::mem::take;

/// A [`Permit`] that keeps its breaker alive. Report how the call ended; dropping it reports nothing and gives a
/// probe's place back.
#[must_use = "dropping a permit says nothing about the call"]
pub struct OwnedPermit {
    pub(super) breaker: CircuitBreaker,
    pub(super) passage: Passage,
    pub(super) probe: bool,
}

impl CircuitBreaker {
    /// The permit of a call that passed in this generation.
    #[doc(hidden)]
    pub fn permit_of(&self, generation: u64) -> OwnedPermit {
        self.permit(generation).into_owned()
    }

    /// Permission for one call, with a permit that borrows nothing.
    ///
    /// # Errors
    /// [`CircuitOpen`] names the breaker and the time left.
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, CircuitOpen> {
        self.try_acquire().map(Permit::into_owned)
    }
}

impl std::fmt::Debug for OwnedPermit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "OwnedPermit({:?})", self.breaker.name())
    }
}

impl OwnedPermit {
    /// Reports that the call succeeded.
    pub fn success(mut self) {
        self.lend().success();
    }

    /// Reports that the call failed. Whether that counts against the service is the policy's decision.
    pub fn failure(mut self, error: &(dyn std::error::Error + 'static)) -> Classification {
        self.lend().failure(error)
    }

    /// Reports that the call failed with these facts.
    pub fn fault(mut self, fault: Fault) -> Classification {
        self.lend().fault(fault)
    }

    /// Reports that the call failed, and gives the error that a caller gets.
    pub fn failed(mut self, error: BoxError) -> Error {
        let permit = self.lend();
        permit.breaker.failed(permit, error)
    }

    /// Moves the breaker by its policy, and decides about the call by the caller's.
    pub(crate) fn decide(mut self, caller: &PolicySlot, incident: &mut Incident) -> Verdict {
        self.lend().decide(caller, incident)
    }

    /// The call begins only now: time since the permit was granted is not the call's.
    pub(crate) fn begins(&mut self) {
        if let Some(began) = &mut self.passage.began {
            *began = self.breaker.shared.clock.now();
        }
    }

    fn lend(&mut self) -> Permit<'_> {
        let probe = take(&mut self.probe);
        Permit { breaker: &self.breaker, passage: self.passage, probe }
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.probe_ended(self.passage.generation);
        }
    }
}
