//! Where state is kept that outlives the call, and with a durable engine the process: [`MemoryStore`] for the one, `FileStore` (feature `sqlite`) for the other.
//!
//! One small interface over engines as different as a map in memory, an embedded database and a cluster: values by key, each with a
//! version, so that of two writers who read the same version only one can write.

mod address;
pub(crate) mod background;
#[cfg(feature = "sqlite")]
mod file;
pub(crate) mod following;
mod memory;
#[cfg(feature = "nats")]
mod nats;
pub(crate) mod seal;
#[cfg(test)]
mod suite;
mod watch;

use crate::error::BoxError;
pub use address::StateAddress;
use bytes::Bytes;
#[cfg(feature = "sqlite")]
pub use file::{FileStore, StoreFile, StoreInfo, StoredKind};
use futures_util::Stream;
pub use memory::MemoryStore;
#[cfg(feature = "nats")]
pub use nats::{Connectivities, Connectivity, NatsCleaned, NatsOptions, NatsStore};
use std::future::Future;
use std::path::PathBuf;
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

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The key cannot be one.
    #[error("the key {key:?} has {length} bytes: a key has 1 to {KEY_LIMIT}")]
    KeyInvalid {
        /// The beginning of the key.
        key: String,
        /// Its length in bytes.
        length: usize,
    },

    /// The value is too large.
    #[error("the value of {key:?} has {length} bytes: at most {VALUE_LIMIT} are kept")]
    ValueTooLarge {
        /// The key.
        key: String,
        /// The value's length in bytes.
        length: usize,
    },

    /// Somebody else wrote first.
    #[error("{key:?} was to be at {}, but is at {}", version(*.expected), version(*.found))]
    Conflict {
        /// The key.
        key: String,
        /// The version at which it was to be; none: it was not to exist.
        expected: Option<u64>,
        /// The version at which it is; none: it does not exist.
        found: Option<u64>,
    },

    /// A value that cannot be written as JSON.
    #[error("the value of {key:?} cannot be written as JSON: {source}")]
    NotSerializable {
        /// The key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },

    /// What is stored under the key is not what was to be there.
    #[error("what is stored as {key:?} cannot be read: {source}")]
    Corrupt {
        /// The key.
        key: String,
        /// Why.
        source: BoxError,
    },

    /// What is stored under the key was written by another version of the program.
    #[error("what is stored as {key:?} has schema {found}, expected {expected}: convert it, or remove it and start over")]
    SchemaMismatch {
        /// The key.
        key: String,
        /// The schema of whoever reads it.
        expected: u32,
        /// The schema of whoever wrote it.
        found: u32,
    },

    /// A watcher was too slow.
    #[error("{count} changes were missed: list the keys anew")]
    ChangesMissed {
        /// How many, of all keys.
        count: u64,
    },

    /// The library was built without the engine.
    #[error("{address} needs the feature `{feature}` of the crate `upright`, without which this program was built")]
    NotBuiltIn {
        /// Where state was to be kept.
        address: String,
        /// What is missing.
        feature: &'static str,
    },

    /// The address of a store cannot be read.
    #[error("the address of the state is wrong: {detail}")]
    AddressInvalid {
        /// What is wrong with it, and what would be right; never a password.
        detail: String,
    },

    /// The store was closed.
    #[error("the store is closed")]
    Closed,

    /// The store's file is damaged or cut short.
    #[error(
        "{} is damaged: {source}; it was left as it is: `upright state check` says what is wrong, `upright state export` saves what can be read, and a new \
         store begins in its place once it is moved away",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        source: BoxError,
    },

    /// The file is something else.
    #[error("{} is {found}, and no store; it was left as it is: name another file, or move it away to begin a store in its place", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// The kind of file.
        found: String,
    },

    /// A version of this crate from before SQLite wrote the store's file.
    #[error(
        "{} is a store of an earlier version, in redb, and this version keeps its state in SQLite; it was left as it is: export it with the version that wrote \
         it, and import that into another file",
        path.display()
    )]
    OldFormat {
        /// The file.
        path: PathBuf,
    },

    /// The store's file is on a file system over which SQLite's log cannot be shared.
    #[error("the store {} would be on {file_system}, where programs can lock files and cannot share memory: name a file on a local disk", path.display())]
    NetworkFileSystem {
        /// The file.
        path: PathBuf,
        /// The kind of file system.
        file_system: &'static str,
    },

    /// This process was forked from one that had the store open. SQLite's locks stay with that one.
    #[error("the store {} was open when this process was forked: open it after the fork, or start a program of its own (exec)", path.display())]
    Forked {
        /// The file.
        path: PathBuf,
    },

    /// A newer version of this crate wrote the store's file.
    #[error("the store {} has format {found}, and this version knows no later one than {known}: open it with the version that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that can be read.
        known: u32,
    },

    /// There is no room for what was to be written. What was written before is there.
    #[error("the store {} cannot grow: {source}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: BoxError,
    },

    /// The store's file, or its folder, must not be written.
    #[error("the store {} must not be written: {source}", path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: BoxError,
    },

    /// The store is there and does not accept who asks.
    #[error("the {store} at {address} refuses this client: {hint}")]
    Refused {
        /// Which store.
        store: &'static str,
        /// Where it is, without what is secret.
        address: String,
        /// What would be right.
        hint: String,
    },

    /// The store cannot be reached, or its device failed.
    #[error("the {store} is not available: {source}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// Why.
        source: BoxError,
    },
}

fn version(version: Option<u64>) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"))
}

/// Refuses what cannot be a key.
pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    if (1..=KEY_LIMIT).contains(&key.len()) {
        return Ok(());
    }
    Err(StoreError::KeyInvalid { key: key[..key.floor_char_boundary(64)].to_owned(), length: key.len() })
}

/// Refuses a value that is too large.
pub(crate) fn check_value(key: &str, value: &[u8]) -> Result<(), StoreError> {
    let length = value.len();
    if length <= VALUE_LIMIT { Ok(()) } else { Err(StoreError::ValueTooLarge { key: key.to_owned(), length }) }
}
