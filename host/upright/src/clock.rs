//! Where time comes from.
//!
//! Waiting, deadlines and open breakers all depend on time, and a test that must really wait is slow and flaky. So nothing in this
//! crate reads a clock or sleeps but through [`Clock`]; tests drive one by hand ([`crate::testing::DrivenClock`]).
//!
//! Instants are nanoseconds on a monotonic clock; stepping the machine's wall clock changes no decision.

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
    fn now(&self) -> Instant {
        static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
        nanoseconds(ORIGIN.get_or_init(std::time::Instant::now).elapsed())
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

/// A span in nanoseconds; what does not fit (584 years) becomes the longest that does.
pub(crate) fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The span from `earlier` to `later`; zero if they are the other way round.
pub(crate) fn between(earlier: Instant, later: Instant) -> Duration {
    Duration::from_nanos(later.saturating_sub(earlier))
}

/// Seconds as a span; what no `Duration` can hold becomes the nearest that one can.
pub(crate) fn seconds(seconds: f64) -> Duration {
    if seconds > 0.0 { Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) } else { Duration::ZERO }
}
