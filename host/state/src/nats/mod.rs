//! A store that a fleet shares: a NATS server with JetStream, or a cluster of them.
//!
//! Several programs, on several machines, are to see the same values and not to overwrite each other's. Each key is a subject of one stream, each version
//! a sequence of that stream, and each write tells which sequence it replaces: where another came first, the server refuses it. A write that is
//! still on its way when its caller has given up replaces nothing that came after.
//!
//! Nothing here waits for the server to come back: see [`NatsStore`].

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

use crate::clock::SharedClock;
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

/// What errors call it.
const STORE: &str = "NATS server";

/// How a [`NatsStore`] behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsOptions {
    /// How long a call may take, by the store's clock; 2 s by default. For each 8 MiB of a large value it gets as much again.
    pub limit: Duration,
    /// On how many servers of a cluster a bucket is kept that is made here; 1 by default, at most 5. One that is there already stays as it is.
    pub replicas: usize,
    /// How many of a key's latest values the server keeps in a bucket that is made here, from 1 to 64; 1 by default. Only the latest is ever read; but
    /// what is gone before the server has delivered it is missed by watchers, and told to them as [`StoreError::ChangesMissed`].
    pub history: u8,
    /// A file of credentials, as NATS's `nsc` writes it, for servers that ask for one.
    pub credentials: Option<PathBuf>,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self { limit: Duration::from_secs(2), replicas: 1, history: 1, credentials: None }
    }
}

/// Whether the server is reached, now and whenever that changes. Ends when the store is gone.
pub type Connectivities = Pin<Box<dyn Stream<Item = Connectivity> + Send>>;

/// Keeps values in a bucket of a NATS server. Cloning shares the connection.
///
/// While the server is away each call fails at once with [`StoreError::Unavailable`], and one that is under way fails as soon as the connection is
/// lost or its time is over; whether such a write was done is not known. The connection comes back by itself. Its tasks and
/// timers are on a thread of its own: it may be called on any runtime.
#[derive(Clone)]
pub struct NatsStore {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Arc<Connection>,
    keys: Arc<Bucket>,
    /// Before the subject of each key.
    prefix: String,
    values: Objects,
    /// Tells watchers when the store is gone.
    alive: latest::Sender<()>,
}

impl std::fmt::Debug for NatsStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "NatsStore({:?}, {:?})", self.address(), self.connectivity())
    }
}

impl NatsStore {
    /// A store at `nats://[user:password@|token@]host[:port][,host[:port]…][/bucket]`; `tls://` likewise. The port is 4222 and the bucket `upright`
    /// unless the address says otherwise; in a user, a password or a token, what is not plain is written `%XX`. Values are dated, and time limits told,
    /// by this clock.
    ///
    /// Returns once the server is reached, or after its first attempt has failed, within the limit of time: a server that is away is no error, and
    /// is connected when it comes. The bucket is made where it is missing: of the kind that NATS calls a key-value store, in files, without a limit
    /// of its size; for large values there is an object store, `<bucket>-values`.
    ///
    /// # Errors
    /// [`StoreError::AddressInvalid`]; [`StoreError::Refused`] where the server does not accept who asks; [`StoreError::Unavailable`] where
    /// the file of credentials cannot be read.
    pub async fn connect(url: &str, options: &NatsOptions, clock: SharedClock) -> Result<Self, StoreError> {
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
            // Where this fails, the first call that needs the bucket says why.
            let _ = connection.bounded(connection.limit(0), inner.keys.stream()).await;
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where the server is, without what is secret.
    pub fn address(&self) -> &str {
        self.inner.connection.shown()
    }

    /// Whether the server is reached, as far as is known. While it is not, calls fail at once.
    pub fn is_connected(&self) -> bool {
        self.connectivity().connected
    }

    /// The same, with the number of connections so far.
    pub fn connectivity(&self) -> Connectivity {
        self.inner.connection.connectivity()
    }

    /// Whether the server is reached: at once, and whenever that has changed. A listener that is slow misses what was in between, but sees from the number
    /// of connections that there was something.
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

/// What is to be written.
struct New<'a> {
    value: Bytes,
    content_type: &'a str,
}

impl Inner {
    /// The subject of what `keys` has made of a key or a prefix.
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
                // It is removed once the key has another.
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

    /// Writes a value, or a deletion where there is none, if `may` allows it, given the version that is there. None where it does not.
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
        // What cannot have been written needs no large value any more; what may have been does.
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
            // None: somebody else came first.
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
        // Values of the same bytes are kept apart: otherwise removing one would remove another's.
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
                // One that changes meanwhile comes again.
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

/// A write that was not refused has a version.
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
