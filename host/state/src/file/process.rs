//! In which process the connections are.
//!
//! SQLite's locks belong to a process. A forked child inherits SQLite's memory, in which the parent's locks count as the child's own, and has none of them:
//! whatever it did with the file could damage it (<https://www.sqlite.org/howtocorrupt.html>, 2.6). So a child leaves the parent's connections alone, and opens
//! none of its own while the parent's are in its memory.

use super::failure::{Case, Failure};
use std::sync::atomic::{AtomicU64, Ordering};

/// The process that has stores open, in the upper half; how many, in the lower.
static OPEN: AtomicU64 = AtomicU64::new(0);

fn process() -> u64 {
    u64::from(std::process::id()) << 32
}

/// Connections of the process in which this was made.
pub(super) struct InThisProcess(u64);

impl InThisProcess {
    /// Before the first connection.
    pub(super) fn enter() -> Result<Self, Failure> {
        let process = process();
        let count = |open: u64| match (open & !0xffff_ffff, open & 0xffff_ffff) {
            (owner, 1..) if owner != process => None,
            (_, count) => Some(process | (count + 1)),
        };
        let counted = OPEN.fetch_update(Ordering::AcqRel, Ordering::Acquire, count);
        counted.map(|_| Self(process)).map_err(|_| forked())
    }

    /// Before each use.
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
