//! How a group of changes gets to the disk: by the log where there is one, else by the database itself.
//!
//! | a group | is answered when |
//! |---|---|
//! | one of the first eight | the database is on the disk: a program that saves once needs no log |
//! | a small one | it is in the log; the database has it in memory |
//! | a small one that finds the log full | the database is on the disk, from then on in a new epoch |
//! | a large one | the same |
//! | one that cannot be logged | the same, and for the next thousand there is no log |

use super::block::Block;
use super::engine::guarded;
use super::failure::{Case, Failure};
use super::log::Log;
use super::place::keep_name;
use super::record::About;
use super::tables;
use redb::{Database, Durability, WriteTransaction};
use std::fs;
use std::path::PathBuf;

/// So many groups are written to the disk before a log is begun.
const WITHOUT: u32 = 8;

/// So many are where a log cannot be had.
const AFTER_A_FAILURE: u32 = 1000;

/// Of a disk with less room than this a log takes nothing, bytes.
const ROOM: u64 = 16 << 20;

/// So many versions are reserved at once, so that not each group that goes to the disk need write the last one down: that would be another page. After a
/// kill they are left out.
const VERSIONS: u64 = 1024;

/// What is known of the file and of its log while it is open.
pub(super) struct Committing {
    /// Where the log is; none for a store in memory.
    path: Option<PathBuf>,
    log: Option<Log>,
    /// What the database says of itself on the disk.
    about: About,
    /// So many groups go to the disk before a log is begun.
    before_a_log: u32,
    /// A commit was begun, and it is not known how it ended: nothing may be added before the file is opened anew.
    unknown: bool,
}

impl Committing {
    pub(super) fn new(path: Option<PathBuf>, log: Option<Log>, about: About) -> Self {
        Self { path, log, about, before_a_log: WITHOUT, unknown: false }
    }

    /// Fails where the file must be opened anew first.
    pub(super) fn ready(&self) -> Result<(), Failure> {
        if self.unknown { Err(Failure::new(Case::Stale, "how its last commit ended is not known")) } else { Ok(()) }
    }

    /// Commits a group, of which this is the last version. It is on the disk afterwards.
    pub(super) fn commit(&mut self, writing: WriteTransaction, block: Block, version: u64) -> Result<(), Failure> {
        let Some(log) = self.log.as_mut().filter(|log| log.takes(&block)) else {
            return self.sync(writing, version);
        };
        let begin = log.end();
        if log.append(block).is_err() {
            return self.without_the_log(writing, version, begin);
        }
        self.unknown = true;
        let committed = guarded(|| tables::commit(writing, Durability::None));
        match &committed {
            Ok(()) => self.unknown = false,
            // Whoever waits for it is told that it failed, so it should not come back.
            Err(_) => drop(log.take_back(begin)),
        }
        committed
    }

    /// Commits to the disk, and begins a log or begins it anew: what is in it stands on another state from then on.
    fn sync(&mut self, mut writing: WriteTransaction, version: u64) -> Result<(), Failure> {
        self.unknown = true;
        if self.log.as_ref().is_some_and(|log| !log.is_there()) {
            (self.log, self.before_a_log) = (None, 0);
        }
        if self.log.is_none() {
            self.log = self.new_log();
        }
        let mut about = self.about;
        about.epochs = self.log.as_ref().map_or(about.epochs.ended(), |log| log.next(about.epochs));
        if about.epochs != self.about.epochs || version > about.version {
            about.version = version + VERSIONS;
            tables::set_about(&writing, &about)?;
        }
        // What redb needs to open the file after a kill without reading all of it. It doubles the wait: with a log that is rare, or the group is large anyway.
        writing.set_quick_repair(self.log.is_some());
        tables::commit(writing, Durability::Immediate)?;
        self.unknown = false;
        self.about = about;
        if let Some(log) = &mut self.log {
            log.begin(about.epochs.now);
        }
        Ok(())
    }

    /// A log that could not be written from here on is given up. What is in it stands on what is on the disk until this is.
    fn without_the_log(&mut self, writing: WriteTransaction, version: u64, begin: u64) -> Result<(), Failure> {
        let Some(mut log) = self.log.take() else { return self.sync(writing, version) };
        self.before_a_log = AFTER_A_FAILURE;
        if let Err(failure) = self.sync(writing, version) {
            // Perhaps it was written all the same, and whoever waits for it is told that it failed: so it should not come back, nor be tried again.
            let _ = log.take_back(begin);
            return Err(failure.meaning(Case::Stale, Case::Unavailable));
        }
        // One that stays is taken over some time.
        let _ = log.remove();
        Ok(())
    }

    /// A log, where it is time for one and it can be had.
    fn new_log(&mut self) -> Option<Log> {
        let path = self.path.as_ref()?;
        if self.before_a_log > 0 {
            self.before_a_log -= 1;
            return None;
        }
        self.before_a_log = AFTER_A_FAILURE;
        // The last room is for values.
        let (size, free) = crate::health::disk::room(path);
        if size > 0 && free < ROOM {
            return None;
        }
        // A log whose name is lost with the power would be missed.
        let log = Log::create(path.clone(), self.about.epochs).and_then(|log| Ok(keep_name(path).map(|()| log)?));
        log.inspect_err(
            |failure| tracing::warn!(log = %path.display(), error = %failure.source(), "each save waits longer: there can be no log"),
        )
        .ok()
    }

    /// Brings the database to the disk and removes the log; versions that were reserved are given back. Where that fails, the next opening does it.
    pub(super) fn end(&mut self, database: &Database, version: u64) -> Result<(), Failure> {
        let about = About { version, epochs: self.about.epochs.ended() };
        if about == self.about {
            return Ok(());
        }
        let writing = tables::begin(database)?;
        tables::set_about(&writing, &about)?;
        self.unknown = true;
        tables::commit(writing, Durability::Immediate)?;
        (self.unknown, self.about) = (false, about);
        match (self.log.take(), &self.path) {
            (Some(log), _) => log.remove()?,
            // The empty one by which it was given up.
            (None, Some(path)) if fs::metadata(path).is_ok_and(|there| there.len() == 0) => fs::remove_file(path)?,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
impl Committing {
    /// From now on the log cannot be written.
    pub(super) fn break_the_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.break_it();
        }
    }
}
