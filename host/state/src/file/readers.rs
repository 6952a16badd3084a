//! Connections that read, each for one thread at a time.

use super::connection;
use super::failure::Failure;
use crossbeam_queue::ArrayQueue;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// Connections that stay open for the next reader.
const KEPT: usize = 8;

pub(super) struct Readers {
    path: PathBuf,
    idle: ArrayQueue<Connection>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: ArrayQueue::new(KEPT) }
    }

    /// Reads with a connection that nobody else has meanwhile.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let connection = match self.idle.pop() {
            Some(idle) => idle,
            None => connection::reader(&self.path)?,
        };
        let answer = work(&connection);
        // Where there are enough it is closed.
        let _ = self.idle.push(connection);
        answer
    }
}
