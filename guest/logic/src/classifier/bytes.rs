//! The bytes of a message, eight at a time: a component is interrupted between the turns of a loop, so fewer are better.

/// What a byte is within a word, letters in lower case; 0 for what stands in no word.
pub(super) const LOWER: [u8; 256] = {
    let mut lower = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() || byte == b'_' as usize {
            lower[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    lower
};

static LOWERED: [u8; 256] = LOWER;

pub(super) fn lower(byte: u8) -> u8 {
    LOWERED[usize::from(byte)]
}

pub(super) fn is_word(byte: u8) -> bool {
    lower(byte) != 0
}

pub(super) const EACH: u64 = u64::from_le_bytes([1; 8]);
pub(super) const TOP: u64 = EACH * 0x80;
/// Sets the bit that tells lower case from upper. Makes nothing else of a digit, and of an underscore something that is in no word.
pub(super) const KEY_CASE: u64 = EACH * 0x20;

/// Of eight bytes at once, the top bit of each that stands in a word.
pub(super) const fn in_word(eight: u64) -> u64 {
    let low = eight & !TOP;
    (between(low | KEY_CASE, b'a', b'z') | between(low, b'0', b'9') | between(low, b'_', b'_')) & TOP & !eight
}

/// The same eight bytes, letters in lower case.
pub(super) const fn lowered(eight: u64) -> u64 {
    eight | (between(eight & !TOP, b'A', b'Z') & TOP & !eight) >> 2
}

/// The top bit of each byte from `first` to `last`, if all are below 128: so no sum carries into the next byte.
const fn between(eight: u64, first: u8, last: u8) -> u64 {
    (eight + EACH * (0x80 - first as u64)) & !(eight + EACH * (0x7f - last as u64))
}

/// The bits of the first so many of eight bytes.
pub(super) const fn first_bytes(count: usize) -> u64 {
    if count >= 8 { u64::MAX } else { (1 << (8 * count)) - 1 }
}

/// The eight bytes from `at` on; zeros, which are in no word, where the text has ended.
pub(super) fn eight(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(eight) = rest.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    if rest.is_empty() {
        return 0;
    }
    match bytes.last_chunk() {
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    }
}

/// How many of the first bytes these top bits are of, without a gap.
pub(super) const fn run(tops: u64) -> usize {
    (!tops & TOP).trailing_zeros() as usize / 8
}

/// A word of the message.
pub(super) struct Word<'a> {
    pub(super) letters: &'a [u8],
    /// Its first eight letters in lower case, as [`KEY_CASE`] has it: two words of eight letters or fewer are the same if their keys are.
    pub(super) key: u64,
}

impl<'a> Word<'a> {
    /// The word that begins at `start`, of which these are the first bytes.
    pub(super) fn at(bytes: &'a [u8], start: usize, first: u64) -> Self {
        let mut length = run(in_word(first));
        let key = (first | KEY_CASE) & first_bytes(length);
        let mut more = length;
        while more == 8 {
            more = run(in_word(eight(bytes, start + length)));
            length += more;
        }
        Self { letters: &bytes[start..start + length], key }
    }
}

/// Where this byte stands first from `at` on and before `until`, a letter in either case; eight bytes are looked at in one turn.
pub(super) fn position(bytes: &[u8], mut at: usize, until: usize, byte: u8) -> Option<usize> {
    let case = if byte.is_ascii_lowercase() { KEY_CASE } else { 0 };
    while at < until {
        let others = (eight(bytes, at) | case) ^ (EACH * u64::from(byte));
        // The lowest top bit that is set is that of the first byte that is zero.
        let zeros = others.wrapping_sub(EACH) & !others & TOP;
        if zeros != 0 {
            return Some(at + zeros.trailing_zeros() as usize / 8).filter(|found| *found < until);
        }
        at += 8;
    }
    None
}
