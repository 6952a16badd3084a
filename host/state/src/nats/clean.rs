//! What nobody needs any more: markers of deletions, and what a crash left between two steps.
//!
//! A large value is there before the key that refers to it, and goes after the key has another; a writer that is killed in between leaves it behind. It
//! harms nobody, and nobody will ever ask for it. A marker of a deletion stays so that watchers that were away hear of it.

use super::{NatsStore, record};
use async_nats::jetstream::consumer::DeliverPolicy;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use upright_core::store::background::with_it;
use upright_core::store::{ChangeKind, StoreError};

/// What [`NatsStore::clean`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatsCleaned {
    /// Large values that no key referred to.
    pub values: usize,
    /// Large values of which only pieces were there.
    pub pieces: usize,
    /// Markers of deletions.
    pub markers: usize,
}

/// When a store first cleans by itself: programs that live for a moment leave it to others.
const FIRST: Duration = Duration::from_secs(60);
/// How often it does then, and what is so old that it may go.
const NOW_AND_THEN: Duration = Duration::from_secs(6 * 3600);
const OLD: Duration = Duration::from_secs(24 * 3600);

impl NatsStore {
    /// Cleans a minute from now and then every six hours, of what is older than a day, for as long as there is a store.
    pub(crate) fn clean_now_and_then(&self) -> impl Future<Output = ()> + Send + use<> {
        let (inner, clock) = (Arc::downgrade(&self.inner), Arc::clone(self.inner.connection.clock()));
        async move {
            clock.sleep(FIRST).await;
            while let Some(inner) = inner.upgrade() {
                // A server that is away is cleaned another time, and by other hosts.
                if let Err(error) = (Self { inner }).clean(OLD).await {
                    tracing::debug!(target: "upright", %error, "the state is not cleaned now");
                }
                clock.sleep(NOW_AND_THEN).await;
            }
        }
    }

    /// Removes what is older than this and needed no more: markers of deletions, and what writers that were killed left behind. It can be called at
    /// any time, by several at once, and again after it failed.
    ///
    /// Ages are told by the server's clock when it stored something and by this store's clock now, so `older` should be well above what they
    /// differ by, and above the time that a write of 64 MiB may take; a day is a good choice. A watcher that was away for longer than that does not
    /// hear of a deletion.
    ///
    /// # Errors
    /// Those of a store that is away; what was removed by then stays removed.
    pub async fn clean(&self, older: Duration) -> Result<NatsCleaned, StoreError> {
        let before = self.inner.connection.clock().wall().checked_sub(older).unwrap_or(SystemTime::UNIX_EPOCH);
        with_it(self.clean_before(before)).await
    }

    async fn clean_before(&self, before: SystemTime) -> Result<NatsCleaned, StoreError> {
        let (connection, values) = (&self.inner.connection, &self.inner.values);
        let limit = connection.limit(0);
        // Before the keys: what a key begins to refer to meanwhile was not old.
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
            // What was written to the key since stays.
            connection.bounded(limit, self.inner.keys.purge(subject, Some(sequence + 1))).await?;
            cleaned.markers += 1;
        }
        Ok(cleaned)
    }
}
