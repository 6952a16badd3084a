//! The database behind the store, and what is done when it fails.
//!
//! Two failures need more than being passed on. redb reads pages as it finds them, so one that was damaged by others may make it panic: that is caught here.
//! And after an error of the disk redb refuses everything until it is opened anew: that is done here, by whoever comes next.

use super::failure::{Case, Failure};
use super::place::{Identity, Opened, Place};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock};

pub(super) struct Engine {
    place: Place,
    identity: Identity,
    state: RwLock<State>,
}

struct State {
    /// None where it could not be opened anew.
    opened: Option<Opened>,
    /// How often it was opened anew.
    times: u64,
}

impl Engine {
    pub(super) fn open(place: Place) -> Result<Self, Failure> {
        let opened = guarded(|| place.open())?;
        Ok(Self { identity: place.identity(), place, state: RwLock::new(State { opened: Some(opened), times: 0 }) })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Does something with the database, told how often it was opened anew, and again if it had to be opened anew for that: so nothing may have been done where the failure is [`Case::Stale`].
    pub(super) fn with<T>(&self, mut work: impl FnMut(&Opened, u64) -> Result<T, Failure>) -> Result<T, Failure> {
        match self.once(&mut work) {
            (Err(Failure { case: Case::Stale, .. }), times) => {
                self.reopen(times)?;
                self.once(&mut work).0
            }
            (answer, _) => answer,
        }
    }

    fn once<T>(&self, work: &mut impl FnMut(&Opened, u64) -> Result<T, Failure>) -> (Result<T, Failure>, u64) {
        // The lock protects no state that a panic could leave half changed.
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let answer = match &state.opened {
            Some(opened) => guarded(|| work(opened, state.times)),
            None => Err(Failure::new(Case::Stale, "it could not be opened anew")),
        };
        (answer, state.times)
    }

    /// Opens the database anew, unless somebody else has done so since.
    pub(super) fn reopen(&self, times: u64) -> Result<(), Failure> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.times != times {
            return Ok(());
        }
        // The lock on the file goes with it.
        close(state.opened.take());
        state.opened = Some(guarded(|| self.place.reopen(self.identity))?);
        state.times += 1;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        close(self.state.get_mut().unwrap_or_else(PoisonError::into_inner).opened.take());
    }
}

fn close(opened: Option<Opened>) {
    // What was answered is on the disk already, so a failure here costs no more than a repair at the next opening.
    let _ = guarded(|| {
        drop(opened);
        Ok(())
    });
}

/// Does it, and makes a panic a failure like others.
///
/// redb keeps what it has begun in a transaction, which ends with the call, and forgives a lock that was held ([`Case::Stale`]).
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Failure::panicked(&*payload)))
}
