//! Keeps a forked child away from the parent's database.
//!
//! SQLite's locks belong to a process. A child's memory claims the parent's locks without having them, so any use of
//! the file could damage it (<https://www.sqlite.org/howtocorrupt.html>, 2.6).

use super::failure::{Case, Failure};
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper half: process with open stores; lower half: their number.
static OPEN: AtomicU64 = AtomicU64::new(0);

fn process() -> u64 {
    u64::from(std::process::id()) << 32
}

pub(super) struct InThisProcess(u64);

impl InThisProcess {
    pub(super) fn enter() -> Result<Self, Failure> {
        let process = process();
        let count = |open: u64| match (open & !0xffff_ffff, open & 0xffff_ffff) {
            (owner, 1..) if owner != process => None,
            (_, count) => Some(process | (count + 1)),
        };
        let counted = OPEN.fetch_update(Ordering::AcqRel, Ordering::Acquire, count);
        counted.map(|_| Self(process)).map_err(|_| forked())
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.0 == process() { Ok(()) } else { Err(forked()) }
    }
}

impl Drop for InThisProcess {
    fn drop(&mut self) {
        if self.check().is_ok() {
            OPEN.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn forked() -> Failure {
    Failure::new(Case::Forked, "")
}
