//! Stores values and changes as rows.
//!
//! ```sql
//! entries(id, key, version, modified, type, checksum, value)   what is there
//! changes(version, key, deleted)                               what was done last, for those who watch
//! ```
//!
//! `changes` keeps its last row, and with it the last version of any process. Both tables change in one transaction.
//!
//! A checksum's upper half covers everything but the value, so listings are checked without reading values.

use super::failure::{Case, Failure};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use upright_core::store::{Entry, Listed};

/// Minimum number of changes kept for slow watchers.
pub(super) const KEPT_CHANGES: u64 = 4096;
/// Number of changes between removals of old ones.
const TRIMMED_EVERY: u64 = 1024;

const GET: &str = "SELECT version, modified, type, checksum, value FROM entries WHERE key = ?1";
const LIST: &str = "SELECT key, version, modified, type, checksum FROM entries WHERE key >= ?1 ORDER BY key";
const VERSION: &str = "SELECT version FROM entries WHERE key = ?1";
const LAST: &str = "SELECT max(version) FROM changes";
const PUT: &str = "INSERT INTO entries(key, version, modified, type, checksum, value) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT(key) DO UPDATE SET version = ?2, modified = ?3, type = ?4, checksum = ?5, value = ?6";
const DELETE: &str = "DELETE FROM entries WHERE key = ?1";
const CHANGED: &str = "INSERT INTO changes(version, key, deleted) VALUES(?1, ?2, ?3)";
const TRIM: &str = "DELETE FROM changes WHERE version <= ?1";

pub(super) struct About {
    pub(super) version: u64,
    /// Nanoseconds since 1970.
    modified: i64,
    content_type: String,
    checksum: u64,
}

impl About {
    pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Self, Failure> {
        Ok(Self {
            version: row.get::<_, i64>(first)? as u64,
            modified: row.get(first + 1)?,
            content_type: row.get(first + 2)?,
            checksum: row.get::<_, i64>(first + 3)? as u64,
        })
    }

    pub(super) fn modified(&self) -> SystemTime {
        date(self.modified)
    }

    pub(super) fn verify(&self, key: &str) -> Result<(), Failure> {
        let expected = checksum(key, self.version, self.modified, &self.content_type, self.checksum as u32);
        if self.checksum == expected { Ok(()) } else { Err(Failure::new(Case::Damaged, "its row has a wrong checksum").at(key)) }
    }

    pub(super) fn entry(self, key: &str, value: &[u8]) -> Result<Entry, Failure> {
        self.verify(key)?;
        if crc32fast::hash(value) != self.checksum as u32 {
            return Err(Failure::new(Case::Damaged, "its value has a wrong checksum").at(key));
        }
        let modified = self.modified();
        Ok(Entry { value: Bytes::copy_from_slice(value), content_type: self.content_type, version: self.version, modified })
    }
}

fn checksum(key: &str, version: u64, modified: i64, content_type: &str, of_value: u32) -> u64 {
    let mut row = crc32fast::Hasher::new();
    for part in
        [&version.to_le_bytes()[..], &modified.to_le_bytes(), &of_value.to_le_bytes(), content_type.as_bytes(), b"\n", key.as_bytes()]
    {
        row.update(part);
    }
    u64::from(row.finalize()) << 32 | u64::from(of_value)
}

/// Nanoseconds since 1970; negative before.
fn nanoseconds(date: SystemTime) -> i64 {
    let count = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    date.duration_since(UNIX_EPOCH).map_or_else(|before| -count(before.duration()), count)
}

fn date(nanoseconds: i64) -> SystemTime {
    let span = Duration::from_nanos(nanoseconds.unsigned_abs());
    let date = if nanoseconds < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    date.unwrap_or(UNIX_EPOCH)
}

pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<Entry>, Failure> {
    let read = || {
        let mut statement = connection.prepare_cached(GET)?;
        let mut rows = statement.query([key])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        About::read(row, 0)?.entry(key, blob(row, 4)?).map(Some)
    };
    read().map_err(|failure: Failure| failure.at(key))
}

pub(super) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], Failure> {
    row.get_ref(column)?.as_blob().map_err(|error| Failure::new(Case::Damaged, error.to_string()))
}

pub(super) fn list(connection: &Connection, prefix: &str) -> Result<Vec<Listed>, Failure> {
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query([prefix])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        if !key.starts_with(prefix) {
            break;
        }
        let about = About::read(row, 1)?;
        about.verify(&key)?;
        listed.push(Listed { key, version: about.version, modified: about.modified() });
    }
    Ok(listed)
}

pub(super) fn last_version(connection: &Connection) -> Result<u64, Failure> {
    let last: Option<i64> = connection.prepare_cached(LAST)?.query_row([], |row| row.get(0))?;
    Ok(last.unwrap_or_default() as u64)
}

pub(super) fn version_of(connection: &Connection, key: &str) -> Result<Option<u64>, Failure> {
    let version: Option<i64> = connection.prepare_cached(VERSION)?.query_row([key], |row| row.get(0)).optional()?;
    Ok(version.map(|version| version as u64))
}

pub(super) struct Put<'a> {
    pub(super) value: &'a [u8],
    pub(super) crc32: u32,
    pub(super) content_type: &'a str,
    pub(super) modified: SystemTime,
}

pub(super) fn put(connection: &Connection, key: &str, version: u64, put: &Put<'_>) -> Result<(), Failure> {
    let modified = nanoseconds(put.modified);
    let checksum = checksum(key, version, modified, put.content_type, put.crc32);
    connection.prepare_cached(PUT)?.execute((key, version as i64, modified, put.content_type, checksum as i64, put.value))?;
    changed(connection, key, version, false)
}

pub(super) fn delete(connection: &Connection, key: &str, version: u64) -> Result<bool, Failure> {
    let deleted = connection.prepare_cached(DELETE)?.execute([key])? > 0;
    if deleted {
        changed(connection, key, version, true)?;
    }
    Ok(deleted)
}

fn changed(connection: &Connection, key: &str, version: u64, deleted: bool) -> Result<(), Failure> {
    connection.prepare_cached(CHANGED)?.execute((version as i64, key, deleted))?;
    if version.is_multiple_of(TRIMMED_EVERY) {
        connection.prepare_cached(TRIM)?.execute([version.saturating_sub(KEPT_CHANGES) as i64])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_it_was_written() {
        for nanoseconds in [0, 1, -1, 1_790_000_000_123_456_789, i64::MIN + 1] {
            assert_eq!(super::nanoseconds(date(nanoseconds)), nanoseconds);
        }
    }

    #[test]
    fn a_checksum_covers_each_part_of_a_row() {
        let right = checksum("key", 1, 2, "text", 3);
        let others = [checksum("kez", 1, 2, "text", 3), checksum("key", 2, 2, "text", 3), checksum("key", 1, 3, "text", 3)];
        let more = [checksum("key", 1, 2, "texu", 3), checksum("key", 1, 2, "text", 4), checksum("t\nkey", 1, 2, "tex", 3)];
        assert!(others.into_iter().chain(more).all(|other| other != right));
    }
}
