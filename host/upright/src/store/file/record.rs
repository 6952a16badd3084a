//! How a value lies in the file, and how it is known to be whole.
//!
//! A disk may give back other bytes than it was given, and redb looks at its own checksums only after a crash. So each record has two: one over the
//! key and all that is said of the value, so that a list can trust what it reads without reading values; and one over the value.
//!
//! ```text
//! 0      1        5         13        21        25        29         33        37
//! place │ checksum │ version │ seconds │ nanos   │ value's  │ value's  │ media   │ media │ value,
//!       │ of these │         │ of 1970 │         │ checksum │ length   │ type's… │ type  │ if it lies here
//! ```

use super::log::Epochs;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Values up to this many bytes lie in their record; others in parts of their own, which a list never touches.
pub(super) const INLINE: usize = 2048;

const INLINED: u8 = 1;
const APART: u8 = 2;

const CHECKSUM: Range<usize> = 1..5;
const VERSION: Range<usize> = 5..13;
const SECONDS: Range<usize> = 13..21;
const NANOSECONDS: Range<usize> = 21..25;
const VALUE_CHECKSUM: Range<usize> = 25..29;
const VALUE_LENGTH: Range<usize> = 29..33;
const TYPE_LENGTH: Range<usize> = 33..37;
const HEAD: usize = 37;

/// What is wrong with what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("its record has {0} bytes, fewer than it must")]
    Short(usize),
    #[error("its record has a wrong checksum")]
    Record,
    #[error("its value has a wrong checksum")]
    Value,
    #[error("its value has {found} of {expected} bytes")]
    Length { found: usize, expected: usize },
    #[error("the file does not have its keys in order here")]
    Order,
    #[error("a key beside it is damaged, so that nobody can tell whether it is there")]
    Neighbour,
    #[error("what the store says of itself has a wrong checksum")]
    About,
}

/// A record as it is read, without copying.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) version: u64,
    pub(super) modified: SystemTime,
    pub(super) content_type: &'a str,
    pub(super) value_checksum: u32,
    pub(super) value_length: usize,
    /// The value, if it lies in the record.
    pub(super) value: Option<&'a [u8]>,
}

/// The checksum of a value.
pub(super) fn checksum(value: &[u8]) -> u32 {
    crc32fast::hash(value)
}

/// A record to be written; a value that is too large to lie in it is left out. Its lengths fit 32 bits.
pub(super) fn write(key: &[u8], version: u64, modified: SystemTime, content_type: &str, value: &[u8], value_checksum: u32) -> Vec<u8> {
    let inline = value.len() <= INLINE;
    let (seconds, nanoseconds) = since_1970(modified);
    let mut record = Vec::with_capacity(HEAD + content_type.len() + if inline { value.len() } else { 0 });
    record.push(if inline { INLINED } else { APART });
    record.extend([0; 4]);
    record.extend(version.to_le_bytes());
    record.extend(seconds.to_le_bytes());
    record.extend(nanoseconds.to_le_bytes());
    record.extend(value_checksum.to_le_bytes());
    record.extend((value.len() as u32).to_le_bytes());
    record.extend((content_type.len() as u32).to_le_bytes());
    record.extend(content_type.as_bytes());
    let checksum = head_checksum(key, &record);
    record[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    if inline {
        record.extend(value);
    }
    record
}

/// Reads a record and checks all but the value.
pub(super) fn read<'a>(key: &[u8], record: &'a [u8]) -> Result<Record<'a>, Damage> {
    let short = Damage::Short(record.len());
    if record.len() < HEAD {
        return Err(short);
    }
    let type_end = HEAD + u32_at(record, TYPE_LENGTH) as usize;
    let head = record.get(..type_end).ok_or(short)?;
    if head_checksum(key, head) != u32_at(record, CHECKSUM) {
        return Err(Damage::Record);
    }
    // The checksum was right, so what follows only fails on what this module never wrote.
    let content_type = std::str::from_utf8(&head[HEAD..]).map_err(|_| Damage::Record)?;
    let modified = from_1970(u64_at(record, SECONDS) as i64, u32_at(record, NANOSECONDS)).ok_or(Damage::Record)?;
    let value_length = u32_at(record, VALUE_LENGTH) as usize;
    let value = match record[0] {
        INLINED => Some(&record[type_end..]),
        APART => None,
        _ => return Err(Damage::Record),
    };
    Ok(Record {
        version: u64_at(record, VERSION),
        modified,
        content_type,
        value_checksum: u32_at(record, VALUE_CHECKSUM),
        value_length,
        value,
    })
}

impl Record<'_> {
    /// Checks the value.
    pub(super) fn check(&self, value: &[u8]) -> Result<(), Damage> {
        if value.len() != self.value_length {
            return Err(Damage::Length { found: value.len(), expected: self.value_length });
        }
        if checksum(value) == self.value_checksum { Ok(()) } else { Err(Damage::Value) }
    }
}

/// Over the key and the head but for the checksum itself.
fn head_checksum(key: &[u8], head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&head[..CHECKSUM.start]);
    hasher.update(&head[CHECKSUM.end..]);
    hasher.finalize()
}

/// What the store says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// A version beyond which it gave none.
    pub(super) version: u64,
    pub(super) epochs: Epochs,
}

/// The format of a store that has a log beside it: who does not know of logs must not open it. Without one, it is as it always was.
pub(super) const WITH_A_LOG: u32 = 2;

const WITHOUT_A_LOG: u32 = 1;

/// What the store says of itself, and its format before that.
pub(super) fn write_about(About { version, epochs }: &About) -> Vec<u8> {
    let format = if epochs.now == 0 { WITHOUT_A_LOG } else { WITH_A_LOG };
    let mut about = [&format.to_le_bytes()[..], &version.to_le_bytes()].concat();
    // After the version, older readers pass over everything.
    if epochs.log != 0 {
        [epochs.log, epochs.now, epochs.before].iter().for_each(|number| about.extend(number.to_le_bytes()));
    }
    about.extend(checksum(&about).to_le_bytes());
    about
}

/// The format, and what the store says if that is known. A newer format may have anything else to say.
pub(super) fn read_about(about: &[u8]) -> Result<(u32, About), Damage> {
    let checked = about.len().checked_sub(4).filter(|checked| *checked >= 12).ok_or(Damage::About)?;
    if checksum(&about[..checked]) != u32_at(about, checked..about.len()) {
        return Err(Damage::About);
    }
    let format = u32_at(about, 0..4);
    let epochs = match format {
        WITHOUT_A_LOG | WITH_A_LOG if checked >= 36 => {
            Epochs { log: u64_at(about, 12..20), now: u64_at(about, 20..28), before: u64_at(about, 28..36) }
        }
        WITH_A_LOG => return Err(Damage::About),
        _ => Epochs::default(),
    };
    Ok((format, About { version: u64_at(about, 4..12), epochs }))
}

/// Four bytes, which the caller knows to be there.
pub(super) fn u32_at(bytes: &[u8], at: Range<usize>) -> u32 {
    bytes[at].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

pub(super) fn u64_at(bytes: &[u8], at: Range<usize>) -> u64 {
    bytes[at].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whole seconds since 1970, rounded down, and the nanoseconds after them.
fn since_1970(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => (-(before.as_secs() as i64), 0),
                nanoseconds => (-(before.as_secs() as i64) - 1, 1_000_000_000 - nanoseconds),
            }
        }
    }
}

fn from_1970(seconds: i64, nanoseconds: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    time?.checked_add(Duration::from_nanos(nanoseconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"checkpoint/import";
    const TYPE: &str = "application/json";

    fn record(value: &[u8], modified: SystemTime) -> Vec<u8> {
        write(KEY, 7, modified, TYPE, value, checksum(value))
    }

    #[test]
    fn a_record_is_read_as_it_was_written_whenever_that_was() {
        let moments = [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(1500), Duration::from_secs(2_000_000_000)];
        for modified in moments.into_iter().flat_map(|span| [UNIX_EPOCH + span, UNIX_EPOCH - span]) {
            let bytes = record(b"{}", modified);
            let read = read(KEY, &bytes).unwrap();
            assert_eq!((read.version, read.modified, read.content_type, read.value), (7, modified, TYPE, Some(&b"{}"[..])));
            read.check(b"{}").unwrap();
        }
    }

    #[test]
    fn a_value_lies_in_its_record_up_to_a_length() {
        for (length, inline) in [(0, true), (INLINE, true), (INLINE + 1, false)] {
            let value = vec![5; length];
            let bytes = record(&value, UNIX_EPOCH);
            let read = read(KEY, &bytes).unwrap();
            assert_eq!((read.value.is_some(), read.value_length), (inline, length));
            assert_eq!(bytes.len() < HEAD + TYPE.len() + 1, length == 0 || !inline);
            read.check(&value).unwrap();
            assert_eq!(read.check(&vec![5; length + 1]), Err(Damage::Length { found: length + 1, expected: length }));
        }
    }

    #[test]
    fn each_flipped_bit_and_each_missing_byte_is_noticed() {
        let whole = record(b"{\"row\":1000}", UNIX_EPOCH);
        let is_right = |bytes: &[u8]| read(KEY, bytes).and_then(|record| record.check(record.value.unwrap_or_default())).is_ok();
        assert!(is_right(&whole));
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[position] ^= 1 << bit;
                assert!(!is_right(&flipped), "byte {position}, bit {bit}");
            }
            assert!(!is_right(&whole[..position]), "{position} bytes");
        }
        assert_eq!(read(b"checkpoint/impost", &whole), Err(Damage::Record));
    }

    #[test]
    fn what_the_store_says_of_itself_is_checked_and_may_grow() {
        let epochs = Epochs { log: 6, now: 7, before: 8 };
        for (format, epochs) in [(1, Epochs::default()), (2, epochs), (1, epochs.ended())] {
            let said = About { version: u64::MAX, epochs };
            let about = write_about(&said);
            assert_eq!(read_about(&about), Ok((format, said)));
            for position in 0..about.len() {
                let mut flipped = about.clone();
                flipped[position] ^= 0x10;
                assert_eq!(read_about(&flipped), Err(Damage::About));
                assert_eq!(read_about(&about[..position]), Err(Damage::About));
            }
        }
        let mut newer = [&3_u32.to_le_bytes()[..], &3_u64.to_le_bytes(), b"more"].concat();
        newer.extend(checksum(&newer).to_le_bytes());
        assert_eq!(read_about(&newer).unwrap().0, 3);
    }
}
