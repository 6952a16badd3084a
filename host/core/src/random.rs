//! Supplies randomness: the host draws, decisions receive.

use rand::rngs::{SmallRng, SysRng, Xoshiro256PlusPlus};
use rand::{RngExt, SeedableRng};
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// A source of random numbers.
pub trait Random: Send + Sync + 'static {
    /// A uniform number in [0, 1).
    fn draw(&self) -> f64;
}

/// Shared randomness.
pub type SharedRandom = Arc<dyn Random>;

/// One generator per thread, seeded by the system. Not for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn draw(&self) -> f64 {
        with_generator(|generator| generator.random())
    }
}

thread_local! {
    static GENERATOR: RefCell<SmallRng> = RefCell::new(seeded());
}

/// A generator seeded by the operating system; by the standard library's own seed where that fails.
fn seeded() -> SmallRng {
    SmallRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| SmallRng::seed_from_u64(RandomState::new().hash_one(0)))
}

fn with_generator<T>(draw: impl FnOnce(&mut SmallRng) -> T) -> T {
    GENERATOR.with_borrow_mut(draw)
}

/// A number for the name of a file that no other program makes at the same time.
#[doc(hidden)]
pub fn unique() -> u64 {
    with_generator(|generator| generator.random())
}

/// Repeats its numbers for equal seeds.
#[derive(Debug)]
pub struct SeededRandom(Mutex<Xoshiro256PlusPlus>);

impl SeededRandom {
    /// Creates a generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Xoshiro256PlusPlus::seed_from_u64(seed)))
    }
}

impl Random for SeededRandom {
    fn draw(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}

/// Always one number, for exact delays in tests.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use upright::RetryStrategy;
/// use upright::testing::FixedRandom;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Jitter is from 0.8 to 1.2.
/// let retry = RetryStrategy::builder().random(Arc::new(FixedRandom::new(0.0))).build()?;
/// assert_eq!(retry.delay(0), Duration::from_millis(800));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedRandom(f64);

impl FixedRandom {
    /// `number` clamped to [0, 1); NaN becomes 0.
    pub fn new(number: f64) -> Self {
        let largest_below_one = 1.0 - f64::EPSILON / 2.0;
        Self(if number.is_nan() { 0.0 } else { number.clamp(0.0, largest_below_one) })
    }

    /// Draws 0.5: delays without jitter.
    pub fn middle() -> Self {
        Self(0.5)
    }
}

impl Random for FixedRandom {
    fn draw(&self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_number_is_drawn_for_ever_and_lies_within_0_and_1() {
        let random = FixedRandom::new(0.25);
        assert_eq!([random.draw(), random.draw()], [0.25, 0.25]);
        for (number, drawn) in [(-1.0, 0.0), (f64::NAN, 0.0), (f64::NEG_INFINITY, 0.0)] {
            assert_eq!(FixedRandom::new(number).draw(), drawn);
        }
        for number in [1.0, 2.0, f64::INFINITY] {
            let drawn = FixedRandom::new(number).draw();
            assert!(drawn < 1.0 && drawn > 0.999_999, "{drawn}");
        }
    }
}
