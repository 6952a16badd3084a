//! Breaker memory with a checksum.
//!
//! The host clears memory of another layout, but a state may come from a damaged file. A wrong count would open or
//! close a breaker for no reason; an empty memory is always valid.

use alloc::vec::Vec;

const SUM: usize = 4;

/// FNV-1a of 32 bits, seeded with the layout.
fn sum(layout: u32, contents: &[u8]) -> [u8; SUM] {
    let bytes = layout.to_le_bytes();
    bytes.iter().chain(contents).fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)).to_le_bytes()
}

/// Returns a memory with these contents.
pub fn sealed(layout: u32, mut contents: Vec<u8>) -> Vec<u8> {
    let sum = sum(layout, &contents);
    contents.extend_from_slice(&sum);
    contents
}

/// Returns the contents; `None` if empty, of another layout, or damaged.
pub fn opened(layout: u32, memory: &[u8]) -> Option<Reader<'_>> {
    let (contents, found) = memory.split_at_checked(memory.len().checked_sub(SUM)?)?;
    (sum(layout, contents) == found).then_some(Reader { rest: contents })
}

/// Reads little-endian numbers in turn.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*first)
    }

    /// Reads 8 bits.
    pub fn u8(&mut self) -> Option<u8> {
        self.bytes().map(u8::from_le_bytes)
    }

    /// Reads 32 bits.
    pub fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    /// Reads 64 bits.
    pub fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// Reads 128 bits.
    pub fn u128(&mut self) -> Option<u128> {
        self.bytes().map(u128::from_le_bytes)
    }

    /// Whether all was read.
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sealed_memory_returns_its_values_in_order() {
        let mut contents = alloc::vec![9];
        contents.extend_from_slice(&70_000_u32.to_le_bytes());
        contents.extend_from_slice(&u64::MAX.to_le_bytes());
        contents.extend_from_slice(&(1_u128 << 99).to_le_bytes());
        let memory = sealed(11, contents);
        let mut reader = opened(11, &memory).unwrap();
        assert_eq!((reader.u8(), reader.u32(), reader.u64(), reader.u128()), (Some(9), Some(70_000), Some(u64::MAX), Some(1 << 99)));
        assert!(reader.is_done() && reader.u8().is_none());
    }

    #[test]
    fn another_layout_a_changed_bit_and_a_missing_byte_are_each_noticed() {
        let memory = sealed(11, alloc::vec![1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(opened(12, &memory).is_none());
        for bit in 0..memory.len() * 8 {
            let mut damaged = memory.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(11, &damaged).is_none(), "bit {bit}");
        }
        for length in 0..memory.len() {
            assert!(opened(11, &memory[..length]).is_none(), "{length} bytes");
        }
    }
}
