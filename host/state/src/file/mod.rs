//! A SQLite file with a write-ahead log, for all programs of this machine. A killed process loses no confirmed write.

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

use crate::clock::{SharedClock, SystemClock};
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

/// Keeps values in one SQLite database that this machine's processes share. Cloning shares the store.
///
/// - A confirmed write is on the disk. Concurrent writes share one wait.
/// - Reads run on the calling thread and wait for no writer.
/// - A watcher sees every process's writes. Nothing polls.
/// - Each read checks its value. Damage is a [`StoreError::Corrupt`]; other values stay readable.
/// - A full disk is a [`StoreError::Full`]; reading still works, and writing does once space is free.
/// - A rejected file is never changed, deleted or replaced.
///
/// The files `-wal` and `-shm` belong to the open database; `-bell` wakes other processes and may be deleted. Dropping
/// the last clone blocks until queued writes are on the disk.
///
/// A [forked](https://www.sqlite.org/howtocorrupt.html) child gets [`StoreError::Forked`]: SQLite's locks stay with the
/// parent.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), upright::store::StoreError> {
/// use upright::store::{FileStore, Store};
///
/// # let folder = std::env::temp_dir().join(format!("upright-file-store-{}", std::process::id()));
/// let path = folder.join("state/state.db");
/// let store = FileStore::open(&path)?;
/// let version = store.put("greeting", "hello".into(), "text/plain").await?;
///
/// // Here or in another process:
/// let other = FileStore::open(&path)?;
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
    /// `None` only during [`Drop`].
    open: Option<Open>,
    clock: SharedClock,
}

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
    /// Opens the store at this path, or makes it with its folders, for their owner alone (0700, the file 0600). `clock`
    /// dates entries.
    ///
    /// Blocks for one or two milliseconds; after a kill until SQLite has read its log, about 16 MiB at most.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::OldFormat`], [`StoreError::Newer`], [`StoreError::Damaged`],
    /// [`StoreError::Full`], [`StoreError::NotWritable`], [`StoreError::NetworkFileSystem`], [`StoreError::Forked`],
    /// [`StoreError::Unavailable`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with_clock(path, SystemClock::shared())
    }

    /// [`FileStore::open`] with a clock that dates entries.
    ///
    /// # Errors
    /// Those of [`FileStore::open`].
    #[doc(hidden)]
    pub fn open_with_clock(path: impl AsRef<Path>, clock: SharedClock) -> Result<Self, StoreError> {
        let named = path.as_ref();
        let store_error = |failure: Failure| failure.store_error(named);
        // The program may change its folder later.
        let path = std::path::absolute(named).map_err(|error| store_error(error.into()))?;
        let process = InThisProcess::enter().map_err(store_error)?;
        let connection = connection::open_or_make(&path).map_err(store_error)?;
        let readers = Arc::new(Readers::new(&path));
        let feed = Arc::new(Feed::new(&path, Arc::clone(&readers)));
        let (queue, requests) = mpsc::channel(writer::QUEUE);
        let writer = Writer::new(connection, &path, Arc::clone(&feed), Arc::clone(&clock));
        let writer = thread::Builder::new().name("upright-store".into()).spawn(move || writer.run(requests));
        let writer = writer.map_err(|error| store_error(error.into()))?;
        Ok(Self { shared: Arc::new(Shared { path, process, open: Some(Open { readers, feed, queue, writer }), clock }) })
    }

    /// Absolute path of the database.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    fn open_here(&self) -> Result<&Open, StoreError> {
        self.shared.process.check().map_err(|failure| self.store_error(&failure))?;
        self.shared.open.as_ref().ok_or(StoreError::Closed)
    }

    fn store_error(&self, failure: &Failure) -> StoreError {
        failure.store_error(self.path())
    }

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
        self.open_here()?.readers.with(work).map_err(|failure| self.store_error(&failure))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        if self.process.check().is_err() {
            // Threads and log are the parent's.
            std::mem::forget(open);
            return;
        }
        let Open { readers, feed, queue, writer } = open;
        feed.end();
        // The thread ends after the queued writes.
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
        Box::pin(ready(self.open_here().and_then(|open| open.feed.watch(prefix).map_err(|failure| self.store_error(&failure)))))
    }

    fn is_on_this_machine(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
