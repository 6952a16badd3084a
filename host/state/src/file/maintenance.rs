//! Lists, checks, copies and rescues the contents of a store's file.

use super::connection::{self, FORMAT};
use super::entries::{self, About};
use super::failure::{Case, Failure};
use super::place;
use super::process::InThisProcess;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use upright_core::store::{Entry, StoreError};

/// Contents of a store's file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// Format of the file.
    pub format: u32,
    /// SQLite version of this program.
    pub sqlite: &'static str,
    /// Size of the database, bytes.
    pub bytes: u64,
    /// Size of its log, bytes.
    pub log_bytes: u64,
    /// Last version given by any program.
    pub last_version: u64,
    /// Entries by the start of their keys, up to the first slash, in order.
    pub kinds: Vec<StoredKind>,
}

/// Entries whose keys begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredKind {
    /// Start of the keys, such as `checkpoint/`.
    pub prefix: String,
    /// Number of entries.
    pub entries: u64,
    /// Size of the values, bytes.
    pub bytes: u64,
}

/// A store's file, for maintenance; programs may have it open. Methods block, and never make the file.
#[derive(Clone, Debug)]
pub struct StoreFile {
    path: PathBuf,
}

impl StoreFile {
    /// Names the file at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns format, size and contents.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::OldFormat`], [`StoreError::Newer`], [`StoreError::Damaged`],
    /// [`StoreError::NotWritable`], [`StoreError::NetworkFileSystem`], [`StoreError::Forked`],
    /// [`StoreError::Unavailable`].
    pub fn info(&self) -> Result<StoreInfo, StoreError> {
        self.with(connection::of_existing, |connection| {
            const KINDS: &str =
                "SELECT substr(key, 1, instr(key, '/')) AS kind, count(*), sum(length(value)) FROM entries GROUP BY kind ORDER BY kind";
            let mut statement = connection.prepare(KINDS)?;
            let kind = |row: &rusqlite::Row<'_>| {
                Ok(StoredKind { prefix: row.get(0)?, entries: row.get::<_, i64>(1)? as u64, bytes: row.get::<_, i64>(2)? as u64 })
            };
            let kinds = statement.query_map([], kind)?.collect::<Result<_, _>>()?;
            Ok(StoreInfo {
                format: FORMAT,
                sqlite: rusqlite::version(),
                bytes: size(&self.path),
                log_bytes: size(&place::beside(&self.path, "-wal")),
                last_version: entries::last_version(connection)?,
                kinds,
            })
        })
    }

    /// Lists all damage, by SQLite's check and each entry's checksum. Reads the whole file.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::OldFormat`], [`StoreError::Newer`], [`StoreError::Damaged`],
    /// [`StoreError::NotWritable`], [`StoreError::Forked`], [`StoreError::Unavailable`].
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        let bytes = size(&self.path);
        let mut wrong = self.with(connection::reader_of_damaged, |connection| {
            let mut statement = connection.prepare("PRAGMA quick_check")?;
            let found = statement.query_map([], |row| row.get::<_, String>(0))?;
            // Damage may end the check early.
            let lines = found.map(|line| line.unwrap_or_else(|error| error.to_string())).filter(|line| line != "ok");
            Ok(lines.chain(Salvage::new(connection, bytes, |_, _| {}).all()).collect::<Vec<_>>())
        })?;
        // Programs open the file more strictly.
        match self.with(connection::strict_reader, |_| Ok(())) {
            Err(error @ StoreError::Damaged { .. }) if wrong.is_empty() => wrong.push(error.to_string()),
            _ => {}
        }
        Ok(wrong)
    }

    /// Reads every readable entry, around damage, in no order. Returns the losses.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::OldFormat`], [`StoreError::Newer`], [`StoreError::Damaged`],
    /// [`StoreError::NotWritable`], [`StoreError::Forked`], [`StoreError::Unavailable`].
    pub fn read(&self, each: impl FnMut(String, Entry)) -> Result<Vec<String>, StoreError> {
        let bytes = size(&self.path);
        self.with(connection::reader_of_damaged, |connection| Ok(Salvage::new(connection, bytes, each).all()))
    }

    /// Frees unused space and restarts the log. Returns the size before and after, bytes.
    ///
    /// # Errors
    /// [`StoreError::Full`] without disk space for a second copy; [`StoreError::NotAStore`], [`StoreError::OldFormat`],
    /// [`StoreError::Newer`], [`StoreError::Damaged`], [`StoreError::NotWritable`], [`StoreError::NetworkFileSystem`],
    /// [`StoreError::Forked`], [`StoreError::Unavailable`].
    pub fn compact(&self) -> Result<(u64, u64), StoreError> {
        self.with(connection::of_existing, |connection| {
            let all = || size(&self.path) + size(&place::beside(&self.path, "-wal"));
            let before = all();
            connection.execute_batch("VACUUM")?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok((before, all()))
        })
    }

    /// Copies the file, as of one moment, to a new one for its owner alone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the new file exists; [`StoreError::NotAStore`], [`StoreError::OldFormat`],
    /// [`StoreError::Newer`], [`StoreError::Damaged`], [`StoreError::Full`], [`StoreError::NotWritable`],
    /// [`StoreError::NetworkFileSystem`], [`StoreError::Forked`].
    pub fn copy_to(&self, copy: impl AsRef<Path>) -> Result<(), StoreError> {
        let copy = copy.as_ref();
        let store_error = |failure: Failure| failure.store_error(copy);
        let copy_to = std::path::absolute(copy).map_err(|error| store_error(error.into()))?;
        self.with(connection::of_existing, |connection| {
            let fill = |draft: &Path| {
                let draft = draft.to_str().ok_or_else(|| Failure::new(Case::Unavailable, "SQLite takes no path that is not UTF-8"))?;
                Ok(connection.execute("VACUUM INTO ?1", [draft]).map(drop)?)
            };
            Ok(place::make(&copy_to, fill).and_then(|made| {
                let exists = || Failure::from(io::Error::new(ErrorKind::AlreadyExists, format!("{} is there already", copy.display())));
                if made { Ok(()) } else { Err(exists()) }
            }))
        })?
        .map_err(store_error)
    }

    fn with<T>(
        &self,
        open: impl FnOnce(&Path) -> Result<Connection, Failure>,
        work: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let worked = InThisProcess::enter().and_then(|_here| {
            let path = std::path::absolute(&self.path)?;
            work(&open(&path)?)
        });
        worked.map_err(|failure| failure.store_error(&self.path))
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// Maximum number of gaps searched.
const TRIES: usize = 20_000;
/// Minimum size of a row, bytes.
const SMALLEST_ROW: u64 = 16;

const UP: &str = "SELECT id, key FROM entries WHERE id > ?1 AND id < ?2 ORDER BY id";
const DOWN: &str = "SELECT id, key FROM entries WHERE id > ?1 AND id < ?2 ORDER BY id DESC";
const ROW: &str = "SELECT version, modified, type, checksum, value FROM entries WHERE id = ?1";
const NUMBER: &str = "SELECT id FROM entries WHERE key = ?1";

/// Reads around damage. A gap is walked from both ends, then halved and walked again: the tree leads past an
/// unreadable page.
struct Salvage<'c, F> {
    connection: &'c Connection,
    bytes: u64,
    each: F,
    lost: Vec<String>,
    newest: u64,
}

impl<'c, F: FnMut(String, Entry)> Salvage<'c, F> {
    fn new(connection: &'c Connection, bytes: u64, each: F) -> Self {
        Self { connection, bytes, each, lost: Vec::new(), newest: 0 }
    }

    fn all(mut self) -> Vec<String> {
        // Each row took a version, and the file holds no more rows.
        let last = entries::last_version(self.connection).ok().and_then(|last| i64::try_from(last).ok()).unwrap_or_default();
        let end = last.max((self.bytes / SMALLEST_ROW) as i64).saturating_add(1);
        let mut gaps = VecDeque::from([(0, end)]);
        let (mut given_up, mut why, mut tries) = (Vec::new(), None, 0);
        while let Some((low, high)) = gaps.pop_front() {
            let (low, Some(failure)) = self.walk(UP, low, high, true) else { continue };
            let (high, Some(_)) = self.walk(DOWN, low, high, false) else { continue };
            why.get_or_insert(failure);
            tries += 1;
            let middle = low + (high - low) / 2;
            if middle > low && tries < TRIES {
                gaps.extend([(low, middle + 1), (middle, high)]);
            } else {
                given_up.push((low, high));
            }
        }
        if let Some(why) = why {
            let why = why.source();
            let rows = |(low, high)| format!("the entries between the rows {low} and {high} cannot be read: {why}");
            self.lost.extend(joined(given_up).into_iter().map(rows));
        }
        if self.newest > last as u64 {
            self.lost.push(format!("the last version that was given is {last}, and an entry has version {}", self.newest));
        }
        self.lost
    }

    fn walk(&mut self, rows: &str, low: i64, high: i64, up: bool) -> (i64, Option<Failure>) {
        let mut reached = if up { low } else { high };
        let walked = (|| {
            let mut statement = self.connection.prepare_cached(rows)?;
            let mut rows = statement.query([low, high])?;
            while let Some(row) = rows.next()? {
                reached = row.get(0)?;
                match row.get::<_, String>(1) {
                    Ok(key) => self.row(reached, key),
                    Err(error) => self.lost.push(format!("the key of row {reached} cannot be read: {error}")),
                }
            }
            Ok::<_, Failure>(())
        })();
        (reached, walked.err())
    }

    fn row(&mut self, number: i64, key: String) {
        match self.entry(number, &key) {
            Ok(Some(entry)) => {
                let found: rusqlite::Result<i64> = self.number(&key);
                if found != Ok(number) {
                    self.lost.push(format!("the index does not lead to {key:?}, which is there"));
                }
                self.newest = self.newest.max(entry.version);
                (self.each)(key, entry);
            }
            Ok(None) => self.lost.push(format!("row {number} with the key {key:?} cannot be found again")),
            Err(failure) => self.lost.push(format!("what is stored as {key:?} cannot be read: {}", failure.source())),
        }
    }

    fn entry(&self, number: i64, key: &str) -> Result<Option<Entry>, Failure> {
        let mut statement = self.connection.prepare_cached(ROW)?;
        let mut rows = statement.query([number])?;
        rows.next()?.map(|row| About::read(row, 0)?.entry(key, entries::blob(row, 4)?)).transpose()
    }

    fn number(&self, key: &str) -> rusqlite::Result<i64> {
        self.connection.prepare_cached(NUMBER)?.query_row([key], |row| row.get(0))
    }
}

fn joined(mut ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let touches = next.0 <= before.1;
        if touches {
            before.1 = before.1.max(next.1);
        }
        touches
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_store_maintenance_joins_overlapping_and_adjacent_ranges() {
        assert_eq!(joined(vec![(7, 9), (1, 3), (2, 4), (4, 5), (9, 10)]), [(1, 5), (7, 10)]);
    }
}
