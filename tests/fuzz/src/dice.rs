//! Chance that is the same for the same seed.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A source of choices.
pub struct Dice {
    random: Xoshiro256PlusPlus,
    /// Whether numbers stay within what a host sends; wild ones know no bounds.
    pub tame: bool,
}

impl Dice {
    /// The choices of one iteration, whatever was chosen in others.
    pub fn of(seed: u64, iteration: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ iteration.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Neighbouring seeds give neighbouring first numbers.
        let tame = Xoshiro256PlusPlus::seed_from_u64(random.random::<u64>()).random::<bool>();
        Self { random, tame }
    }

    /// Less than `limit`; 0 where that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { self.random.random_range(0..limit) }
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.random.random_range(0..100) < percent
    }

    /// One of `items`, of which there is at least one.
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

    /// A part of something that has so many items: where it begins and ends; empty only where the whole is.
    pub fn part(&mut self, length: usize, longest: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let longest = longest.min(length - start);
        start..start + longest.min(1 + self.below(longest))
    }
}
