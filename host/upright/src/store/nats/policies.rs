//! Policies, or other files, for a whole fleet: objects by name, in a bucket of their own.

use super::feed::{Feed, News};
use super::objects::{Listed, parse, sha256};
use super::{NatsStore, deliveries::Delivered};
use crate::store::{ChangeKind, StoreError, check_key, check_value};
use async_nats::jetstream::object_store::ObjectInfo;
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::SystemTime;

/// An object in the bucket `<bucket>-policies`, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsObject {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its bytes, in hexadecimal; none where another program put it there and gave none.
    pub sha256: Option<String>,
    /// Its length in bytes.
    pub size: u64,
    /// What was said of it when it was put there, such as who published it.
    pub facts: BTreeMap<String, String>,
    /// Grows with every change to any object.
    pub version: u64,
    /// When it was put there, by its publisher's clock.
    pub modified: SystemTime,
}

/// A change to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsObjectChange {
    /// The object as it is now; without bytes where it was deleted.
    pub object: NatsObject,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// The changes that a watcher of objects sees, in the order of their versions. Ends when the store is gone.
pub type NatsObjectChanges = Pin<Box<dyn Stream<Item = Result<NatsObjectChange, StoreError>> + Send>>;

impl NatsStore {
    /// Publishes bytes under a name, in place of what was there, with facts of the caller's choice. At most 64 MiB. Whoever reads gets all of the
    /// old or all of the new.
    ///
    /// # Errors
    /// [`StoreError::KeyInvalid`] unless the name has 1 to 512 bytes, [`StoreError::ValueTooLarge`], and those of a store that is away. What was
    /// there stays then, or the new bytes are there in whole.
    pub async fn put_object(&self, name: &str, value: Bytes, facts: BTreeMap<String, String>) -> Result<NatsObject, StoreError> {
        check_key(name)?;
        check_value(name, &value)?;
        let connection = &self.inner.connection;
        let modified = connection.clock().wall();
        let put = self.inner.policies.put(name, &value, facts.into_iter().collect(), modified);
        connection.bounded(connection.limit(value.len()), put).await.map(object)
    }

    /// The object of this name with its bytes, which are those that were put there; none if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where they are not, and those of a store that is away.
    pub async fn get_object(&self, name: &str) -> Result<Option<(NatsObject, Bytes)>, StoreError> {
        check_key(name)?;
        let connection = &self.inner.connection;
        let found = connection.bounded(connection.limit(crate::store::VALUE_LIMIT), self.inner.policies.get(name)).await?;
        Ok(found.map(|(listed, value)| (object(listed), value)))
    }

    /// All objects, in the order of their names.
    ///
    /// # Errors
    /// Those of a store that is away.
    pub async fn list_objects(&self) -> Result<Vec<NatsObject>, StoreError> {
        let connection = &self.inner.connection;
        let listed = connection.bounded(connection.limit(0), self.inner.policies.list()).await?;
        Ok(listed.into_iter().map(object).collect())
    }

    /// Deletes an object. Whether it was there.
    ///
    /// # Errors
    /// Those of a store that is away.
    pub async fn delete_object(&self, name: &str) -> Result<bool, StoreError> {
        check_key(name)?;
        let connection = &self.inner.connection;
        connection.bounded(connection.limit(0), self.inner.policies.delete(name)).await
    }

    /// The changes of all objects, from the moment at which this is answered, also those that were made while the connection was away; of several to one
    /// object in that time the last.
    ///
    /// # Errors
    /// Those of a store that is away. The stream tells [`StoreError::ChangesMissed`] where the bucket was made anew.
    pub async fn watch_objects(&self) -> Result<NatsObjectChanges, StoreError> {
        let (connection, policies) = (&self.inner.connection, &self.inner.policies);
        let opened = Feed::open(policies.bucket(), self.inner.alive.subscribe(), policies.names(), false);
        let feed = connection.bounded(connection.limit(0), opened).await?;
        Ok(Box::pin(stream::unfold(feed, next_change)))
    }
}

async fn next_change(mut feed: Feed) -> Option<(Result<NatsObjectChange, StoreError>, Feed)> {
    loop {
        let change = match feed.next().await? {
            News::Missed(count) => Err(StoreError::ChangesMissed { count }),
            News::Message(message) => match change(&message) {
                Some(change) => Ok(change),
                // Not one of an object store.
                None => continue,
            },
        };
        return Some((change, feed));
    }
}

fn change(message: &Delivered) -> Option<NatsObjectChange> {
    let info = parse(&message.payload)?;
    let kind = if info.deleted { ChangeKind::Deleted } else { ChangeKind::Put };
    Some(NatsObjectChange { object: object(Listed { info, sequence: message.sequence, stored: message.stored }), kind })
}

fn object(listed: Listed) -> NatsObject {
    let sha256 = sha256(&listed.info);
    let ObjectInfo { name, metadata, size, modified, .. } = listed.info;
    NatsObject {
        name,
        sha256,
        size: u64::try_from(size).unwrap_or(u64::MAX),
        facts: metadata.into_iter().collect(),
        version: listed.sequence,
        modified: modified.map_or(listed.stored, SystemTime::from),
    }
}
