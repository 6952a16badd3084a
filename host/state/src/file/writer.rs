//! Writes in groups on one thread: all waiting requests share one wait for the disk. A single request is not delayed.
//!
//! A single save wakes two threads: 0.1 of 0.4 ms, on a virtual machine with two processors and a 0.2 ms disk. Writing
//! on the calling thread takes as long as SQLite alone, but blocks it. Spinning for 30 or 150 µs before sleeping gains
//! nothing.

use super::bell::{self, Bell};
use super::connection::still_known;
use super::entries::{self, Put};
use super::failure::{Case, Failure};
use super::feed::Feed;
use crate::clock::SharedClock;
use bytes::Bytes;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot};
use upright_core::store::{Change, ChangeKind, StoreError};

/// Maximum number of queued requests; later callers wait.
pub(super) const QUEUE: usize = 1024;

/// Maximum size of a group's values, bytes. A larger value is written alone.
const GROUP_BYTES: usize = 32 << 20;

pub(super) struct Request {
    pub(super) key: String,
    pub(super) wish: Wish,
    /// Receives the new version; 0 if nothing was deleted.
    pub(super) answer: oneshot::Sender<Result<u64, StoreError>>,
}

pub(super) enum Wish {
    Put { value: Bytes, crc32: u32, content_type: String, modified: SystemTime, expected: Expected },
    Delete { expected: Option<u64> },
}

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
    connection: Connection,
    path: PathBuf,
    feed: Arc<Feed>,
    bell: Bell,
    clock: SharedClock,
}

type Outcomes = Vec<Result<u64, StoreError>>;

impl Writer {
    pub(super) fn new(connection: Connection, path: &Path, feed: Arc<Feed>, clock: SharedClock) -> Self {
        Self { connection, path: path.to_owned(), feed, bell: Bell::new(bell::path_for(path)), clock }
    }

    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        // A process killed between commit and ring woke nobody.
        self.bell.ring(self.clock.wall());
        let mut waiting = Vec::new();
        while !waiting.is_empty() || queue.blocking_recv_many(&mut waiting, QUEUE) > 0 {
            let mut bytes = 0;
            let fitting = waiting.iter().take_while(|request| {
                bytes += request.bytes();
                bytes <= GROUP_BYTES
            });
            let group = fitting.count().max(1);
            self.write(waiting.drain(..group).collect());
        }
    }

    fn write(&mut self, group: Vec<Request>) {
        match self.attempt(&group).or_else(|failure| self.attempt_with_room(failure, &group)) {
            Ok(outcomes) => {
                for (request, outcome) in group.into_iter().zip(outcomes) {
                    // The caller may be gone.
                    let _ = request.answer.send(outcome);
                }
            }
            // One request may be too large or hit a damaged page.
            Err(Failure { case: Case::Full | Case::Damaged, .. }) if group.len() > 1 => {
                group.into_iter().for_each(|request| self.write(vec![request]));
            }
            Err(failure) => group.into_iter().for_each(|request| drop(request.answer.send(Err(failure.store_error(&self.path))))),
        }
    }

    fn attempt(&mut self, group: &[Request]) -> Result<Outcomes, Failure> {
        let Committed { outcomes, before, changes } = commit(&mut self.connection, group)?;
        if !changes.is_empty() {
            self.feed.committed(&self.connection, before, &changes);
            self.bell.ring(self.clock.wall());
        }
        Ok(outcomes)
    }

    /// On a full disk, truncating the log may free space.
    fn attempt_with_room(&mut self, failure: Failure, group: &[Request]) -> Result<Outcomes, Failure> {
        if failure.case != Case::Full || self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).is_err() {
            return Err(failure);
        }
        self.attempt(group)
    }
}

struct Committed {
    outcomes: Outcomes,
    /// Last version before the group.
    before: u64,
    changes: Vec<Change>,
}

/// Writes a group with one wait for the disk. Reads the next version in the transaction, so it is unique.
fn commit(connection: &mut Connection, group: &[Request]) -> Result<Committed, Failure> {
    let transaction = Writing::begin(connection)?;
    still_known(transaction.0)?;
    let before = entries::last_version(transaction.0)?;
    let mut changes = Vec::new();
    let mut apply = |request: &Request| {
        let version = before + changes.len() as u64 + 1;
        let outcome = apply(transaction.0, request, version).map_err(|failure| failure.at(&request.key))?;
        Ok(outcome.map(|change| match change {
            None => 0,
            Some(kind) => {
                changes.push(Change { key: request.key.clone(), version, kind });
                version
            }
        }))
    };
    let outcomes = group.iter().map(&mut apply).collect::<Result<Outcomes, Failure>>()?;
    if !changes.is_empty() {
        transaction.commit()?;
    }
    Ok(Committed { outcomes, before, changes })
}

/// Rolls back unless committed. Caches its statements; rusqlite's own transaction parses them each time.
struct Writing<'c>(&'c Connection);

impl<'c> Writing<'c> {
    fn begin(connection: &'c Connection) -> Result<Self, Failure> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self(connection))
    }

    fn commit(self) -> Result<(), Failure> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // After a severe error SQLite has rolled back.
        if !self.0.is_autocommit() {
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}

/// `None` if there was nothing to delete.
fn apply(connection: &Connection, request: &Request, version: u64) -> Result<Result<Option<ChangeKind>, StoreError>, Failure> {
    let key = &request.key;
    match &request.wish {
        Wish::Put { value, crc32, content_type, modified, expected } => {
            if let Expected::Version(expected) = *expected {
                let found = entries::version_of(connection, key)?;
                if found != expected {
                    return Ok(Err(StoreError::Conflict { key: key.clone(), expected, found }));
                }
            }
            entries::put(connection, key, version, &Put { value, crc32: *crc32, content_type, modified: *modified })?;
            Ok(Ok(Some(ChangeKind::Put)))
        }
        Wish::Delete { expected } => {
            if expected.is_some() && entries::version_of(connection, key)? != *expected {
                return Ok(Ok(None));
            }
            Ok(Ok(entries::delete(connection, key, version)?.then_some(ChangeKind::Deleted)))
        }
    }
}
