//! Reads messages eight bytes at a time: in a component each loop turn costs an interruption check.

/// Lower case of bytes in words; 0 for others.
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
/// Case bit: letters become lower case, digits stay, underscores change.
pub(super) const KEY_CASE: u64 = EACH * 0x20;

pub(super) const fn in_word(eight: u64) -> u64 {
    let low = eight & !TOP;
    (between(low | KEY_CASE, b'a', b'z') | between(low, b'0', b'9') | between(low, b'_', b'_')) & TOP & !eight
}

pub(super) const fn lowered(eight: u64) -> u64 {
    eight | (between(eight & !TOP, b'A', b'Z') & TOP & !eight) >> 2
}

/// Bytes below 128 never carry over.
const fn between(eight: u64, first: u8, last: u8) -> u64 {
    (eight + EACH * (0x80 - first as u64)) & !(eight + EACH * (0x7f - last as u64))
}

pub(super) const fn first_bytes(count: usize) -> u64 {
    if count >= 8 { u64::MAX } else { (1 << (8 * count)) - 1 }
}

/// Eight bytes from `at`, with zeros after the end.
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

pub(super) const fn run(tops: u64) -> usize {
    (!tops & TOP).trailing_zeros() as usize / 8
}

pub(super) struct Word<'a> {
    pub(super) letters: &'a [u8],
    /// First eight letters, lower case.
    pub(super) key: u64,
}

impl<'a> Word<'a> {
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

pub(super) fn position(bytes: &[u8], mut at: usize, until: usize, byte: u8) -> Option<usize> {
    let case = if byte.is_ascii_lowercase() { KEY_CASE } else { 0 };
    while at < until {
        let others = (eight(bytes, at) | case) ^ (EACH * u64::from(byte));
        // The lowest set top bit marks the first zero byte.
        let zeros = others.wrapping_sub(EACH) & !others & TOP;
        if zeros != 0 {
            return Some(at + zeros.trailing_zeros() as usize / 8).filter(|found| *found < until);
        }
        at += 8;
    }
    None
}
