//! Gives instants that every process understands.

use super::{Clock, Instant, SharedClock, Sleep, SystemClock, nanoseconds, since_1970};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The machine's clock, in nanoseconds since 1970 by the wall clock at its creation.
///
/// For instants that outlive a process or the machine's run, such as a breaker's
/// [`SavedState`](crate::breaker::SavedState). It is monotonic: later steps of the wall clock do not move it, but two
/// such clocks differ by steps between their creation.
#[derive(Clone, Copy, Debug)]
pub struct AnchoredClock {
    /// Nanoseconds since 1970 at `origin`.
    anchor: Instant,
    origin: Instant,
}

impl Default for AnchoredClock {
    fn default() -> Self {
        Self { anchor: nanoseconds(since_1970(SystemTime::now())), origin: SystemClock.now() }
    }
}

impl AnchoredClock {
    /// A shared clock anchored now.
    pub fn shared() -> SharedClock {
        Arc::new(Self::default())
    }

    fn since_1970(&self, time: Instant) -> Instant {
        self.anchor.saturating_add(time.saturating_sub(self.origin))
    }
}

impl Clock for AnchoredClock {
    fn now(&self) -> Instant {
        self.since_1970(SystemClock.now())
    }

    fn coarse(&self) -> Instant {
        self.since_1970(SystemClock.coarse())
    }

    fn wall(&self) -> SystemTime {
        SystemClock.wall()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        SystemClock.sleep(span)
    }

    fn sleep_blocking(&self, span: Duration) {
        SystemClock.sleep_blocking(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchored_clock_counts_nanoseconds_since_1970_and_agrees_with_another() {
        let before = nanoseconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
        let (first, second) = (AnchoredClock::default(), AnchoredClock::default());
        let (one, other) = (first.now(), second.now());
        assert!(one >= before && other.abs_diff(one) < nanoseconds(Duration::from_secs(3600)), "{before} {one} {other}");
        assert!(first.now() >= one);
    }
}
