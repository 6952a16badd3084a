//! Keeps read connections for reuse.

use super::connection;
use super::failure::Failure;
use crossbeam_queue::ArrayQueue;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// Maximum number of idle connections.
const KEPT: usize = 8;

pub(super) struct Readers {
    path: PathBuf,
    idle: ArrayQueue<Connection>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: ArrayQueue::new(KEPT) }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let connection = match self.idle.pop() {
            Some(idle) => idle,
            None => connection::reader(&self.path)?,
        };
        let answer = work(&connection);
        let _ = self.idle.push(connection);
        answer
    }
}
