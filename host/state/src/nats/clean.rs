//! Removes deletion markers, kept for absent watchers, and large values of killed writers that no key names.

use super::{NatsStore, record};
use async_nats::jetstream::consumer::DeliverPolicy;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use upright_core::store::background::with_it;
use upright_core::store::{ChangeKind, StoreError};

/// Removals by [`NatsStore::clean`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatsCleaned {
    /// Number of large values without a key.
    pub values: usize,
    /// Number of incomplete large values.
    pub pieces: usize,
    /// Number of deletion markers.
    pub markers: usize,
}

/// Delay before the first cleaning.
const FIRST: Duration = Duration::from_secs(60);
/// Time between cleanings.
const NOW_AND_THEN: Duration = Duration::from_secs(6 * 3600);
/// Minimum age of removed items.
const OLD: Duration = Duration::from_secs(24 * 3600);

impl NatsStore {
    pub(crate) fn clean_now_and_then(&self) -> impl Future<Output = ()> + Send + use<> {
        let (inner, clock) = (Arc::downgrade(&self.inner), Arc::clone(self.inner.connection.clock()));
        async move {
            clock.sleep(FIRST).await;
            while let Some(inner) = inner.upgrade() {
                // A later round cleans, or another host.
                if let Err(error) = (Self { inner }).clean(OLD).await {
                    tracing::debug!(target: "upright", %error, "the state is not cleaned now");
                }
                clock.sleep(NOW_AND_THEN).await;
            }
        }
    }

    /// Removes deletion markers, and leftovers of killed writers, that are older than this. Safe at any time,
    /// concurrently, and again after a failure.
    ///
    /// Ages compare the server's clock with this store's. `older` should exceed their difference, and the time to write
    /// 64 MiB; a day is a good choice. Watchers away for longer miss deletions.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Refused`]; earlier removals stay.
    pub async fn clean(&self, older: Duration) -> Result<NatsCleaned, StoreError> {
        let before = self.inner.connection.clock().wall().checked_sub(older).unwrap_or(SystemTime::UNIX_EPOCH);
        with_it(self.clean_before(before)).await
    }

    async fn clean_before(&self, before: SystemTime) -> Result<NatsCleaned, StoreError> {
        let (connection, values) = (&self.inner.connection, &self.inner.values);
        let limit = connection.limit(0);
        // Before the keys: what a key refers to meanwhile is not old.
        let kept = connection.bounded(limit, values.list()).await?;
        let (mut referred, mut markers) = (HashSet::new(), Vec::new());
        let keys = self.inner.keys.gather(self.inner.subject(">"), DeliverPolicy::LastPerSubject, true, |message| {
            if let Some(reference) = record::reference(&message.headers) {
                referred.insert(reference.object);
            } else if record::kind(&message.headers) == ChangeKind::Deleted && message.stored <= before {
                markers.push((message.subject, message.sequence));
            }
        });
        connection.bounded(limit, keys).await?;

        let mut cleaned = NatsCleaned::default();
        for object in kept.iter().filter(|object| object.stored <= before && !referred.contains(&object.info.name)) {
            cleaned.values += usize::from(connection.bounded(limit, values.remove(&object.info.name)).await?);
        }
        cleaned.pieces += connection.bounded(limit, values.remove_loose_pieces(before)).await?;
        for (subject, sequence) in markers {
            // Later writes to the key stay.
            connection.bounded(limit, self.inner.keys.purge(subject, Some(sequence + 1))).await?;
            cleaned.markers += 1;
        }
        Ok(cleaned)
    }
}
