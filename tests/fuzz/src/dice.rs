//! Choices that repeat with their seed.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Source of choices.
pub struct Dice {
    random: Xoshiro256PlusPlus,
    /// Whether numbers stay within what a host sends; wild ones know no bounds.
    pub tame: bool,
}

impl Dice {
    /// Choices of one iteration, independent of others.
    pub fn of(seed: u64, iteration: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ iteration.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Neighbouring seeds give neighbouring first numbers.
        let tame = Xoshiro256PlusPlus::seed_from_u64(random.random::<u64>()).random::<bool>();
        Self { random, tame }
    }

    /// Number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { self.random.random_range(0..limit) }
    }

    /// True with this percentage.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.random.random_range(0..100) < percent
    }

    /// One of `items`, which must not be empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.random.random::<u64>()
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.random.random::<u8>()
    }

    /// Range of items; empty only if there are none.
    pub fn part(&mut self, length: usize, longest: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let longest = longest.min(length - start);
        start..start + longest.min(1 + self.below(longest))
    }
}
