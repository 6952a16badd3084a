//! The tables of the file and how they are read.
//!
//! | table | key | value |
//! |---|---|---|
//! | `records` | the key | its [record](super::record), with the value if that is small |
//! | `parts` | version, number of the part | a part of a large value |
//! | `about` | 0 | [what the store says of itself](About): the format, a version beyond which none was given, whether there is a log |
//!
//! redb finds a key by its way through the file's pages, and does not look at their checksums on the way. A flipped byte can lead it astray, to where
//! the key is not. So a key that is not found is believed to be absent only if the keys on both sides of the gap are whole and in order.

use super::failure::{Case, Failure};
use super::record::{self, About, Damage, Record};
use crate::store::{Entry, Listed};
use bytes::Bytes;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::ops::Bound;

pub(super) const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
pub(super) const PARTS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("parts");
const ABOUT: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("about");

/// The newest format that is read.
const FORMAT: u32 = record::WITH_A_LOG;

/// Bytes of a part: with what redb puts beside it, it fills a page of 64 KiB. A value in one piece would get a page of up to twice its size.
pub(super) const PART: usize = (64 << 10) - 64;

/// Makes the tables of a new store.
pub(super) fn make(database: &Database) -> Result<(), Failure> {
    let writing = begin(database)?;
    writing.open_table(RECORDS)?;
    writing.open_table(PARTS)?;
    set_about(&writing, &About::default())?;
    commit(writing, Durability::Immediate)
}

/// What a store says of itself, if its format is known.
pub(super) fn about(database: &Database) -> Result<About, Failure> {
    let reading = database.begin_read()?;
    let about = match reading.open_table(ABOUT) {
        Ok(about) => about,
        Err(redb::TableError::TableDoesNotExist(_)) => return Err(Failure::new(Case::Damaged, "it is a database of another program")),
        Err(error) => return Err(error.into()),
    };
    let Some(about) = about.get(0)? else { return Err(Damage::About.into()) };
    match record::read_about(about.value())? {
        (found, _) if found > FORMAT => Err(Failure::new(Case::Newer { found, known: FORMAT }, "")),
        (_, about) => Ok(about),
    }
}

/// Begins to change the tables.
///
/// After a commit that failed redb does not know any more what is free in the file, and calls that corruption here, where it reads nothing: it must be opened anew.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, Failure> {
    database.begin_write().map_err(|error| Failure::from(error).meaning(Case::Damaged, Case::Stale))
}

/// Commits, and waits for the disk if that is asked. Whether it was done is not known where this fails, so it is not done again by whoever opens the file anew.
pub(super) fn commit(mut writing: WriteTransaction, durability: Durability) -> Result<(), Failure> {
    writing.set_durability(durability).map_err(|error| Failure::new(Case::Unavailable, error.to_string()))?;
    writing.commit().map_err(|error| Failure::from(error).meaning(Case::Stale, Case::Unavailable))
}

pub(super) fn set_about(writing: &WriteTransaction, about: &About) -> Result<(), Failure> {
    writing.open_table(ABOUT)?.insert(0, &record::write_about(about)[..])?;
    Ok(())
}

/// The value of a key, checked.
pub(super) fn get(database: &Database, key: &str) -> Result<Option<Entry>, Failure> {
    let reading = database.begin_read()?;
    let records = reading.open_table(RECORDS)?;
    let Some(bytes) = records.get(key.as_bytes())? else {
        return absent(&records, key.as_bytes()).map(|()| None);
    };
    let record = record::read(key.as_bytes(), bytes.value())?;
    let value = match record.value {
        Some(value) => {
            record.check(value)?;
            Bytes::copy_from_slice(value)
        }
        None => apart(&reading, &record)?,
    };
    Ok(Some(Entry { value, content_type: record.content_type.to_owned(), version: record.version, modified: record.modified }))
}

/// A value that lies in parts.
fn apart(reading: &ReadTransaction, record: &Record<'_>) -> Result<Bytes, Failure> {
    let parts = reading.open_table(PARTS)?;
    let mut value = Vec::with_capacity(record.value_length);
    for part in parts.range((record.version, 0)..=(record.version, u32::MAX))? {
        value.extend_from_slice(part?.1.value());
    }
    record.check(&value)?;
    Ok(value.into())
}

/// The version of a key; none if it is surely not there.
pub(super) fn version_of(records: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &[u8]) -> Result<Option<u64>, Failure> {
    match records.get(key)? {
        Some(bytes) => Ok(Some(record::read(key, bytes.value())?.version)),
        None => absent(records, key).map(|()| None),
    }
}

/// Fails unless the keys around the gap where this one would be are whole and in order.
fn absent(records: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &[u8]) -> Result<(), Failure> {
    let mut gap = records.lower_bound(Bound::Included(key))?;
    if let Some((after, bytes)) = gap.peek_next()? {
        neighbour(after.value(), bytes.value(), after.value() > key)?;
    }
    if let Some((before, bytes)) = gap.peek_prev()? {
        neighbour(before.value(), bytes.value(), before.value() < key)?;
    }
    Ok(())
}

fn neighbour(key: &[u8], bytes: &[u8], in_order: bool) -> Result<(), Failure> {
    if !in_order {
        return Err(Damage::Order.into());
    }
    record::read(key, bytes).map(drop).map_err(|_| Damage::Neighbour.into())
}

/// What is under the keys with this prefix, in order.
pub(super) fn list(database: &Database, prefix: &str) -> Result<Vec<Listed>, Failure> {
    let reading = database.begin_read()?;
    let records = reading.open_table(RECORDS)?;
    let mut from = records.lower_bound(Bound::Included(prefix.as_bytes()))?;
    if let Some((before, bytes)) = from.peek_prev()? {
        neighbour(before.value(), bytes.value(), before.value() < prefix.as_bytes())?;
    }
    let mut found: Vec<Listed> = Vec::new();
    while let Some((key, bytes)) = from.next()? {
        let key = key.value();
        let least = found.last().map_or(prefix, |last| &last.key);
        // The first may be the prefix itself.
        if key < least.as_bytes() || !found.is_empty() && key == least.as_bytes() {
            return Err(Damage::Order.into());
        }
        let text = String::from_utf8_lossy(key);
        let record = record::read(key, bytes.value()).map_err(|damage| Failure::from(damage).at(&text))?;
        // The first key beyond ends the list, once it is known to be whole.
        if !key.starts_with(prefix.as_bytes()) {
            break;
        }
        found.push(Listed { key: text.into_owned(), version: record.version, modified: record.modified });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A stand-in for a disk in which redb stops, as it does at a damaged page.
    #[derive(Debug)]
    struct Stopping(InMemoryBackend, Arc<AtomicBool>);

    impl StorageBackend for Stopping {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            self.0.set_len(length)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            assert!(!self.1.load(Ordering::Relaxed), "stopped");
            self.0.write(offset, data)
        }
    }

    #[test]
    fn after_a_commit_that_stopped_the_file_is_to_be_opened_anew_and_not_called_damaged() {
        let stops = Arc::new(AtomicBool::new(false));
        let database = redb::Builder::new().create_with_backend(Stopping(InMemoryBackend::new(), Arc::clone(&stops))).unwrap();
        make(&database).unwrap();
        let writing = begin(&database).unwrap();
        set_about(&writing, &About { version: 7, ..About::default() }).unwrap();
        stops.store(true, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| commit(writing, Durability::Immediate))).is_err());
        stops.store(false, Ordering::Relaxed);
        let failure = begin(&database).map(drop).unwrap_err();
        // redb stops here as well, which the engine catches.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
        assert_eq!(failure.case, Case::Stale, "{failure:?}");
    }
}
