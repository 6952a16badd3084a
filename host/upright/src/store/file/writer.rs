//! The thread that writes.
//!
//! What costs time in saving is waiting for the disk, not writing. So one thread takes all that waits into one transaction, waits for the disk once, and
//! answers each. Whoever comes alone is not kept waiting for company: while the disk is busy, the company gathers by itself.

use super::engine::Engine;
use super::failure::{Case, Failure};
use super::record;
use super::tables::{self, PART, PARTS, RECORDS};
use crate::store::watch::Watchers;
use crate::store::{Change, ChangeKind, StoreError};
use bytes::Bytes;
use redb::{Database, Table, WriteTransaction};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot};

/// So many requests wait for the thread; who comes later waits for room.
pub(super) const QUEUE: usize = 1024;

/// So many bytes of values go into one group, or one value alone: the rest waits for the next.
const GROUP_BYTES: usize = 32 << 20;

/// Room that a group may need on the disk beyond its values: pages on the way to the records, and those that readers still hold.
const ROOM_BESIDE: u64 = 1 << 20;

/// So many versions are reserved at once, so that not each group need write the last one down: that would be another page. After a kill they are left out.
const VERSIONS: u64 = 1024;

/// A change that somebody waits for.
pub(super) struct Request {
    pub(super) key: String,
    pub(super) wish: Wish,
    /// Gets the version that the change made; zero where there was nothing to delete.
    pub(super) answer: oneshot::Sender<Result<u64, StoreError>>,
}

pub(super) enum Wish {
    Put { value: Bytes, checksum: u32, content_type: String, modified: SystemTime, expected: Expected },
    Delete { expected: Option<u64> },
}

/// What must be there for a value to be written.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    Anything,
    Version(Option<u64>),
}

impl Request {
    fn bytes(&self) -> usize {
        match &self.wish {
            Wish::Put { value, .. } => value.len(),
            Wish::Delete { .. } => 0,
        }
    }
}

pub(super) struct Writer {
    engine: Arc<Engine>,
    watchers: Watchers,
    versions: Versions,
    /// How often the file had been opened anew when it was last written.
    opened: u64,
    /// The disk was full when it was last written to.
    full: Option<Failure>,
}

#[derive(Clone, Copy)]
struct Versions {
    /// The last that was given, or may have been.
    version: u64,
    /// The last that may be given before the file says so.
    reserved: u64,
}

/// How each request of a group ended: the version that it made, or why it made none.
type Outcomes = Vec<Result<u64, StoreError>>;

impl Writer {
    pub(super) fn new(engine: Arc<Engine>, watchers: Watchers, version: u64) -> Self {
        Self { engine, watchers, versions: Versions { version, reserved: version }, opened: 0, full: None }
    }

    /// Writes until nobody can ask any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() && queue.blocking_recv_many(&mut waiting, QUEUE) == 0 {
                return self.tidy();
            }
            let mut bytes = 0;
            let fitting = waiting.iter().take_while(|request| {
                bytes += request.bytes();
                bytes <= GROUP_BYTES
            });
            let group = fitting.count().max(1);
            self.write(waiting.drain(..group).collect());
        }
    }

    /// Gives back the versions that were reserved and not given. Where that fails they are left out, which does no harm.
    fn tidy(&self) {
        let Versions { version, reserved } = self.versions;
        if reserved > version {
            let _ = self.engine.with(|database, _| {
                let writing = tables::begin(database)?;
                tables::set_version(&writing, version)?;
                tables::commit(writing)
            });
        }
    }

    /// Writes a group, and answers it.
    fn write(&mut self, group: Vec<Request>) {
        match self.attempt(&group) {
            Ok(outcomes) => self.answer(group, outcomes),
            // One of them may be too large, or lead to a damaged page; the others must not suffer for it.
            Err(Failure { case: Case::Full | Case::Damaged, .. }) if group.len() > 1 => {
                group.into_iter().for_each(|request| self.write(vec![request]));
            }
            Err(failure) => {
                let path = self.engine.place().path();
                for request in group {
                    // Who does not wait any more need not know.
                    let _ = request.answer.send(Err(failure.told(path)));
                }
            }
        }
    }

    fn answer(&self, group: Vec<Request>, outcomes: Outcomes) {
        for (request, outcome) in group.iter().zip(&outcomes) {
            if let Ok(version) = *outcome
                && version > 0
            {
                let kind = if matches!(request.wish, Wish::Put { .. }) { ChangeKind::Put } else { ChangeKind::Deleted };
                self.watchers.tell(Change { key: request.key.clone(), version, kind });
            }
        }
        for (request, outcome) in group.into_iter().zip(outcomes) {
            let _ = request.answer.send(outcome);
        }
    }

    fn attempt(&mut self, group: &[Request]) -> Result<Outcomes, Failure> {
        self.expect_room(group)?;
        let mut versions = self.versions;
        let written = self.engine.with(|database, times| {
            if times != self.opened {
                // While it was closed another process may have had it.
                let version = tables::last_version(database)?.max(versions.version);
                (versions, self.opened) = (Versions { version, reserved: version }, times);
            }
            write(database, group, &mut versions)
        });
        // Also where it failed: a version is never given twice.
        self.versions.version = versions.version;
        if written.is_ok() {
            self.versions.reserved = versions.reserved;
        }
        match &written {
            Ok(_) => self.full = None,
            Err(failure) if failure.case == Case::Full => self.full = Some(failure.clone()),
            Err(_) => {}
        }
        written
    }

    /// Fails where the disk was full and has no more room by now than this group may need: finding out by writing would mean opening the file anew, for
    /// which all readers wait. Deletions are always tried, since they make room.
    fn expect_room(&self, group: &[Request]) -> Result<(), Failure> {
        let Some(full) = &self.full else { return Ok(()) };
        if group.iter().all(|request| matches!(request.wish, Wish::Delete { .. })) {
            return Ok(());
        }
        let needed = group.iter().map(|request| request.bytes() as u64).sum::<u64>() * 2 + ROOM_BESIDE;
        let (size, free) = crate::health::disk::room(self.engine.place().path());
        if size > 0 && free < needed { Err(full.clone()) } else { Ok(()) }
    }
}

/// Writes a group in one transaction, and waits for the disk: once, as redb does by itself (one `fsync`, checksums over what it covers).
///
/// `set_quick_repair` would keep beside each commit what redb needs to open the file after a kill without reading it. Measured with a million entries of
/// 150 bytes (544 MB), on a disk that takes 0.15 ms for an `fsync`:
///
/// | | one save | opening after a kill |
/// |---|--:|--:|
/// | as it is here | 0.22 ms | 480 ms; of 100,000 entries 37 ms, of 10,000 4 ms |
/// | `set_two_phase_commit` | 0.35 ms | as long |
/// | `set_quick_repair`, which needs two phases | 0.44 ms | 0.7 ms |
///
/// Each save would take twice as long, to save some milliseconds of a rare opening; a store of a million entries is not what this is made for. After a clean
/// end the file is opened in a millisecond either way.
///
/// Also tried: writing the last version down with each group made a save 3 % slower; looking out for company for a moment before waiting for it gained nothing.
///
/// A log beside the file, to which each group is appended in one piece before the database has it in memory, makes the wait for the disk a third as long (one page
/// 0.06 ms, five that lie apart 0.18 ms): one writer was then 1.3 to 1.5 times as slow as SQLite rather than 2.6 times, and sixteen 4.7 times as fast rather than
/// twice. It is not there: of two files one alone may be copied, moved or removed, and a second recovery must be trusted as much as the first.
fn write(database: &Database, group: &[Request], Versions { version, reserved }: &mut Versions) -> Result<Outcomes, Failure> {
    let writing = tables::begin(database)?;
    let before = *version;
    let outcomes = {
        let mut tables = Tables { records: writing.open_table(RECORDS)?, parts: None, writing: &writing, version };
        group
            .iter()
            .map(|request| tables.apply(request).map_err(|failure| failure.at(&request.key)))
            .collect::<Result<Outcomes, Failure>>()?
    };
    if *version == before {
        // Nothing was changed, so there is nothing to wait for.
        writing.abort()?;
        return Ok(outcomes);
    }
    if *version > *reserved {
        *reserved = *version + VERSIONS;
        tables::set_version(&writing, *reserved)?;
    }
    tables::commit(writing)?;
    Ok(outcomes)
}

/// The tables while a group is written.
struct Tables<'t> {
    records: Table<'t, &'static [u8], &'static [u8]>,
    /// Only opened where there are large values.
    parts: Option<Table<'t, (u64, u32), &'static [u8]>>,
    writing: &'t WriteTransaction,
    version: &'t mut u64,
}

impl<'t> Tables<'t> {
    fn apply(&mut self, request: &Request) -> Result<Result<u64, StoreError>, Failure> {
        let key = &request.key;
        match &request.wish {
            Wish::Put { value, checksum, content_type, modified, expected } => {
                if let Expected::Version(expected) = *expected {
                    let found = tables::version_of(&self.records, key.as_bytes())?;
                    if found != expected {
                        return Ok(Err(StoreError::Conflict { key: key.clone(), expected, found }));
                    }
                }
                *self.version += 1;
                let record = record::write(key.as_bytes(), *self.version, *modified, content_type, value, *checksum);
                let old = self.records.insert(key.as_bytes(), &record[..])?.and_then(|old| parts_of(key, old.value()));
                self.remove_parts(old)?;
                if value.len() > record::INLINE {
                    self.write_parts(value)?;
                }
                Ok(Ok(*self.version))
            }
            Wish::Delete { expected } => {
                if let Some(expected) = *expected
                    && tables::version_of(&self.records, key.as_bytes())? != Some(expected)
                {
                    return Ok(Ok(0));
                }
                let removed = self.records.remove(key.as_bytes())?.map(|old| parts_of(key, old.value()));
                let Some(old) = removed else {
                    // Surely not there, or else a failure.
                    return tables::version_of(&self.records, key.as_bytes()).map(|_| Ok(0));
                };
                *self.version += 1;
                self.remove_parts(old)?;
                Ok(Ok(*self.version))
            }
        }
    }

    fn write_parts(&mut self, value: &[u8]) -> Result<(), Failure> {
        let version = *self.version;
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
fn parts_of(key: &str, record: &[u8]) -> Option<(u64, u32)> {
    let record = record::read(key.as_bytes(), record).ok()?;
    record.value.is_none().then(|| (record.version, record.value_length.div_ceil(PART) as u32))
}

#[cfg(test)]
mod tests {
    use super::super::place::Place;
    use super::*;

    #[test]
    fn a_file_that_another_process_had_meanwhile_is_given_no_version_twice() {
        let folder = std::env::temp_dir().join(format!("upright-writer-{}", std::process::id()));
        let engine = Arc::new(Engine::open(Place::File(folder.join("store.redb"))).unwrap());
        let mut writer = Writer::new(Arc::clone(&engine), Watchers::default(), 0);
        let mut put = |key: &str| {
            let wish = Wish::Put {
                value: Bytes::new(),
                checksum: record::checksum(&[]),
                content_type: String::new(),
                modified: SystemTime::UNIX_EPOCH,
                expected: Expected::Anything,
            };
            let (answer, mut answered) = oneshot::channel();
            writer.write(vec![Request { key: key.into(), wish, answer }]);
            answered.try_recv().unwrap().unwrap()
        };
        assert_eq!([put("a"), put("b")], [1, 2]);
        let by_another = engine.with(|database, _| {
            let writing = tables::begin(database)?;
            tables::set_version(&writing, 5000)?;
            tables::commit(writing)
        });
        by_another.unwrap();
        engine.reopen(0).unwrap();
        assert_eq!([put("a"), put("b")], [5001, 5002]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
