//! The thread that writes.
//!
//! What costs time in saving is waiting for the disk, not writing. So one thread takes all that waits into one transaction, waits for the disk once, and
//! answers each. Whoever comes alone is not kept waiting for company: while the disk is busy, the company gathers by itself.

use super::block::{Block, Change};
use super::engine::Engine;
use super::failure::{Case, Failure};
use super::group::Tables;
use super::place::Opened;
use super::{record, tables};
use crate::store::watch::Watchers;
use crate::store::{ChangeKind, StoreError};
use bytes::Bytes;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot};

/// So many requests wait for the thread; who comes later waits for room.
pub(super) const QUEUE: usize = 1024;

/// So many bytes of values go into one group, or one value alone: the rest waits for the next.
const GROUP_BYTES: usize = 32 << 20;

/// Room that a group may need on the disk beyond its values: pages on the way to the records, and those that readers still hold.
const ROOM_BESIDE: u64 = 1 << 20;

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
    /// The last version that was given, or may have been.
    version: u64,
    /// How often the file had been opened anew when it was last written.
    opened: u64,
    /// The disk was full when it was last written to.
    full: Option<Failure>,
}

/// How each request of a group ended: the version that it made, or why it made none.
type Outcomes = Vec<Result<u64, StoreError>>;

impl Writer {
    pub(super) fn new(engine: Arc<Engine>, watchers: Watchers, version: u64) -> Self {
        Self { engine, watchers, version, opened: 0, full: None }
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

    /// Leaves one file that has everything. Where that fails, the next opening does it.
    fn tidy(&self) {
        let _ = self.engine.with(|opened, _| {
            let mut committing = opened.committing();
            committing.ready()?;
            committing.end(&opened.database, self.version.max(opened.version))
        });
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
                self.watchers.tell(crate::store::Change { key: request.key.clone(), version, kind });
            }
        }
        for (request, outcome) in group.into_iter().zip(outcomes) {
            let _ = request.answer.send(outcome);
        }
    }

    fn attempt(&mut self, group: &[Request]) -> Result<Outcomes, Failure> {
        self.expect_room(group)?;
        let mut version = self.version;
        let written = self.engine.with(|opened, times| {
            if times != self.opened {
                // While it was closed another process may have had it.
                (version, self.opened) = (opened.version.max(version), times);
            }
            write(opened, group, &mut version)
        });
        // Also where it failed: a version is never given twice.
        self.version = version;
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

/// Writes a group in one transaction, and waits for the disk: once.
///
/// One save by one writer, on a disk that takes 0.1 ms for a page, beside SQLite's 0.145 ms (a log of its own, `synchronous=FULL`, no other thread): in the
/// transaction 0.006 ms, the log 0.1, the commit in memory 0.008, and what is left of 0.16 for waking two threads. Without the log it is 0.24.
///
/// Also tried, each with the others in turn in one run: answering when it is in the log, before the commit in memory (0.166 ms instead of 0.159: the thread that is woken
/// finds the processor taken); looking for the next request for 30 µs before sleeping (0.166); writing on the thread of whoever asks would save the waking, and block
/// whatever else that thread has to do for as long as the disk takes.
fn write(opened: &Opened, group: &[Request], version: &mut u64) -> Result<Outcomes, Failure> {
    let mut committing = opened.committing();
    committing.ready()?;
    let writing = tables::begin(&opened.database)?;
    let mut block = Block::new();
    let before = *version;
    let outcomes = {
        let mut tables = Tables::open(&writing)?;
        let mut outcome = |request: &Request| apply(request, &mut tables, &mut block, version).map_err(|failure| failure.at(&request.key));
        group.iter().map(&mut outcome).collect::<Result<Outcomes, Failure>>()?
    };
    if *version == before {
        // Nothing was changed, so there is nothing to wait for.
        writing.abort()?;
    } else {
        committing.commit(writing, block, *version)?;
    }
    Ok(outcomes)
}

fn apply(request: &Request, tables: &mut Tables<'_>, block: &mut Block, version: &mut u64) -> Result<Result<u64, StoreError>, Failure> {
    let key = request.key.as_bytes();
    match &request.wish {
        Wish::Put { value, checksum, content_type, modified, expected } => {
            if let Expected::Version(expected) = *expected {
                let found = tables.version_of(key)?;
                if found != expected {
                    return Ok(Err(StoreError::Conflict { key: request.key.clone(), expected, found }));
                }
            }
            *version += 1;
            let record = record::write(key, *version, *modified, content_type, value, *checksum);
            let apart: &[u8] = if value.len() > record::INLINE { value } else { &[] };
            let change = Change::Put { key, record: &record, apart };
            block.push(change);
            tables.make(change)?;
        }
        Wish::Delete { expected } => {
            if let Some(expected) = *expected
                && tables.version_of(key)? != Some(expected)
            {
                return Ok(Ok(0));
            }
            let change = Change::Delete { key, version: *version + 1 };
            if !tables.make(change)? {
                // Surely not there, or else a failure.
                tables.version_of(key)?;
                return Ok(Ok(0));
            }
            block.push(change);
            *version += 1;
        }
    }
    Ok(Ok(*version))
}

#[cfg(test)]
mod tests {
    use super::super::place::Place;
    use super::super::record::About;
    use super::*;
    use redb::Durability;
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("upright-writer-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }

        fn engine(&self) -> Arc<Engine> {
            Arc::new(Engine::open(Place::File(self.0.join("store.redb"))).unwrap())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn put(writer: &mut Writer, key: &str) -> u64 {
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
    }

    #[test]
    fn a_file_that_another_process_had_meanwhile_is_given_no_version_twice() {
        let folder = Folder::new("another");
        let engine = folder.engine();
        let mut writer = Writer::new(Arc::clone(&engine), Watchers::default(), 0);
        assert_eq!([put(&mut writer, "a"), put(&mut writer, "b")], [1, 2]);
        let by_another = engine.with(|opened, _| {
            let writing = tables::begin(&opened.database)?;
            tables::set_about(&writing, &About { version: 5000, ..About::default() })?;
            tables::commit(writing, Durability::Immediate)
        });
        by_another.unwrap();
        engine.reopen(0).unwrap();
        assert_eq!([put(&mut writer, "a"), put(&mut writer, "b")], [5001, 5002]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_put_in_its_place_meanwhile_is_not_taken_for_it() {
        let folder = Folder::new("replaced");
        let engine = folder.engine();
        std::fs::rename(folder.0.join("store.redb"), folder.0.join("renamed.redb")).unwrap();
        let other = folder.engine();
        put(&mut Writer::new(Arc::clone(&other), Watchers::default(), 0), "theirs");
        drop(other);
        let failure = engine.reopen(0).unwrap_err();
        assert_eq!(failure.case, Case::Unavailable, "{failure:?}");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_given_up_and_what_it_had_is_kept() {
        let folder = Folder::new("given-up");
        let engine = folder.engine();
        let mut writer = Writer::new(Arc::clone(&engine), Watchers::default(), 0);
        (0..30).for_each(|number| assert_eq!(put(&mut writer, &number.to_string()), number + 1));
        let log = folder.0.join("store.redb-wal");
        assert!(log.exists());
        let broken = engine.with(|opened, _| {
            opened.committing().break_the_log();
            Ok(())
        });
        broken.unwrap();
        assert_eq!([put(&mut writer, "after"), put(&mut writer, "that")], [31, 32]);
        assert!(!log.exists(), "nobody reads it any more");
        // As after a kill: the database alone has everything, on the disk.
        std::fs::copy(folder.0.join("store.redb"), folder.0.join("copy.redb")).unwrap();
        let copy = Engine::open(Place::File(folder.0.join("copy.redb"))).unwrap();
        assert_eq!(copy.with(|opened, _| tables::list(&opened.database, "")).unwrap().len(), 32);
    }
}
