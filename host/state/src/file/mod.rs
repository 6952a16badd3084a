//! A store in a file, for every program of this machine at once: SQLite with a write-ahead log.
//!
//! A process that dies between two writes must leave neither half a value nor an older one than it answered for. So each write is answered when it is on the
//! disk, and not before. That takes as long as the disk does; writers that come together share one wait.

mod bell;
mod connection;
mod entries;
mod failure;
mod feed;
mod maintenance;
mod place;
mod process;
mod readers;
mod writer;

use crate::clock::SharedClock;
use bytes::Bytes;
use failure::Failure;
use feed::Feed;
pub use maintenance::{StoreFile, StoreInfo, StoredKind};
use process::InThisProcess;
use readers::Readers;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};
use upright_core::store::{Changes, Entry, Listed, Store, StoreError, StoreFuture, check_key, check_value};
use writer::{Expected, Request, Wish, Writer};

/// Keeps values in one SQLite database, which any number of processes of this machine may have open at once. Cloning shares it.
///
/// - A write that was answered is on the disk. Writes that wait at the same time share one wait for it.
/// - Reads run on the calling thread and wait for no writer.
/// - A watcher sees what every process writes. Nothing polls: a program that is idle wakes nobody.
/// - Each value is checked when it is read. A damaged one is a [`StoreError::Corrupt`], and the others stay readable.
/// - A full disk is a [`StoreError::Full`]: what was saved before stays readable, and writing works again when there is room.
/// - A file that is refused is never changed, deleted or replaced.
///
/// Two files lie beside the database while it is open, `-wal` and `-shm`; they belong to it. A third, `-bell`, wakes other processes and may be deleted.
/// Dropping the last clone waits for the writes that are queued, which blocks for as long as the disk takes. A process that is killed instead loses nothing
/// that was answered.
///
/// A child that was [forked](https://www.sqlite.org/howtocorrupt.html) from a process with an open store gets [`StoreError::Forked`]: SQLite's locks stay with
/// the parent.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), upright::store::StoreError> {
/// use upright::clock::SystemClock;
/// use upright::store::{FileStore, Store};
///
/// # let folder = std::env::temp_dir().join(format!("upright-file-store-{}", std::process::id()));
/// let path = folder.join("state/state.db");
/// let store = FileStore::open(&path, SystemClock::shared())?;
/// let version = store.put("greeting", "hello".into(), "text/plain").await?;
///
/// // Here or in another process:
/// let other = FileStore::open(&path, SystemClock::shared())?;
/// let entry = other.get("greeting").await?.unwrap();
/// assert_eq!((&entry.value[..], entry.version), (&b"hello"[..], version));
/// # drop((store, other));
/// # let _ = std::fs::remove_dir_all(folder);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FileStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    process: InThisProcess,
    /// None once it was given up, in [`Drop`] alone.
    open: Option<Open>,
    clock: SharedClock,
}

/// The parts that must not be touched after a fork.
struct Open {
    readers: Arc<Readers>,
    feed: Arc<Feed>,
    queue: mpsc::Sender<Request>,
    writer: JoinHandle<()>,
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "FileStore({:?})", self.path())
    }
}

impl FileStore {
    /// Opens the store at this path, or makes it, with the folders above it: for their owner alone (0700, the file 0600). Entries are dated by this clock.
    ///
    /// Blocks for a millisecond or two; after a kill for as long as SQLite takes to read its log, at most some 16 MiB.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::OldFormat`], [`StoreError::Newer`], [`StoreError::Damaged`], [`StoreError::Full`],
    /// [`StoreError::NotWritable`], [`StoreError::NetworkFileSystem`], [`StoreError::Forked`], and [`StoreError::Unavailable`] for anything else that the
    /// system refuses.
    pub fn open(path: impl AsRef<Path>, clock: SharedClock) -> Result<Self, StoreError> {
        let named = path.as_ref();
        let told = |failure: Failure| failure.told(named);
        // A program may go to another folder later, and what comes beside the file must not.
        let path = std::path::absolute(named).map_err(|error| told(error.into()))?;
        let process = InThisProcess::enter().map_err(told)?;
        let connection = connection::open_or_make(&path).map_err(told)?;
        let readers = Arc::new(Readers::new(&path));
        let feed = Arc::new(Feed::new(&path, Arc::clone(&readers)));
        let (queue, requests) = mpsc::channel(writer::QUEUE);
        let writer = Writer::new(connection, &path, Arc::clone(&feed), Arc::clone(&clock));
        let writer = thread::Builder::new().name("upright-store".into()).spawn(move || writer.run(requests));
        let writer = writer.map_err(|error| told(error.into()))?;
        Ok(Self { shared: Arc::new(Shared { path, process, open: Some(Open { readers, feed, queue, writer }), clock }) })
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    fn open_here(&self) -> Result<&Open, StoreError> {
        self.shared.process.check().map_err(|failure| self.told(&failure))?;
        self.shared.open.as_ref().ok_or(StoreError::Closed)
    }

    fn told(&self, failure: &Failure) -> StoreError {
        failure.told(self.path())
    }

    /// Has a change made by the thread that writes.
    async fn ask(&self, key: &str, wish: Wish) -> Result<u64, StoreError> {
        let queue = &self.open_here()?.queue;
        let (answer, answered) = oneshot::channel();
        let request = Request { key: key.to_owned(), wish, answer };
        queue.send(request).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    async fn write(&self, key: &str, expected: Expected, value: Bytes, content_type: &str) -> Result<u64, StoreError> {
        check_key(key)?;
        check_value(key, &value)?;
        let modified = self.shared.clock.wall();
        let crc32 = crc32fast::hash(&value);
        self.ask(key, Wish::Put { value, crc32, content_type: content_type.to_owned(), modified, expected }).await
    }

    async fn remove(&self, key: &str, expected: Option<u64>) -> Result<bool, StoreError> {
        check_key(key)?;
        Ok(self.ask(key, Wish::Delete { expected }).await? > 0)
    }

    fn read<T>(&self, work: impl FnOnce(&rusqlite::Connection) -> Result<T, Failure>) -> Result<T, StoreError> {
        self.open_here()?.readers.with(work).map_err(|failure| self.told(&failure))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        if self.process.check().is_err() {
            // The threads are the parent's, and closing the connections would meddle with the parent's log.
            std::mem::forget(open);
            return;
        }
        let Open { readers, feed, queue, writer } = open;
        feed.end();
        // The thread ends when it has written what is queued.
        drop(queue);
        let _ = writer.join();
        drop((feed, readers));
    }
}

impl Store for FileStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            check_key(key)?;
            self.read(|connection| entries::get(connection, key))
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(self.write(key, Expected::Anything, value, content_type))
    }

    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(self.write(key, Expected::Version(expected), value, content_type))
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(self.remove(key, None))
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool> {
        Box::pin(self.remove(key, Some(expected)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(async move { self.read(|connection| entries::list(connection, prefix)) })
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes> {
        Box::pin(ready(self.open_here().and_then(|open| open.feed.watch(prefix).map_err(|failure| self.told(&failure)))))
    }

    fn is_on_this_machine(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
