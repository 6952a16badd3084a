//! Bounds retries over all callers: they multiply load on overloaded services.
//!
//! Retries and hedges take tokens from a bucket that fills over time. Without a token, operations end with
//! [`Reason::BudgetExhausted`](crate::types::Reason).
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::budget::RetryBudgetConfig;
//! use upright::{RetryBudget, RetryStrategy};
//!
//! // All that calls this server may retry 20 times at once, and twice a second in the long run.
//! let budget = RetryBudget::new(RetryBudgetConfig { capacity: 20, per_second: 2.0 })?;
//! let chat = RetryStrategy::builder().name("chat").budget(budget.clone()).build()?;
//! let embed = RetryStrategy::builder().name("embed").budget(budget).build()?;
//! # Ok(()) }
//! ```

mod bucket;
mod registry;

pub use registry::RetryBudgets;

use crate::clock::{Instant, SharedClock, SystemClock};
use crate::error::ConfigurationError;
use bucket::Bucket;
use std::sync::Arc;

/// A retry budget. Clones share it. Taking is one compare-and-swap, without a lock.
#[derive(Clone)]
pub struct RetryBudget {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: u32,
    per_second: f64,
    clock: SharedClock,
    made: Instant,
    bucket: Bucket,
}

/// The size of a retry budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudgetConfig {
    /// Maximum number of tokens, and their number at first: 1 to 1,000,000,000.
    pub capacity: u32,
    /// Number of tokens gained per second: 0 to 1,000,000,000.
    pub per_second: f64,
}

fn check(RetryBudgetConfig { capacity, per_second }: RetryBudgetConfig) -> Result<(), ConfigurationError> {
    let fits = (1..=bucket::LARGEST).contains(&capacity);
    ConfigurationError::unless(fits, "budget capacity", capacity, "expected a whole number from 1 to 1000000000")?;
    let fits = (0.0..=1e9).contains(&per_second);
    ConfigurationError::unless(fits, "budget per_second", per_second, "expected a finite number from 0 to 1000000000")
}

impl RetryBudget {
    /// A full budget.
    ///
    /// # Errors
    /// [`ConfigurationError`] names the setting that is out of its range.
    pub fn new(config: RetryBudgetConfig) -> Result<Self, ConfigurationError> {
        Self::with_clock(config, SystemClock::shared())
    }

    /// A full budget that gains tokens by this clock.
    ///
    /// # Errors
    /// [`ConfigurationError`] names the setting that is out of its range.
    pub fn with_clock(config: RetryBudgetConfig, clock: SharedClock) -> Result<Self, ConfigurationError> {
        check(config)?;
        Ok(Self::of_checked(config, clock))
    }

    fn of_checked(RetryBudgetConfig { capacity, per_second }: RetryBudgetConfig, clock: SharedClock) -> Self {
        let bucket = Bucket::full(capacity, per_second);
        let made = clock.now();
        Self { shared: Arc::new(Shared { capacity, per_second, clock, made, bucket }) }
    }

    /// Takes a token. Dropping returns it; [`Token::spend`] keeps it.
    #[must_use = "a token that is dropped goes back"]
    pub fn take(&self) -> Option<Token<'_>> {
        self.shared.bucket.take(self.age()).map(|left| Token { budget: self, left })
    }

    /// Number of tokens left.
    pub fn left(&self) -> u32 {
        self.shared.bucket.left(self.age())
    }

    /// Maximum number of tokens.
    #[doc(hidden)]
    pub fn capacity(&self) -> u32 {
        self.shared.capacity
    }

    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.shared) == 1 && self.left() == self.capacity()
    }

    fn age(&self) -> u64 {
        let Shared { per_second, clock, made, .. } = &*self.shared;
        // Never filling needs no clock; filling may lag milliseconds.
        if *per_second > 0.0 { clock.coarse().saturating_sub(*made) } else { 0 }
    }
}

impl std::fmt::Debug for RetryBudget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RetryBudget({} of {})", self.left(), self.shared.capacity)
    }
}

/// Permission for one retry.
#[derive(Debug)]
pub struct Token<'a> {
    budget: &'a RetryBudget,
    left: u32,
}

impl Token<'_> {
    /// Number of tokens, this one included.
    pub fn left(&self) -> u32 {
        self.left.saturating_add(1)
    }

    /// Uses it up.
    pub fn spend(self) {
        std::mem::forget(self);
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        self.budget.shared.bucket.put_back();
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
        let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 2, per_second: 0.5 }, clock.shared()).unwrap();
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
        let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 1, per_second: 0.0 }, DrivenClock::new().shared()).unwrap();
        drop(budget.take());
        assert_eq!(budget.left(), 1);
    }

    #[test]
    fn parts_of_a_token_add_up() {
        let clock = DrivenClock::new();
        let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 1, per_second: 0.1 }, clock.shared()).unwrap();
        budget.take().unwrap().spend();
        for second in 0..10 {
            assert!(budget.take().is_none(), "after {second} s");
            clock.advance(Duration::from_secs(1));
        }
        assert!(budget.take().is_some());
    }

    #[test]
    fn a_retry_token_reports_the_number_of_tokens_before_it() {
        let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 3, per_second: 0.0 }, DrivenClock::new().shared()).unwrap();
        let left: Vec<_> = std::iter::from_fn(|| budget.take().map(|token| (token.left(), token.spend()).0)).collect();
        assert_eq!(left, [3, 2, 1]);
    }

    #[test]
    fn a_full_bucket_that_gets_a_token_back_after_a_year_is_just_full() {
        let clock = DrivenClock::new();
        let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 2, per_second: 1000.0 }, clock.shared()).unwrap();
        let token = budget.take();
        clock.advance(Duration::from_secs(31_536_000));
        drop(token);
        assert_eq!(budget.left(), 2);
        (0..2).for_each(|_| budget.take().unwrap().spend());
        assert!(budget.take().is_none());
    }

    #[test]
    fn the_largest_bucket_at_the_highest_rate_neither_overflows_nor_runs_dry() {
        let clock = DrivenClock::new();
        let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 1_000_000_000, per_second: 1e9 }, clock.shared()).unwrap();
        for _ in 0..3 {
            budget.take().unwrap().spend();
            clock.advance(Duration::from_secs(10 * 31_536_000));
        }
        assert!(budget.left() >= 999_999_998);
    }

    #[test]
    fn threads_that_take_at_once_do_not_overshoot_the_budget() {
        let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 100, per_second: 0.0 }, DrivenClock::new().shared()).unwrap();
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
        for (capacity, rate) in [(0, 1.0), (u32::MAX, 1.0), (1, -1.0), (1, f64::NAN), (1, f64::INFINITY)] {
            assert!(RetryBudget::with_clock(RetryBudgetConfig { capacity, per_second: rate }, DrivenClock::new().shared()).is_err());
        }
    }
}
