//! The clock of all strategies and breakers: the machine's, and the time that tests have skipped.

use crate::driver::span;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use upright_core::clock::{AnchoredClock, Clock, Instant, SharedClock, Sleep, nanoseconds};

static SKIPPED: AtomicU64 = AtomicU64::new(0);

/// Its instants are those of other processes, too: a saved state holds them.
struct PackageClock(AnchoredClock);

impl Clock for PackageClock {
    fn now(&self) -> Instant {
        self.0.now().saturating_add(SKIPPED.load(Ordering::Relaxed))
    }

    fn coarse(&self) -> Instant {
        self.0.coarse().saturating_add(SKIPPED.load(Ordering::Relaxed))
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        self.0.sleep(span)
    }

    fn sleep_blocking(&self, span: Duration) {
        self.0.sleep_blocking(span);
    }
}

/// The package's clock.
pub(crate) fn clock() -> SharedClock {
    static CLOCK: OnceLock<SharedClock> = OnceLock::new();
    Arc::clone(CLOCK.get_or_init(|| Arc::new(PackageClock(AnchoredClock::default()))))
}

/// Moves the package's clock forward by this many seconds, for tests. It never goes back.
#[pyfunction]
pub(crate) fn skip(seconds: f64) -> PyResult<()> {
    let skipped = nanoseconds(span("seconds", seconds)?);
    SKIPPED.fetch_add(skipped, Ordering::Relaxed);
    Ok(())
}
