//! Where time comes from.
//!
//! Waiting, deadlines and open breakers all depend on time, and a test that must really wait is slow and flaky. So nothing in this
//! crate reads a clock or sleeps but through [`Clock`]; tests drive one by hand ([`crate::testing::DrivenClock`]).
//!
//! Instants are nanoseconds on a monotonic clock; stepping the machine's wall clock changes no decision.

mod anchored;

pub use anchored::AnchoredClock;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// A point in time: nanoseconds since some moment before the clock was made. Only differences mean anything.
pub type Instant = upright_logic::types::Instant;

/// A wait that can be awaited.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Something that tells the time and waits.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic time. Never goes back.
    fn now(&self) -> Instant;

    /// The monotonic time as of a few milliseconds ago at most, and never ahead of [`Clock::now`]; for what must be cheap and need not be exact.
    fn coarse(&self) -> Instant {
        self.now()
    }

    /// The wall-clock time, for dates that come from or go to others; decides nothing.
    fn wall(&self) -> SystemTime;

    /// Ends when so much time has passed. Dropping it ends the wait.
    fn sleep(&self, span: Duration) -> Sleep;

    /// Blocks the thread until so much time has passed.
    fn sleep_blocking(&self, span: Duration);
}

/// A clock that is shared.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock. Its [`Clock::sleep`] needs a tokio runtime with time enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The system clock, ready to share.
    pub fn shared() -> SharedClock {
        static SHARED: OnceLock<SharedClock> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Arc::new(Self)))
    }
}

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> Instant {
        since_start_of_machine(rustix::time::ClockId::Monotonic)
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> Instant {
        static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
        nanoseconds(ORIGIN.get_or_init(std::time::Instant::now).elapsed())
    }

    /// On Linux the time of the kernel's last tick: 1 to 10 ms old, and four times cheaper to read (measured: 7 against 27 ns).
    #[cfg(target_os = "linux")]
    fn coarse(&self) -> Instant {
        since_start_of_machine(rustix::time::ClockId::MonotonicCoarse)
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }

    fn sleep_blocking(&self, span: Duration) {
        std::thread::sleep(span);
    }
}

#[cfg(target_os = "linux")]
fn since_start_of_machine(clock: rustix::time::ClockId) -> Instant {
    let time = rustix::time::clock_gettime(clock);
    // Neither is negative on a monotonic clock; 584 years fit.
    time.tv_sec.unsigned_abs().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.unsigned_abs())
}

/// A span in nanoseconds; what does not fit (584 years) becomes the longest that does.
pub fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The time since 1970; zero before it.
pub fn since_1970(wall: SystemTime) -> Duration {
    wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The same in milliseconds.
pub fn unix_milliseconds(wall: SystemTime) -> u64 {
    u64::try_from(since_1970(wall).as_millis()).unwrap_or(u64::MAX)
}

/// The span from `earlier` to `later`; zero if they are the other way round.
pub fn between(earlier: Instant, later: Instant) -> Duration {
    Duration::from_nanos(later.saturating_sub(earlier))
}

/// Seconds as a span; what no `Duration` can hold becomes the nearest that one can.
pub fn seconds(seconds: f64) -> Duration {
    if seconds > 0.0 { Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) } else { Duration::ZERO }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_time_is_never_ahead_and_never_far_behind() {
        for _ in 0..10_000 {
            let before = SystemClock.now();
            let coarse = SystemClock.coarse();
            assert!(coarse <= SystemClock.now());
            assert!(between(coarse, before) < Duration::from_secs(1));
        }
    }
}
