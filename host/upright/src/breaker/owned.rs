//! A permit that keeps its breaker alive, for futures that borrow nothing.

use super::{CircuitBreaker, Permit};
use crate::error::{CircuitOpen, Error};
use crate::fault::OperationError;
use std::mem::take;

/// As [`Permit`]: dropping it says nothing about the call and gives a probe's permit back.
#[must_use = "dropping a permit says nothing about the call"]
pub(crate) struct OwnedPermit {
    breaker: CircuitBreaker,
    generation: u64,
    probe: bool,
}

impl CircuitBreaker {
    /// [`CircuitBreaker::try_acquire`] with a permit that borrows nothing.
    pub(crate) fn try_acquire_owned(&self) -> Result<OwnedPermit, CircuitOpen> {
        let mut permit = self.try_acquire()?;
        // The duty to give it back moves over.
        let probe = take(&mut permit.probe);
        Ok(OwnedPermit { breaker: self.clone(), generation: permit.generation, probe })
    }
}

impl OwnedPermit {
    /// Says how the call ended.
    pub(crate) fn settle<T, E: OperationError>(mut self, outcome: Result<T, E>) -> Result<T, Error> {
        let probe = take(&mut self.probe);
        self.breaker.settle(Permit { breaker: &self.breaker, generation: self.generation, probe }, outcome)
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.shared.gate.give_back(self.generation);
        }
    }
}
