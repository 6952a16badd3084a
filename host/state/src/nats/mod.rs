//! Shares a store across machines: a NATS server with JetStream, or a cluster.
//!
//! Each version of a key is a sequence of one stream. A write names the sequence it replaces, so a late write replaces
//! nothing newer.

mod address;
mod bucket;
mod clean;
mod connection;
mod deliveries;
mod feed;
mod keys;
mod objects;
mod record;
mod watch;

use crate::clock::{SharedClock, SystemClock};
use address::Address;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bucket::Bucket;
use bytes::Bytes;
pub use clean::NatsCleaned;
use connection::Connection;
pub use connection::Connectivity;
use futures_util::Stream;
use objects::Objects;
use record::Reference;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as latest;
use upright_core::store::background::with_it;
use upright_core::store::{ChangeKind, Changes, Entry, Listed, Store, StoreError, StoreFuture, check_key, check_value};

const STORE: &str = "NATS server";

/// Options of a [`NatsStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsOptions {
    /// Time limit of a call; 2 s by default. Each 8 MiB of a large value adds as much again.
    pub limit: Duration,
    /// Number of servers that keep a new bucket, 1 to 5; 1 by default.
    pub replicas: usize,
    /// Number of values kept for each key in a new bucket, 1 to 64; 1 by default. Watchers miss values replaced before
    /// delivery, and get [`StoreError::ChangesMissed`].
    pub history: u8,
    /// Credentials file, as NATS's `nsc` writes it.
    pub credentials: Option<PathBuf>,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self { limit: Duration::from_secs(2), replicas: 1, history: 1, credentials: None }
    }
}

/// Connection states: the current one, then each change. Ends with the store.
pub type Connectivities = Pin<Box<dyn Stream<Item = Connectivity> + Send>>;

/// Keeps values in a bucket of a NATS server. Cloning shares the connection.
///
/// While the server is away, calls fail at once with [`StoreError::Unavailable`]. A running call fails when the
/// connection is lost or its time ends; its write may have happened. The store reconnects by itself, on its own thread,
/// and works on any runtime.
#[derive(Clone)]
pub struct NatsStore {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Arc<Connection>,
    keys: Arc<Bucket>,
    prefix: String,
    values: Objects,
    alive: latest::Sender<()>,
}

impl std::fmt::Debug for NatsStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "NatsStore({:?}, {:?})", self.address(), self.connectivity())
    }
}

impl NatsStore {
    /// Opens a store at `nats://[user:password@|token@]host[:port][,host[:port]…][/bucket]`; `tls://` works, too. The
    /// port defaults to 4222, the bucket to `upright`. Special characters are written `%XX`. `clock` dates values and
    /// measures time limits.
    ///
    /// Returns once connected, after a failed attempt, or at the time limit; an unreachable server is not an error.
    /// Makes a missing bucket: a key-value store in files, without a size limit. Large values go to the object store
    /// `<bucket>-values`.
    ///
    /// # Errors
    /// [`StoreError::AddressInvalid`]; [`StoreError::Refused`] on a rejected login; [`StoreError::Unavailable`] on an
    /// unreadable credentials file.
    pub async fn connect(url: &str, options: &NatsOptions) -> Result<Self, StoreError> {
        Self::connect_with_clock(url, options, SystemClock::shared()).await
    }

    /// [`NatsStore::connect`] with a clock that dates values and measures time limits.
    ///
    /// # Errors
    /// [`StoreError::AddressInvalid`], [`StoreError::Refused`], [`StoreError::Unavailable`].
    pub async fn connect_with_clock(url: &str, options: &NatsOptions, clock: SharedClock) -> Result<Self, StoreError> {
        with_it(Self::open(url, options, clock)).await
    }

    async fn open(url: &str, options: &NatsOptions, clock: SharedClock) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let connection = Arc::new(Connection::open(&address, options, clock).await?);
        let bucket = address.bucket;
        let objects = |name: String| Objects::new(Bucket::new(Arc::clone(&connection), objects::config(&name, replicas(options))), name);
        let inner = Inner {
            keys: Arc::new(Bucket::new(Arc::clone(&connection), config(&bucket, options))),
            prefix: format!("$KV.{bucket}."),
            values: objects(format!("{bucket}-values")),
            connection: Arc::clone(&connection),
            alive: latest::Sender::new(()),
        };
        if connection.connectivity().connected {
            // If this fails, the first call says why.
            let _ = connection.bounded(connection.limit(0), inner.keys.stream()).await;
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Server address, without credentials.
    pub fn address(&self) -> &str {
        self.inner.connection.shown()
    }

    /// Whether the server is connected, as far as known; if not, calls fail.
    pub fn is_connected(&self) -> bool {
        self.connectivity().connected
    }

    /// Connection state, with the number of connections so far.
    pub fn connectivity(&self) -> Connectivity {
        self.inner.connection.connectivity()
    }

    /// The connection state, then each change. A slow listener skips states, but sees the number of connections.
    pub fn connectivities(&self) -> Connectivities {
        watch::connectivities(self.inner.connection.status(), self.inner.alive.subscribe())
    }
}

fn replicas(options: &NatsOptions) -> usize {
    options.replicas.clamp(1, 5)
}

fn config(bucket: &str, options: &NatsOptions) -> Config {
    Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: i64::from(options.history.clamp(1, 64)),
        max_bytes: -1,
        storage: StorageType::File,
        num_replicas: replicas(options),
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    }
}

struct New<'a> {
    value: Bytes,
    content_type: &'a str,
}

impl Inner {
    fn subject(&self, encoded: &str) -> String {
        format!("{}{encoded}", self.prefix)
    }

    async fn read(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let (connection, subject) = (&self.connection, self.subject(&keys::encode(key)));
        let mut looked_at = None;
        loop {
            let last = connection.bounded(connection.limit(0), self.keys.last(&subject)).await?;
            let Some(message) = last.filter(|message| record::kind(&message.headers) == ChangeKind::Put) else { return Ok(None) };
            let mut entry = Entry {
                value: message.payload,
                content_type: record::content_type(&message.headers),
                version: message.sequence,
                modified: record::modified(&message.headers, message.time.into()),
            };
            let Some(reference) = record::reference(&message.headers) else { return Ok(Some(entry)) };
            match connection.bounded(connection.limit(reference.size), self.values.get(&reference.object)).await {
                Ok(Some((_, value))) => {
                    entry.value = value;
                    return Ok(Some(entry));
                }
                // The key has a new value by now.
                Ok(None) if looked_at != Some(entry.version) => looked_at = Some(entry.version),
                Ok(None) => {
                    let source = io::Error::new(io::ErrorKind::NotFound, format!("its value of {} bytes is gone", reference.size)).into();
                    return Err(StoreError::Corrupt { key: key.to_owned(), source });
                }
                Err(StoreError::Corrupt { source, .. }) => return Err(StoreError::Corrupt { key: key.to_owned(), source }),
                Err(error) => return Err(error),
            }
        }
    }

    /// `None` if `may` rejects the version found.
    async fn write(
        &self,
        key: &str,
        new: Option<New<'_>>,
        may: impl Fn(Option<u64>) -> Result<bool, StoreError> + Send,
    ) -> Result<Option<u64>, StoreError> {
        check_key(key)?;
        if let Some(new) = &new {
            check_value(key, &new.value)?;
        }
        let limit = self.connection.limit(new.as_ref().map_or(0, |new| new.value.len()));
        let mut kept = None;
        let written = self.connection.bounded(limit, self.write_where(key, new.as_ref(), &may, &mut kept)).await;
        // Only a write that certainly failed frees its large value.
        if let (Some(Reference { object, .. }), Ok(None) | Err(StoreError::Conflict { .. })) = (kept, &written) {
            let _ = self.connection.bounded(self.connection.limit(0), self.values.remove(&object)).await;
        }
        written
    }

    async fn write_where(
        &self,
        key: &str,
        new: Option<&New<'_>>,
        may: &(impl Fn(Option<u64>) -> Result<bool, StoreError> + Send),
        kept: &mut Option<Reference>,
    ) -> Result<Option<u64>, StoreError> {
        let subject = self.subject(&keys::encode(key));
        loop {
            let last = self.keys.last(&subject).await?;
            let there = last.as_ref().filter(|message| record::kind(&message.headers) == ChangeKind::Put);
            if !may(there.map(|message| message.sequence))? {
                return Ok(None);
            }
            let replaces = last.as_ref().map_or(0, |message| message.sequence);
            let (headers, payload) = match new {
                Some(new) => self.message(new, replaces, kept).await?,
                None => (record::deletion(replaces), Bytes::new()),
            };
            // `None`: another writer came first.
            if let Some(version) = self.keys.publish(subject.clone(), headers, payload).await? {
                if let Some(reference) = there.and_then(|message| record::reference(&message.headers)) {
                    // If this fails, `clean` removes it.
                    let _ = self.values.remove(&reference.object).await;
                }
                return Ok(Some(version));
            }
        }
    }

    async fn message(
        &self,
        new: &New<'_>,
        replaces: u64,
        kept: &mut Option<Reference>,
    ) -> Result<(async_nats::HeaderMap, Bytes), StoreError> {
        let client = self.connection.client();
        let modified = self.connection.clock().wall();
        let headers = record::value(new.content_type, modified, None, replaces);
        if record::length(&headers) + new.value.len() <= client.max_payload() {
            return Ok((headers, new.value.clone()));
        }
        // Equal values are kept apart, or removing one would remove the other.
        if kept.is_none() {
            let reference =
                Reference { object: format!("{}.{}", objects::digest(&new.value), objects::unique(client)), size: new.value.len() };
            self.values.put(&reference.object, &new.value, modified).await?;
            *kept = Some(reference);
        }
        Ok((record::value(new.content_type, modified, kept.as_ref(), replaces), Bytes::new()))
    }

    async fn keys_under(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut found = BTreeMap::new();
        let subject = self.subject(&keys::filter(prefix));
        let each = |message: deliveries::Delivered| {
            let key = message.subject.strip_prefix(&self.prefix).and_then(keys::decode).filter(|key| key.starts_with(prefix));
            if let Some(key) = key {
                // A changed key comes again.
                let there = record::kind(&message.headers) == ChangeKind::Put;
                let modified = record::modified(&message.headers, message.stored);
                found.insert(key.clone(), there.then_some(Listed { key, version: message.sequence, modified }));
            }
        };
        let gathered = self.keys.gather(subject, DeliverPolicy::LastPerSubject, true, each);
        self.connection.bounded(self.connection.limit(0), gathered).await?;
        Ok(found.into_values().flatten().collect())
    }
}

fn written(version: Option<u64>) -> u64 {
    version.unwrap_or_default()
}

impl Store for NatsStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(with_it(self.inner.read(key)))
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(with_it(async move { self.inner.write(key, Some(New { value, content_type }), |_| Ok(true)).await.map(written) }))
    }

    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(with_it(async move {
            let may = |found| if found == expected { Ok(true) } else { Err(StoreError::Conflict { key: key.to_owned(), expected, found }) };
            self.inner.write(key, Some(New { value, content_type }), may).await.map(written)
        }))
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(with_it(async move { Ok(self.inner.write(key, None, |found| Ok(found.is_some())).await?.is_some()) }))
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool> {
        Box::pin(with_it(async move { Ok(self.inner.write(key, None, |found| Ok(found == Some(expected))).await?.is_some()) }))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(with_it(self.inner.keys_under(prefix)))
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes> {
        Box::pin(with_it(watch::changes(&self.inner, prefix)))
    }
}

#[cfg(test)]
mod tests;
