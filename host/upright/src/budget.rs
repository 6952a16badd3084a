//! A budget of retries that callers share.
//!
//! Retries multiply load just when a service has too much of it. A budget bounds them over all callers: a bucket of tokens that fills with
//! time, and each retry takes one.

use crate::clock::{Instant, SharedClock, between};
use crate::error::ConfigurationError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bucket of retries. Cloning shares it.
#[derive(Clone)]
pub struct RetryBudget {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: u32,
    per_second: f64,
    clock: SharedClock,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl RetryBudget {
    /// A full bucket of `capacity` retries that gains `per_second` of them each second.
    ///
    /// # Errors
    /// A capacity of 0, or a rate that is negative or not finite.
    pub fn new(capacity: u32, per_second: f64, clock: SharedClock) -> Result<Self, ConfigurationError> {
        ConfigurationError::unless(capacity >= 1, "budget capacity", capacity, "expected at least 1")?;
        let fits = per_second >= 0.0 && per_second.is_finite();
        ConfigurationError::unless(fits, "budget per_second", per_second, "expected a finite number from 0")?;
        let bucket = Mutex::new(Bucket { tokens: f64::from(capacity), filled: clock.now() });
        Ok(Self { shared: Arc::new(Shared { capacity, per_second, clock, bucket }) })
    }

    /// Takes a token, if there is one. Dropping it puts it back; [`Token::spend`] keeps it.
    #[must_use = "a token that is dropped goes back"]
    pub fn take(&self) -> Option<Token<'_>> {
        let mut bucket = self.filled();
        (bucket.tokens >= 1.0).then(|| {
            bucket.tokens -= 1.0;
            Token { budget: self, left: bucket.tokens as u32, spent: false }
        })
    }

    /// Tokens that are left.
    pub fn left(&self) -> u32 {
        self.filled().tokens as u32
    }

    fn filled(&self) -> MutexGuard<'_, Bucket> {
        let Shared { capacity, per_second, clock, bucket } = &*self.shared;
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now();
        let gained = between(bucket.filled, now).as_secs_f64() * per_second;
        bucket.tokens = (bucket.tokens + gained).min(f64::from(*capacity));
        bucket.filled = bucket.filled.max(now);
        bucket
    }
}

impl std::fmt::Debug for RetryBudget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RetryBudget({} of {})", self.left(), self.shared.capacity)
    }
}

/// A retry that may be made.
#[derive(Debug)]
pub struct Token<'a> {
    budget: &'a RetryBudget,
    left: u32,
    spent: bool,
}

impl Token<'_> {
    /// Retries that there was room for, this one included.
    pub fn left(&self) -> u32 {
        self.left.saturating_add(1)
    }

    /// The retry is made.
    pub fn spend(mut self) {
        self.spent = true;
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        if !self.spent {
            let mut bucket = self.budget.filled();
            bucket.tokens = (bucket.tokens + 1.0).min(f64::from(self.budget.shared.capacity));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn a_bucket_empties_and_fills_with_time_up_to_its_capacity() {
        let clock = DrivenClock::new();
        let budget = RetryBudget::new(2, 0.5, clock.shared()).unwrap();
        for _ in 0..2 {
            budget.take().unwrap().spend();
        }
        assert!(budget.take().is_none());
        clock.advance(Duration::from_secs(2));
        budget.take().unwrap().spend();
        assert!(budget.take().is_none());
        clock.advance(Duration::from_secs(3600));
        assert_eq!(budget.left(), 2);
    }

    #[test]
    fn a_token_that_is_not_spent_goes_back() {
        let budget = RetryBudget::new(1, 0.0, DrivenClock::new().shared()).unwrap();
        drop(budget.take());
        assert_eq!(budget.left(), 1);
    }

    #[test]
    fn threads_that_take_at_once_do_not_overshoot_the_budget() {
        let budget = RetryBudget::new(100, 0.0, DrivenClock::new().shared()).unwrap();
        let taken = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if let Some(token) = budget.take() {
                            token.spend();
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 100);
    }

    #[test]
    fn a_budget_that_cannot_work_is_refused() {
        for (capacity, rate) in [(0, 1.0), (1, -1.0), (1, f64::NAN), (1, f64::INFINITY)] {
            assert!(RetryBudget::new(capacity, rate, DrivenClock::new().shared()).is_err());
        }
    }
}
