//! Tells why a store failed.

use super::BoxError;
use crate::store::{KEY_LIMIT, VALUE_LIMIT};
use std::path::PathBuf;

/// A store's failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The key is empty or too long.
    #[error("invalid key {key:?}: found {length} bytes, expected 1 to {KEY_LIMIT}")]
    KeyInvalid {
        /// Beginning of the key.
        key: String,
        /// Length in bytes.
        length: usize,
    },

    /// The value is too large.
    #[error("the value of {key:?} is too large: found {length} bytes, expected at most {VALUE_LIMIT}")]
    ValueTooLarge {
        /// Key.
        key: String,
        /// Length in bytes.
        length: usize,
    },

    /// Another writer came first.
    #[error("version conflict on {key:?}: expected {}, found {}; read it again before writing", version(*.expected), version(*.found))]
    Conflict {
        /// Key.
        key: String,
        /// Expected version; `None`: absent.
        expected: Option<u64>,
        /// Version found; `None`: absent.
        found: Option<u64>,
    },

    /// The value is not serializable.
    #[error("the value of {key:?} cannot be written as JSON: {source}")]
    NotSerializable {
        /// Key.
        key: String,
        /// Cause.
        source: serde_json::Error,
    },

    /// The stored value is unreadable.
    #[error("the value of {key:?} cannot be read: {source}")]
    Corrupt {
        /// Key.
        key: String,
        /// Cause.
        source: BoxError,
    },

    /// Another program version wrote the value.
    #[error("the value of {key:?} has schema {found}, expected {expected}: convert it, or remove it and start over")]
    SchemaMismatch {
        /// Key.
        key: String,
        /// Reader's schema.
        expected: u32,
        /// Writer's schema.
        found: u32,
    },

    /// A watcher was too slow.
    #[error("the watcher missed {count} changes: list the keys again")]
    ChangesMissed {
        /// Number of missed changes, all keys.
        count: u64,
    },

    /// This build lacks the engine.
    #[error("{address} needs the feature `{feature}` of the crate `upright`: rebuild this program with it")]
    NotBuiltIn {
        /// Store address.
        address: String,
        /// Missing feature of `upright`.
        feature: &'static str,
    },

    /// The address is invalid.
    #[error("invalid address of the state: {detail}")]
    AddressInvalid {
        /// Mistake and correction, without passwords.
        detail: String,
    },

    /// The store is closed.
    #[error("the store is closed")]
    Closed,

    /// The file is damaged or cut.
    #[error(
        "{} is damaged: {source}; the file is unchanged: `upright state check` lists the damage, `upright state export` saves readable entries, and \
         a new store begins once the file is moved away",
        path.display()
    )]
    Damaged {
        /// File.
        path: PathBuf,
        /// Cause.
        source: BoxError,
    },

    /// The file is not a store.
    #[error(
        "cannot open {} as a store: it is {found}; the file is unchanged: name another file, or move this one away to begin a store in its place",
        path.display()
    )]
    NotAStore {
        /// File.
        path: PathBuf,
        /// Kind of file.
        found: String,
    },

    /// An earlier version wrote the file, before SQLite.
    #[error(
        "{} is a store of an earlier version, in redb, but this version uses SQLite; the file is unchanged: export it with the version that wrote it, \
         and import that into another file",
        path.display()
    )]
    OldFormat {
        /// File.
        path: PathBuf,
    },

    /// Programs cannot share SQLite's log on this file system.
    #[error("the store {} cannot be on {file_system}, where programs share no memory: name a file on a local disk", path.display())]
    NetworkFileSystem {
        /// File.
        path: PathBuf,
        /// Kind of file system.
        file_system: &'static str,
    },

    /// The process was forked from one with the open store, which keeps SQLite's locks.
    #[error("the store {} was open when this process was forked: open it after the fork, or start a program of its own (exec)", path.display())]
    Forked {
        /// File.
        path: PathBuf,
    },

    /// A newer version wrote the file.
    #[error("the store {} has format {found}, expected at most {known}: open it with the version that wrote it", path.display())]
    Newer {
        /// File.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest readable format.
        known: u32,
    },

    /// No space; earlier writes are intact.
    #[error("the store {} cannot grow: {source}; free disk space, or raise its quota", path.display())]
    Full {
        /// File.
        path: PathBuf,
        /// Cause.
        source: BoxError,
    },

    /// File or folder is not writable.
    #[error("the store {} is not writable: {source}; check the permissions of the file and its folder", path.display())]
    NotWritable {
        /// File.
        path: PathBuf,
        /// Cause.
        source: BoxError,
    },

    /// The store rejects this client.
    #[error("the {store} at {address} refuses this client: {hint}")]
    Refused {
        /// Engine name.
        store: &'static str,
        /// Address without secrets.
        address: String,
        /// Correction.
        hint: String,
    },

    /// The store cannot be reached, or its device failed.
    #[error("the {store} is not available: {source}")]
    Unavailable {
        /// Engine name.
        store: &'static str,
        /// Cause.
        source: BoxError,
    },
}

fn version(version: Option<u64>) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"))
}
