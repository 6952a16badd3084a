//! A store in a file: what was saved is there again after a crash, a kill and a loss of power.
//!
//! A process that dies between two writes must leave neither half a value nor an older one than it was told was saved. So each write is answered when it is
//! on the disk, and not before. That takes as long as the disk does; many who write at once share one wait.

mod backend;
mod block;
mod commit;
mod engine;
mod failure;
mod group;
mod log;
mod pages;
mod place;
mod record;
mod tables;
mod writer;

use super::watch::Watchers;
use super::{Changes, Entry, Listed, Store, StoreError, StoreFuture, check_key, check_value};
use crate::clock::SharedClock;
use bytes::Bytes;
use engine::Engine;
use failure::Failure;
use place::Place;
use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};
use writer::{Expected, Request, Wish, Writer};

/// Keeps values in one file, by the embedded database redb, and while it is open in a log beside it, the file's name with `-wal`. Cloning shares it.
///
/// - A write that was answered is on the disk. Writes that wait at the same time share one wait for it.
/// - Reads run on the calling thread and wait for no writer.
/// - Each value is checked when it is read. A damaged one is a [`StoreError::Corrupt`], and the others stay readable.
/// - A full disk is a [`StoreError::Full`]: what was saved before stays readable, and writing works again when there is room.
/// - One process has the file at a time; a second one gets a [`StoreError::InUse`].
/// - No damaged file is ever changed, deleted or replaced.
///
/// Dropping the last clone waits for the writes that are queued, closes the file and removes the log, which blocks for some milliseconds. A process that is
/// killed instead loses nothing that was answered: the next opening takes in what the log has, so the two must stay together.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), upright::store::StoreError> {
/// use upright::clock::SystemClock;
/// use upright::store::{FileStore, Store};
///
/// # let folder = std::env::temp_dir().join(format!("upright-file-store-{}", std::process::id()));
/// let path = folder.join("state/store.redb");
/// let store = FileStore::open(&path, SystemClock::shared())?;
/// let version = store.put("greeting", "hello".into(), "text/plain").await?;
/// drop(store);
///
/// let again = FileStore::open(&path, SystemClock::shared())?;
/// let entry = again.get("greeting").await?.unwrap();
/// assert_eq!((&entry.value[..], entry.version), (&b"hello"[..], version));
/// # drop(again);
/// # let _ = std::fs::remove_dir_all(folder);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FileStore {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Engine>,
    /// None while the store is dropped.
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    watchers: Watchers,
    clock: SharedClock,
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "FileStore({:?})", self.path())
    }
}

impl FileStore {
    /// Opens the store at this path, or makes it, with the folders above it: for their owner alone (0700, the file 0600). Entries are dated by this clock.
    ///
    /// Blocks, for less than a millisecond after a clean end, and for some after a kill or a crash. After a kill while there is no log, as before the ninth save, redb reads the whole file once.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Damaged`], [`StoreError::LogLost`], [`StoreError::Newer`], [`StoreError::Full`], [`StoreError::NotWritable`], and
    /// [`StoreError::Unavailable`] for anything else that the system refuses.
    pub fn open(path: impl AsRef<Path>, clock: SharedClock) -> Result<Self, StoreError> {
        let path = path.as_ref();
        // A program may go to another folder later, and what comes beside the file must not.
        let absolute = std::path::absolute(path).map_err(|error| Failure::from(error).told(path))?;
        Self::at(Place::File(absolute), clock)
    }

    /// The same engine over memory, for tests: as fast as one, and gone with its last clone.
    ///
    /// # Errors
    /// Those of [`FileStore::open`], which are not to be expected here.
    pub fn in_memory(clock: SharedClock) -> Result<Self, StoreError> {
        Self::at(Place::Memory, clock)
    }

    fn at(place: Place, clock: SharedClock) -> Result<Self, StoreError> {
        let told = |failure: Failure| failure.told(place.path());
        let engine = Arc::new(Engine::open(place.clone()).map_err(told)?);
        let version = engine.with(|opened, _| Ok(opened.version)).map_err(told)?;
        let watchers = Watchers::default();
        let (queue, requests) = mpsc::channel(writer::QUEUE);
        let writer = Writer::new(Arc::clone(&engine), watchers.clone(), version);
        let writer = thread::Builder::new().name("upright-store".into()).spawn(move || writer.run(requests));
        let writer = writer.map_err(|error| told(error.into()))?;
        Ok(Self { shared: Arc::new(Shared { engine, queue: Some(queue), writer: Some(writer), watchers, clock }) })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.shared.engine.place().path()
    }

    fn told(&self, failure: &Failure) -> StoreError {
        failure.told(self.path())
    }

    /// Has a change made by the thread that writes.
    async fn ask(&self, key: &str, wish: Wish) -> Result<u64, StoreError> {
        let queue = self.shared.queue.as_ref().ok_or(StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { key: key.to_owned(), wish, answer };
        queue.send(request).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    async fn write(&self, key: &str, expected: Expected, value: Bytes, content_type: &str) -> Result<u64, StoreError> {
        check_key(key)?;
        check_value(key, &value)?;
        let modified = self.shared.clock.wall();
        let checksum = record::checksum(&value);
        self.ask(key, Wish::Put { value, checksum, content_type: content_type.to_owned(), modified, expected }).await
    }

    async fn remove(&self, key: &str, expected: Option<u64>) -> Result<bool, StoreError> {
        check_key(key)?;
        Ok(self.ask(key, Wish::Delete { expected }).await? > 0)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The thread ends when it has written what is queued; the engine is closed after it.
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Store for FileStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            check_key(key)?;
            self.shared.engine.with(|opened, _| tables::get(&opened.database, key)).map_err(|failure| self.told(&failure.at(key)))
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
        Box::pin(async move {
            self.shared.engine.with(|opened, _| tables::list(&opened.database, prefix)).map_err(|failure| self.told(&failure))
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes> {
        Box::pin(ready(Ok(self.shared.watchers.watch(prefix))))
    }
}

#[cfg(test)]
mod tests;
