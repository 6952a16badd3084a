//! Random numbers that never change: SplitMix64 (Steele, Lea, Flood 2014), seeded by a text.

pub(super) struct Random(u64);

impl Random {
    /// Seeded by a text (FNV-1a), so that a change to one file's vectors leaves the others unchanged.
    pub(super) fn seeded(by: &str) -> Self {
        Self(by.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(super) fn below_u32(&mut self, limit: u32) -> u32 {
        // The remainder fits a u32.
        self.below(u64::from(limit)) as u32
    }

    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to `most`; half are round tenths.
    pub(super) fn span(&mut self, most: f64) -> f64 {
        let span = self.unit() * most;
        if self.chance(50) { (span * 10.0).round() / 10.0 } else { span }
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    pub(super) fn sometimes<T>(&mut self, percent: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| value(self))
    }
}
