//! Where state is kept that outlives the call, and with a durable engine the process: [`MemoryStore`] for the one, `FileStore` (feature `sqlite`) for the other.
//!
//! One small interface over engines as different as a map in memory, an embedded database and a cluster: values by key, each with a
//! version, so that of two writers who read the same version only one can write.

pub mod background;
pub mod following;
mod memory;
pub mod seal;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
pub mod watch;

pub use crate::error::StoreError;
use bytes::Bytes;
use futures_util::Stream;
pub use memory::MemoryStore;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

/// The longest key, in bytes.
pub const KEY_LIMIT: usize = 512;
/// The largest value, in bytes: 64 MiB.
pub const VALUE_LIMIT: usize = 64 << 20;

/// An answer that a store may take time to give.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The changes that a watcher sees, in the order of their versions. Ends when the store is gone.
pub type Changes = Pin<Box<dyn Stream<Item = Result<Change, StoreError>> + Send>>;

/// A value in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// What the value is, as a media type.
    pub content_type: String,
    /// Grows with every write to the store; a key that was deleted and written again does not get an old version back.
    pub version: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

/// A value that is in a store, without the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// [`Entry::version`].
    pub version: u64,
    /// [`Entry::modified`].
    pub modified: SystemTime,
}

/// A change to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The version that the change made.
    pub version: u64,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was written.
    Put,
    /// It was deleted.
    Deleted,
}

/// Keeps values by key.
///
/// A key is any text of 1 to [`KEY_LIMIT`] bytes; a value has at most [`VALUE_LIMIT`] bytes. A write that was answered is seen by every
/// read that begins after it. Dropping a future may or may not undo what it was to do.
pub trait Store: Send + Sync {
    /// The value of a key; none if there is none.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>>;

    /// Writes a value, whatever was there. Returns its version.
    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64>;

    /// Writes a value only if the key's version is `expected` (none: the key must not exist). Returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if it is not; nothing was written then.
    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64>;

    /// Deletes a key. Whether it was there.
    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool>;

    /// Deletes a key only if its version is `expected`. Whether it was.
    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool>;

    /// What is under the keys that begin with `prefix`, without the values, in the order of the keys' bytes. An empty prefix lists all.
    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>>;

    /// The changes of keys that begin with `prefix`, from the moment at which this is answered.
    ///
    /// A watcher that falls far behind gets a [`StoreError::ChangesMissed`] in their place, and those that follow; it should list anew.
    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes>;

    /// Whether all who share it are on this machine: then a write takes no longer than the machine's own disk, and the system knows which of them still run.
    /// False unless an engine says otherwise.
    fn is_on_this_machine(&self) -> bool {
        false
    }
}

/// Refuses what cannot be a key.
pub fn check_key(key: &str) -> Result<(), StoreError> {
    if (1..=KEY_LIMIT).contains(&key.len()) {
        return Ok(());
    }
    Err(StoreError::KeyInvalid { key: key[..key.floor_char_boundary(64)].to_owned(), length: key.len() })
}

/// Refuses a value that is too large.
pub fn check_value(key: &str, value: &[u8]) -> Result<(), StoreError> {
    let length = value.len();
    if length <= VALUE_LIMIT { Ok(()) } else { Err(StoreError::ValueTooLarge { key: key.to_owned(), length }) }
}
