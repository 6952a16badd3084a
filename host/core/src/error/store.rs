//! How a store fails.

use super::BoxError;
use crate::store::{KEY_LIMIT, VALUE_LIMIT};
use std::path::PathBuf;

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
