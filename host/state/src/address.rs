//! Opens a store by its address: `:memory:`, a file, or a NATS server.

use crate::clock::{SharedClock, SystemClock};
use bytes::Bytes;
use std::env;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::OnceCell;
use upright_core::store::{Changes, Entry, Listed, MemoryStore, Store, StoreError, StoreFuture};

/// Address of a store.
///
/// ```
/// use upright::store::StateAddress;
///
/// assert_eq!(":memory:".parse::<StateAddress>()?, StateAddress::Memory);
/// assert_eq!("state.db".parse::<StateAddress>()?, StateAddress::File("state.db".into()));
/// assert_eq!("nats://10.0.0.1:4222".parse::<StateAddress>()?, StateAddress::Nats("nats://10.0.0.1:4222".into()));
/// assert!("redis://10.0.0.1:6379".parse::<StateAddress>().is_err());
/// # Ok::<(), upright::store::StoreError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateAddress {
    /// In memory; lost with the process.
    Memory,
    /// A file shared by this machine's processes (feature `sqlite`); an existing folder means its `state.db`.
    File(PathBuf),
    /// A NATS server with JetStream, for many machines (feature `nats`).
    Nats(String),
}

const VARIABLE: &str = "UPRIGHT_STATE";
const FILE: &str = "state.db";

const NATS: [&str; 2] = ["nats", "tls"];

/// A text without `://` is a path.
///
/// # Errors
/// [`StoreError::AddressInvalid`] for an unknown scheme or an empty text.
impl FromStr for StateAddress {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        // The rest may be secret.
        let invalid =
            |what: &str| StoreError::AddressInvalid { detail: format!("{what:?}; expected a file, nats://HOST:PORT or :memory:") };
        match text.split_once("://") {
            _ if text == ":memory:" => Ok(Self::Memory),
            Some((scheme, _)) if NATS.contains(&scheme) => Ok(Self::Nats(text.to_owned())),
            Some((scheme, _)) => Err(invalid(&format!("{scheme}://…"))),
            None if text.is_empty() => Err(invalid(text)),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// Hides the password.
impl fmt::Display for StateAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => formatter.write_str(":memory:"),
            Self::File(path) => path.display().fmt(formatter),
            Self::Nats(address) => match (address.split_once("://"), address.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, host))) => write!(formatter, "{scheme}://…@{host}"),
                _ => formatter.write_str(address),
            },
        }
    }
}

impl fmt::Debug for StateAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl StateAddress {
    /// Address shared by all programs of this user: `UPRIGHT_STATE`, else `upright/state.db` in the user's state
    /// folder.
    /// That is `XDG_STATE_HOME` or `~/.local/state`; on macOS `~/Library/Application Support`, on Windows
    /// `%LOCALAPPDATA%`.
    ///
    /// # Errors
    /// [`StoreError::AddressInvalid`] if `UPRIGHT_STATE` is not an address, or the environment names no folder.
    pub fn of_this_user() -> Result<Self, StoreError> {
        if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
            return match named.into_string() {
                Ok(text) => text.parse(),
                Err(path) => Ok(Self::File(path.into())),
            };
        }
        let folder = state_folder().ok_or_else(|| StoreError::AddressInvalid {
            detail: format!("the environment names no folder for state (XDG_STATE_HOME, HOME); expected an address in {VARIABLE}"),
        })?;
        Ok(Self::File(folder.join("upright").join(FILE)))
    }

    /// Path of the store's file; in a folder `state.db`. `None` for memory and NATS.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) if path.is_dir() => Some(path.join(FILE)),
            Self::File(path) => Some(path.clone()),
            _ => None,
        }
    }

    /// Opens the store. An unreachable NATS server fails later calls, not this one.
    ///
    /// # Errors
    /// [`StoreError::NotBuiltIn`] without the engine's feature. Files: [`StoreError::NotAStore`],
    /// [`StoreError::OldFormat`], [`StoreError::Newer`], [`StoreError::Damaged`], [`StoreError::Full`],
    /// [`StoreError::NotWritable`], [`StoreError::NetworkFileSystem`], [`StoreError::Forked`],
    /// [`StoreError::Unavailable`]. NATS: [`StoreError::AddressInvalid`], [`StoreError::Refused`],
    /// [`StoreError::Unavailable`].
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        self.open_with_clock(SystemClock::shared()).await
    }

    /// [`StateAddress::open`] with a clock that dates entries.
    ///
    /// # Errors
    /// Those of [`StateAddress::open`].
    #[allow(clippy::unused_async, reason = "an engine may have to wait")]
    #[doc(hidden)]
    pub async fn open_with_clock(&self, clock: SharedClock) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Memory => Ok(Arc::new(MemoryStore::with_clock(clock))),
            #[cfg(feature = "sqlite")]
            Self::File(path) => Ok(Arc::new(super::FileStore::open_with_clock(self.file().as_ref().unwrap_or(path), clock)?)),
            #[cfg(not(feature = "sqlite"))]
            Self::File(_) => Err(StoreError::NotBuiltIn { address: self.to_string(), feature: "sqlite" }),
            #[cfg(feature = "nats")]
            Self::Nats(address) => connect(address, clock).await,
            #[cfg(not(feature = "nats"))]
            Self::Nats(_) => Err(StoreError::NotBuiltIn { address: self.to_string(), feature: "nats" }),
        }
    }

    /// Returns a store that opens on first use, and again after failures.
    pub fn when_needed(self, clock: SharedClock) -> Arc<dyn Store> {
        match self {
            Self::Memory => Arc::new(MemoryStore::with_clock(clock)),
            address => Arc::new(WhenNeeded { address, clock, opened: OnceCell::new() }),
        }
    }
}

#[cfg(feature = "nats")]
async fn connect(address: &str, clock: SharedClock) -> Result<Arc<dyn Store>, StoreError> {
    let store = super::NatsStore::connect_with_clock(address, &super::NatsOptions::default(), clock).await?;
    // Without this runtime the store fails, too.
    if let Ok(runtime) = upright_core::store::background::runtime() {
        runtime.spawn(store.clean_now_and_then());
    }
    Ok(Arc::new(store))
}

fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(folder) = absolute("XDG_STATE_HOME") {
        return Some(folder);
    }
    if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        absolute("HOME").map(|home| home.join(".local/state"))
    }
}

struct WhenNeeded {
    address: StateAddress,
    clock: SharedClock,
    opened: OnceCell<Arc<dyn Store>>,
}

impl WhenNeeded {
    async fn store(&self) -> Result<&dyn Store, StoreError> {
        self.opened.get_or_try_init(|| self.address.open_with_clock(Arc::clone(&self.clock))).await.map(|store| &**store)
    }
}

impl Store for WhenNeeded {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        match self.opened.get() {
            Some(store) => store.get(key),
            None => Box::pin(async move { self.store().await?.get(key).await }),
        }
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move { self.store().await?.put(key, value, content_type).await })
    }

    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move { self.store().await?.compare_and_set(key, expected, value, content_type).await })
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move { self.store().await?.delete(key).await })
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool> {
        Box::pin(async move { self.store().await?.compare_and_delete(key, expected).await })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(async move { self.store().await?.list(prefix).await })
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes> {
        Box::pin(async move { self.store().await?.watch(prefix).await })
    }

    fn is_on_this_machine(&self) -> bool {
        matches!(self.address, StateAddress::File(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in [":memory:", "nats://127.0.0.1:4222/jobs", "tls://host", "/var/lib/x.db", "memory", "nats.db"] {
            assert_eq!(text.parse::<StateAddress>().unwrap().to_string(), text);
        }
        assert!(matches!("nats.db".parse(), Ok(StateAddress::File(_))));
        for text in ["", "http://me:secret@host", "nats ://host", "file:///tmp/x"] {
            let error = text.parse::<StateAddress>().unwrap_err().to_string();
            assert!(error.contains("expected a file, nats://") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for text in ["nats://me:secret@host:4222", "nats://secret@host:4222"] {
            let address: StateAddress = text.parse().unwrap();
            assert_eq!((address.to_string(), format!("{address:?}")), ("nats://…@host:4222".to_owned(), "nats://…@host:4222".to_owned()));
        }
    }
}
