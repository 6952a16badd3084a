//! The changes of a group, made in the tables: for who asks for them, and again from the log.

use super::block::Change;
use super::failure::Failure;
use super::record;
use super::tables::{self, PART, PARTS, RECORDS};
use redb::{Database, Durability, Table, WriteTransaction};

/// The tables while they are changed.
pub(super) struct Tables<'t> {
    records: Table<'t, &'static [u8], &'static [u8]>,
    /// Only opened where there are large values.
    parts: Option<Table<'t, (u64, u32), &'static [u8]>>,
    writing: &'t WriteTransaction,
}

impl<'t> Tables<'t> {
    pub(super) fn open(writing: &'t WriteTransaction) -> Result<Self, Failure> {
        Ok(Self { records: writing.open_table(RECORDS)?, parts: None, writing })
    }

    /// The version of a key; none if it is surely not there.
    pub(super) fn version_of(&self, key: &[u8]) -> Result<Option<u64>, Failure> {
        tables::version_of(&self.records, key)
    }

    /// Makes a change; false where nothing was found to delete.
    pub(super) fn make(&mut self, change: Change<'_>) -> Result<bool, Failure> {
        match change {
            Change::Put { key, record, apart } => {
                let old = self.records.insert(key, record)?.and_then(|old| parts_of(key, old.value()));
                self.remove_parts(old)?;
                if !apart.is_empty() {
                    self.write_parts(record::read(key, record)?.version, apart)?;
                }
                Ok(true)
            }
            Change::Delete { key, .. } => {
                let removed = self.records.remove(key)?.map(|old| parts_of(key, old.value()));
                let Some(old) = removed else { return Ok(false) };
                self.remove_parts(old)?;
                Ok(true)
            }
        }
    }

    fn write_parts(&mut self, version: u64, value: &[u8]) -> Result<(), Failure> {
        let parts = self.parts()?;
        for (number, part) in (0..).zip(value.chunks(PART)) {
            parts.insert((version, number), part)?;
        }
        Ok(())
    }

    fn remove_parts(&mut self, old: Option<(u64, u32)>) -> Result<(), Failure> {
        let Some((version, count)) = old else { return Ok(()) };
        let parts = self.parts()?;
        for number in 0..count {
            parts.remove((version, number))?;
        }
        Ok(())
    }

    fn parts(&mut self) -> Result<&mut Table<'t, (u64, u32), &'static [u8]>, Failure> {
        let parts = match self.parts.take() {
            Some(parts) => parts,
            None => self.writing.open_table(PARTS)?,
        };
        Ok(self.parts.insert(parts))
    }
}

/// The version and the number of the parts of a record's value. A record that is damaged does not tell; they stay, and nobody sees them.
fn parts_of(key: &[u8], record: &[u8]) -> Option<(u64, u32)> {
    let record = record::read(key, record).ok()?;
    record.value.is_none().then(|| (record.version, record.value_length.div_ceil(PART) as u32))
}

/// Makes the changes that a log has, in memory: the log stays, and so there need be no room on the disk. The last version that they gave, if there are any.
///
/// Some may have been made already: redb writes what it has in memory when it is closed. What they lead to is the same, since each says what is there
/// afterwards and not what is added.
pub(super) fn again(database: &Database, changes: &[Change<'_>]) -> Result<Option<u64>, Failure> {
    if changes.is_empty() {
        return Ok(None);
    }
    let writing = tables::begin(database)?;
    let mut last = 0;
    {
        let mut tables = Tables::open(&writing)?;
        for change in changes {
            let version = match change {
                Change::Put { key, record, .. } => record::read(key, record)?.version,
                Change::Delete { version, .. } => *version,
            };
            last = last.max(version);
            tables.make(*change)?;
        }
    }
    tables::commit(writing, Durability::None)?;
    Ok(Some(last))
}
