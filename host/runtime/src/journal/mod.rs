//! What was decided, so that it can be looked at, and asked again.
//!
//! A program gave up on a call that should have gone on, or a new policy is to take over: what would it have done last week? Decisions are pure,
//! so the question is all that it takes to know. A [`Journal`] keeps each question of a [`PolicySlot`](upright_core::PolicySlot) with its answer: the latest in
//! memory, and if asked all of them in files, for `upright replay` to put to another policy ([`crate::replay`]).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::journal::Journal;
//! use upright::RecoveryManager;
//! use upright::policy::PolicyLifecycle;
//!
//! let journal = Journal::builder().file("/var/lib/my-program/journal.jsonl").build()?;
//! let manager = RecoveryManager::builder().policy(PolicyLifecycle::built_in().with_journal(journal.clone())).build()?;
//! // …
//! for entry in journal.recent(10) {
//!     println!("{} by {}: {:?}", entry.question.function(), entry.policy, entry.answer);
//! }
//! # Ok(()) }
//! ```
//!
//! A caller waits for nothing: it clones question and answer and puts them into a queue, which a thread empties. What does not fit is dropped and
//! counted, and the file tells how many are missing where. A disk that is full or gone fails no call.
//!
//! Prompts, paths, keys and the names of models are left out, unless [`JournalText::Whole`] asks for them: see [`masked`].

mod entry;
mod file;
mod mask;
mod writer;

pub(crate) use entry::breaker_after;
pub use entry::{Entry, Line};
pub use mask::masked;
pub use upright_core::policy::By;

use crate::clock::{Clock, SystemClock};
use crossbeam_queue::ArrayQueue;
use entry::into_entry;
use file::Files;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use upright_core::policy::{Decision, Recorder};
use writer::Writer;

/// So many decisions may wait for the thread that writes them, where nothing else is asked for.
const QUEUE: usize = 8192;
/// So many are kept in memory.
const REMEMBERED: usize = 256;
/// Length of a file, bytes.
const FILE_LIMIT: u64 = 16 << 20;
/// Length of all files together, bytes.
const TOTAL_LIMIT: u64 = 128 << 20;
/// No file may be asked to be shorter than this, bytes.
const SHORTEST_FILE: u64 = 64 << 10;

/// What is kept of texts and names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JournalText {
    /// Only the words that the built-in classifier knows; numbers for names.
    #[default]
    Masked,
    /// All of it. Failures quote requests, so prompts and secrets may be among it.
    Whole,
}

/// Why a journal cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be opened.
    #[error("cannot write the journal {}: {source}; expected a file in a writable folder", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The limits leave no room.
    #[error("a journal of {file} bytes a file and {total} in all; expected at least {SHORTEST_FILE} a file, and in all twice a file's")]
    Limits {
        /// Length of a file, bytes.
        file: u64,
        /// Length of all, bytes.
        total: u64,
    },
    /// There is no thread to write it.
    #[error("cannot start the thread that writes the journal: {source}; expected room for one thread more")]
    Thread {
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What became of the decisions so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct JournalCounts {
    /// Decisions that were made.
    pub recorded: u64,
    /// Of those, written to a file.
    pub written: u64,
    /// Of those, missing in the files: they came too fast, or the disk did not take them.
    pub lost: u64,
}

/// Describes a [`Journal`].
#[derive(Clone, Debug)]
pub struct JournalBuilder {
    text: JournalText,
    remembered: usize,
    queue: usize,
    file: Option<PathBuf>,
    file_limit: u64,
    total_limit: u64,
}

impl JournalBuilder {
    /// What is kept of texts and names; [`JournalText::Masked`] unless it is said.
    #[must_use]
    pub fn text(mut self, text: JournalText) -> Self {
        self.text = text;
        self
    }

    /// How many decisions are kept in memory, at least 1; 256 unless it is said.
    #[must_use]
    pub fn remember(mut self, decisions: usize) -> Self {
        self.remembered = decisions.max(1);
        self
    }

    /// How many decisions may wait to be written, at least 1; 8,192 unless it is said.
    #[must_use]
    pub fn queue(mut self, decisions: usize) -> Self {
        self.queue = decisions.max(1);
        self
    }

    /// Writes all decisions to this file too, as JSON Lines, each within a few milliseconds. A full one is renamed: `journal.jsonl.1` is
    /// the youngest of the older ones. One program writes to one file.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().to_owned());
        self
    }

    /// How long a file may become, and all files together, bytes; 16 MiB and 128 MiB unless it is said.
    #[must_use]
    pub fn limits(mut self, file: u64, total: u64) -> Self {
        (self.file_limit, self.total_limit) = (file, total);
        self
    }

    /// The journal.
    ///
    /// # Errors
    /// [`JournalError`] where the file cannot be written, the limits leave no room or no thread can be had.
    pub fn build(self) -> Result<Journal, JournalError> {
        let files = match self.file {
            Some(path) => {
                let (file, total) = (self.file_limit, self.total_limit);
                if file < SHORTEST_FILE || total / 2 < file {
                    return Err(JournalError::Limits { file, total });
                }
                let opened = Files::open(path.clone(), file, total, SystemClock.coarse());
                Some(opened.map_err(|source| JournalError::Open { path, source })?)
            }
            None => None,
        };
        let to_file = files.is_some();
        let shared = Arc::new(Shared {
            text: self.text,
            // Without a file the queue is itself what is remembered.
            queue: ArrayQueue::new(if to_file { self.queue } else { self.remembered }),
            to_file,
            recorded: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            kept: Mutex::new(Kept { recent: VecDeque::new(), remembered: self.remembered, files }),
        });
        let writer = if to_file {
            let writer = Writer::start(Arc::clone(&shared)).map_err(|source| JournalError::Thread { source })?;
            Some(Arc::new(writer))
        } else {
            None
        };
        Ok(Journal { shared, writer })
    }
}

/// Keeps decisions. Cloning shares it; when the last clone is dropped, all of it is in the file.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    /// None where there is no file.
    writer: Option<Arc<Writer>>,
}

struct Shared {
    text: JournalText,
    /// Boxed, since they are large and there are many places.
    queue: ArrayQueue<Box<Decision>>,
    to_file: bool,
    recorded: AtomicU64,
    /// Those that found the queue full, and of which the file does not tell yet.
    dropped: AtomicU64,
    /// Locked by whoever empties the queue and never by a caller that decides.
    kept: Mutex<Kept>,
}

struct Kept {
    recent: VecDeque<Entry>,
    remembered: usize,
    files: Option<Files>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Journal({:?}, {:?})", self.shared.text, self.counts())
    }
}

impl Journal {
    /// Describes a journal.
    pub fn builder() -> JournalBuilder {
        JournalBuilder {
            text: JournalText::default(),
            remembered: REMEMBERED,
            queue: QUEUE,
            file: None,
            file_limit: FILE_LIMIT,
            total_limit: TOTAL_LIMIT,
        }
    }

    /// The latest decisions, at most so many, oldest first.
    pub fn recent(&self, most: usize) -> Vec<Entry> {
        let mut kept = self.shared.kept();
        self.shared.empty_queue(&mut kept);
        let skipped = kept.recent.len().saturating_sub(most);
        kept.recent.iter().skip(skipped).cloned().collect()
    }

    /// Writes to the file all that was decided so far; without it that takes a few milliseconds. Blocks.
    pub fn flush(&self) {
        self.shared.empty_queue(&mut self.shared.kept());
    }

    /// What became of the decisions so far.
    pub fn counts(&self) -> JournalCounts {
        let kept = self.shared.kept();
        let (written, lost) = kept.files.as_ref().map_or((0, 0), |files| (files.written, files.lost));
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        JournalCounts { recorded: self.shared.recorded.load(Ordering::Relaxed), written, lost: lost + dropped }
    }
}

impl Recorder for Journal {
    /// Keeps a decision. Never waits.
    fn record(&self, decision: Decision) {
        let Shared { queue, to_file, recorded, dropped, .. } = &*self.shared;
        recorded.fetch_add(1, Ordering::Relaxed);
        let decision = Box::new(decision);
        if !to_file {
            // The oldest makes room.
            drop(queue.force_push(decision));
        } else if queue.push(decision).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(writer) = &self.writer {
            writer.wake();
        }
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is in the queue, at most as much as it can hold: callers that are faster must not hold up whoever empties it. Gives how many.
    fn empty_queue(&self, kept: &mut Kept) -> usize {
        let now = SystemClock.coarse();
        let taken = std::iter::from_fn(|| self.queue.pop()).take(self.queue.capacity());
        let mut count = 0;
        for record in taken {
            let entry = into_entry(*record, self.text == JournalText::Whole);
            if let Some(files) = &mut kept.files {
                files.push(&entry, now);
            }
            if kept.recent.len() >= kept.remembered {
                kept.recent.pop_front();
            }
            kept.recent.push_back(entry);
            count += 1;
        }
        if let Some(files) = &mut kept.files {
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                files.push_lost(dropped, now);
            }
            files.flush(now);
        }
        count
    }
}

#[cfg(test)]
mod tests;
