//! Keeps state beyond the call, and in durable engines (`FileStore`, feature `sqlite`) beyond the process.
//!
//! One small interface fits memory, a database and a cluster: versioned values by key, so one of two concurrent writers
//! fails.

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

/// Maximum key, in bytes.
pub const KEY_LIMIT: usize = 512;
/// Maximum value, in bytes: 64 MiB.
pub const VALUE_LIMIT: usize = 64 << 20;

/// A store's pending answer.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Changes by version, until the store ends.
pub type Changes = Pin<Box<dyn Stream<Item = Result<Change, StoreError>> + Send>>;

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Value.
    pub value: Bytes,
    /// Media type.
    pub content_type: String,
    /// Grows with every write to the store, even after deletion.
    pub version: u64,
    /// Time written, by the store's clock.
    pub modified: SystemTime,
}

/// A value's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Key.
    pub key: String,
    /// See [`Entry::version`].
    pub version: u64,
    /// See [`Entry::modified`].
    pub modified: SystemTime,
}

/// A change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Key.
    pub key: String,
    /// Version made.
    pub version: u64,
    /// Kind.
    pub kind: ChangeKind,
}

/// Kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Written.
    Put,
    /// Deleted.
    Deleted,
}

/// Keeps values by key.
///
/// Keys have 1 to [`KEY_LIMIT`] bytes, values at most [`VALUE_LIMIT`]. Reads begun after an answered write see it. A
/// dropped future may still act.
pub trait Store: Send + Sync {
    /// The value; `None` if absent.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>>;

    /// Writes a value; returns its version.
    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64>;

    /// Writes if the version is `expected` (`None`: absent); returns the new one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] otherwise; nothing is written.
    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64>;

    /// Deletes a key; returns whether it existed.
    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool>;

    /// Deletes a key of version `expected`; returns whether it did.
    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool>;

    /// Keys that begin with `prefix`, in byte order; an empty prefix lists all.
    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>>;

    /// Later changes of keys that begin with `prefix`.
    ///
    /// Slow watchers get [`StoreError::ChangesMissed`] for lost changes and should list again.
    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes>;

    /// Whether all users are on this machine: writes cost only its disk, and it knows which users run. Default `false`.
    fn is_on_this_machine(&self) -> bool {
        false
    }
}

/// Rejects invalid keys.
pub fn check_key(key: &str) -> Result<(), StoreError> {
    if (1..=KEY_LIMIT).contains(&key.len()) {
        return Ok(());
    }
    Err(StoreError::KeyInvalid { key: key[..key.floor_char_boundary(64)].to_owned(), length: key.len() })
}

/// Rejects large values.
pub fn check_value(key: &str, value: &[u8]) -> Result<(), StoreError> {
    let length = value.len();
    if length <= VALUE_LIMIT { Ok(()) } else { Err(StoreError::ValueTooLarge { key: key.to_owned(), length }) }
}
