//! Where randomness comes from: drawn by the host, handed to decisions as an argument.

use std::sync::{Arc, Mutex, PoisonError};

/// Something that draws random numbers.
pub trait Random: Send + Sync + 'static {
    /// A number in [0, 1), uniformly.
    fn draw(&self) -> f64;
}

/// A source of randomness that is shared.
pub type SharedRandom = Arc<dyn Random>;

/// A generator a thread, seeded by the operating system. Good for spreading delays, not for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn draw(&self) -> f64 {
        fastrand::f64()
    }
}

/// A generator that draws the same numbers from the same seed.
#[derive(Debug)]
pub struct SeededRandom(Mutex<fastrand::Rng>);

impl SeededRandom {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Random for SeededRandom {
    fn draw(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}
