//! Bounds the requests of one key: so many a minute in the long run, and a few at once after a pause.
//!
//! One atomic word holds the time at which the key would have used up what it has sent so far (ITU-T I.371, virtual
//! scheduling). Filling the bucket writes nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use upright_core::clock::Instant;

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Nanoseconds for each request.
    interval: u64,
    /// Nanoseconds by which a burst may run ahead.
    ahead: u64,
    used_until: AtomicU64,
}

impl Rate {
    /// A full bucket: `per_minute` requests in the long run, `burst` at once. Each counts as at least 1.
    pub(crate) fn new(per_minute: u32, burst: u32) -> Self {
        let interval = 60_000_000_000 / u64::from(per_minute.max(1));
        let ahead = interval.saturating_mul(u64::from(burst.max(1)) - 1);
        Self { interval, ahead, used_until: AtomicU64::new(0) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The time after which the next request passes. A request that does not pass is not counted.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut used_until = self.used_until.load(Ordering::Acquire);
        loop {
            let from = used_until.max(now);
            let wait = (from - now).saturating_sub(self.ahead);
            if wait > 0 {
                return Err(Duration::from_nanos(wait));
            }
            let next = from.saturating_add(self.interval);
            match self.used_until.compare_exchange_weak(used_until, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(changed) => used_until = changed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_passes_and_then_one_request_for_each_interval() {
        let rate = Rate::new(60, 3);
        for (now, expected) in [
            (5 * SECOND, Ok(())),
            (5 * SECOND, Ok(())),
            (5 * SECOND, Ok(())),
            (5 * SECOND, Err(Duration::from_secs(1))),
            (5 * SECOND + SECOND / 4, Err(Duration::from_millis(750))),
            (6 * SECOND, Ok(())),
            (6 * SECOND, Err(Duration::from_secs(1))),
            (8 * SECOND, Ok(())),
            (8 * SECOND, Ok(())),
            (8 * SECOND, Err(Duration::from_secs(1))),
        ] {
            assert_eq!(rate.take(now), expected, "{now}");
        }
    }

    #[test]
    fn a_pause_fills_no_more_than_the_burst() {
        let rate = Rate::new(60, 2);
        let year = 31_536_000 * SECOND;
        let passed = (0..10).filter(|_| rate.take(year).is_ok()).count();
        assert_eq!(passed, 2);
    }

    #[test]
    fn a_clock_that_steps_back_neither_panics_nor_lets_more_pass() {
        let rate = Rate::new(60, 1);
        assert_eq!(rate.take(10 * SECOND), Ok(()));
        assert_eq!(rate.take(9 * SECOND), Err(Duration::from_secs(2)));
        assert_eq!(rate.take(u64::MAX), Ok(()));
        assert_eq!(rate.take(u64::MAX), Ok(()), "the end of time, where nothing is left to count");
    }

    #[test]
    fn the_smallest_and_the_largest_numbers_work() {
        for (per_minute, burst) in [(0, 0), (1, 1), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX)] {
            assert_eq!(Rate::new(per_minute, burst).take(SECOND), Ok(()), "{per_minute} {burst}");
        }
    }

    #[test]
    fn threads_that_send_at_once_do_not_exceed_the_burst() {
        let (rate, passed) = (Rate::new(1, 100), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if rate.take(SECOND).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 100);
    }
}
