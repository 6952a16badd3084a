//! A permit that keeps its breaker alive, for futures that borrow nothing.

use super::permit::Passage;
use super::{CircuitBreaker, Permit};
use crate::error::{BoxError, CircuitOpen, Error};
use std::mem::take;

/// As [`Permit`]: dropping it says nothing about the call and gives a probe's permit back.
#[must_use = "dropping a permit says nothing about the call"]
pub struct OwnedPermit {
    breaker: CircuitBreaker,
    passage: Passage,
    probe: bool,
}

impl CircuitBreaker {
    /// [`CircuitBreaker::try_acquire`] with a permit that borrows nothing.
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, CircuitOpen> {
        let mut permit = self.try_acquire()?;
        // The duty to give it back moves over.
        let probe = take(&mut permit.probe);
        Ok(OwnedPermit { breaker: self.clone(), passage: permit.passage, probe })
    }
}

impl OwnedPermit {
    /// The call succeeded.
    pub fn success(mut self) {
        self.lend().success();
    }

    /// The call failed so; what the caller gets.
    pub fn failed(mut self, error: BoxError) -> Error {
        let permit = self.lend();
        permit.breaker.failed(permit, error)
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
