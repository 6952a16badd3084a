//! Keeps decisions with their questions, to inspect or to put to another policy.
//!
//! A [`Journal`] keeps the latest in memory and optionally all in files, for `upright replay` ([`crate::replay`]).
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
//! Callers never wait: a thread empties their queue. Decisions lost to a full queue or disk are counted, and the file
//! shows where.
//!
//! Prompts, paths, keys and model names are [`masked`], unless [`JournalText::Whole`] is set.

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

const QUEUE: usize = 8192;
const REMEMBERED: usize = 256;
const FILE_LIMIT: u64 = 16 << 20;
const TOTAL_LIMIT: u64 = 128 << 20;
const SHORTEST_FILE: u64 = 64 << 10;

/// How much of texts and names is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JournalText {
    /// Words that the built-in classifier knows; numbers for names.
    #[default]
    Masked,
    /// Everything, perhaps prompts and secrets: failures quote requests.
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
    /// The size limits are too small.
    #[error("journal limits: {file} bytes a file, {total} in all; expected at least {SHORTEST_FILE} a file and twice a file in all")]
    Limits {
        /// Maximum bytes of a file.
        file: u64,
        /// Maximum bytes of all files.
        total: u64,
    },
    /// The writing thread cannot be started.
    #[error("cannot start the thread that writes the journal: {source}; expected a system that allows one more thread")]
    Thread {
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Counts of decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct JournalCounts {
    /// Number of decisions made.
    pub recorded: u64,
    /// Number written to a file.
    pub written: u64,
    /// Number missing in the files, for a slow or full disk.
    pub lost: u64,
}

/// Builds a [`Journal`].
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
    /// Sets how much text is kept; [`JournalText::Masked`] by default.
    #[must_use]
    pub fn text(mut self, text: JournalText) -> Self {
        self.text = text;
        self
    }

    /// Number of decisions kept in memory, at least 1; 256 by default.
    #[must_use]
    pub fn remember(mut self, decisions: usize) -> Self {
        self.remembered = decisions.max(1);
        self
    }

    /// Maximum number of unwritten decisions, at least 1; 8,192 by default.
    #[must_use]
    pub fn queue(mut self, decisions: usize) -> Self {
        self.queue = decisions.max(1);
        self
    }

    /// Also writes decisions to this file, as JSON Lines, within milliseconds. Full files become `journal.jsonl.1` (the
    /// newest) and so on. One program per file.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().to_owned());
        self
    }

    /// Maximum bytes of a file, at least 64 KiB; 16 MiB by default.
    #[must_use]
    pub fn file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = bytes;
        self
    }

    /// Maximum bytes of all files, at least twice the limit of one; 128 MiB by default.
    #[must_use]
    pub fn total_limit(mut self, bytes: u64) -> Self {
        self.total_limit = bytes;
        self
    }

    /// Builds the journal.
    ///
    /// # Errors
    /// [`JournalError::Open`], [`JournalError::Limits`] or [`JournalError::Thread`].
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
            // Without a file, the queue holds the recent decisions.
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

/// Keeps decisions. Clones share it; dropping the last completes the file.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    writer: Option<Arc<Writer>>,
}

struct Shared {
    text: JournalText,
    queue: ArrayQueue<Box<Decision>>,
    to_file: bool,
    recorded: AtomicU64,
    /// Not reported in the file yet.
    dropped: AtomicU64,
    /// Never locked by a deciding caller.
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
    /// A builder with the defaults.
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

    /// Up to `most` of the latest decisions, oldest first.
    pub fn recent(&self, most: usize) -> Vec<Entry> {
        if self.is_anothers() {
            return Vec::new();
        }
        let mut kept = self.shared.kept();
        self.shared.empty_queue(&mut kept);
        let skipped = kept.recent.len().saturating_sub(most);
        kept.recent.iter().skip(skipped).cloned().collect()
    }

    /// Writes all decisions so far at once. Blocks.
    pub fn flush(&self) {
        if self.is_anothers() {
            return;
        }
        self.shared.empty_queue(&mut self.shared.kept());
    }

    /// The counts so far.
    pub fn counts(&self) -> JournalCounts {
        if self.is_anothers() {
            return JournalCounts::default();
        }
        let kept = self.shared.kept();
        let (written, lost) = kept.files.as_ref().map_or((0, 0), |files| (files.written, files.lost));
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        JournalCounts { recorded: self.shared.recorded.load(Ordering::Relaxed), written, lost: lost + dropped }
    }
}

impl Journal {
    /// Whether this process was forked from the one whose file this is. It then writes nothing.
    fn is_anothers(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.is_anothers())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.is_anothers() {
            // The parent still has to write its queue: nothing of it may be written here.
            std::mem::forget(Arc::clone(&self.shared));
        }
    }
}

impl Recorder for Journal {
    fn record(&self, decision: Decision) {
        let Shared { queue, to_file, recorded, dropped, .. } = &*self.shared;
        recorded.fetch_add(1, Ordering::Relaxed);
        let decision = Box::new(decision);
        if !to_file {
            // Replaces the oldest.
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

    /// Returns the number taken: at most one queue length, or fast callers could keep this thread busy for ever.
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
