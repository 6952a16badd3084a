//! A block of the log: the changes of a group, in whole pages.
//!
//! ```text
//! 0      8          12       16      24         32
//! magic │ checksum │ length │ epoch │ sequence │ changes…
//! ```

use super::pages::PAGE;
use super::record::{u32_at, u64_at};
use std::ops::Range;

/// What is longer goes to the database at once, bytes: it takes the disk as long, and need not be written twice.
pub(super) const LONGEST: usize = 128 << 10;

pub(super) const MAGIC: &[u8; 8] = b"uplogblk";
const CHECKSUM: Range<usize> = 8..12;
const BYTES: Range<usize> = 12..16;
const EPOCH: Range<usize> = 16..24;
const SEQUENCE: Range<usize> = 24..32;
pub(super) const HEAD: usize = 32;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// A change of one key, as the database makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// The record, and the value if that lies apart.
    Put {
        key: &'a [u8],
        record: &'a [u8],
        apart: &'a [u8],
    },
    Delete {
        key: &'a [u8],
        version: u64,
    },
}

/// The changes of a group, as they are written.
pub(super) struct Block {
    bytes: Vec<u8>,
    /// It goes to the database at once.
    pub(super) too_long: bool,
}

impl Block {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEAD], too_long: false }
    }

    /// Adds a change; to one that has become too long, no more.
    pub(super) fn push(&mut self, change: Change<'_>) {
        let parts = match change {
            Change::Put { key, record, apart } => [key, record, apart],
            Change::Delete { key, .. } => [key, &[], &[]],
        };
        self.too_long |= self.bytes.len() + parts.iter().map(|part| part.len()).sum::<usize>() > LONGEST;
        if self.too_long {
            return;
        }
        match change {
            Change::Put { .. } => {
                self.bytes.push(PUT);
                parts.into_iter().for_each(|part| self.part(part));
            }
            Change::Delete { key, version } => {
                self.bytes.push(DELETE);
                self.part(key);
                self.bytes.extend(version.to_le_bytes());
            }
        }
    }

    /// With its length before it, which fits 32 bits.
    fn part(&mut self, part: &[u8]) {
        self.bytes.extend((part.len() as u32).to_le_bytes());
        self.bytes.extend(part);
    }

    /// So much of a file it takes, bytes.
    pub(super) fn room(&self) -> u64 {
        (self.bytes.len() as u64).next_multiple_of(PAGE)
    }

    /// Whole pages, ready to be written.
    pub(super) fn sealed(self, epoch: u64, sequence: u64) -> Vec<u8> {
        let (room, mut bytes) = (self.room(), self.bytes);
        let length = bytes.len() as u32;
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[BYTES].copy_from_slice(&length.to_le_bytes());
        bytes[EPOCH].copy_from_slice(&epoch.to_le_bytes());
        bytes[SEQUENCE].copy_from_slice(&sequence.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[CHECKSUM.end..]);
        bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        bytes.resize(room as usize, 0);
        bytes
    }
}

/// A block that is whole.
pub(super) struct BlockRead {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) end: usize,
}

/// The block that begins here, if it is whole.
pub(super) fn read_block(bytes: &[u8], at: usize) -> Option<BlockRead> {
    let rest = bytes.get(at..)?;
    if rest.len() < HEAD || !rest.starts_with(MAGIC) {
        return None;
    }
    let length = u32_at(rest, BYTES) as usize;
    // Each change has a few bytes beyond those that are counted.
    let block = rest.get(..length).filter(|_| (HEAD..=LONGEST + PAGE as usize).contains(&length))?;
    let right = crc32fast::hash(&block[CHECKSUM.end..]) == u32_at(block, CHECKSUM);
    right.then(|| BlockRead { epoch: u64_at(block, EPOCH), sequence: u64_at(block, SEQUENCE), end: at + length })
}

/// The next change of a block.
pub(super) fn read_change<'a>(rest: &mut &'a [u8]) -> Option<Change<'a>> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    match *kind {
        PUT => Some(Change::Put { key: read_bytes(rest)?, record: read_bytes(rest)?, apart: read_bytes(rest)? }),
        DELETE => {
            let key = read_bytes(rest)?;
            let (version, after) = rest.split_at_checked(8)?;
            *rest = after;
            Some(Change::Delete { key, version: u64_at(version, 0..8) })
        }
        _ => None,
    }
}

fn read_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_at_checked(4)?;
    let (bytes, after) = after.split_at_checked(u32_at(length, 0..4) as usize)?;
    *rest = after;
    Some(bytes)
}
