//! What nobody needs any more: markers of deletions, and what a crash left between two steps.
//!
//! A large value is there before the key that refers to it, and goes after the key has another; a writer that is killed in between leaves it behind. It
//! harms nobody, and nobody will ever ask for it. A marker of a deletion stays so that watchers that were away hear of it.

use super::{NatsStore, record};
use crate::store::{ChangeKind, StoreError};
use async_nats::jetstream::consumer::DeliverPolicy;
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// What [`NatsStore::clean`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatsCleaned {
    /// Large values that no key referred to.
    pub values: usize,
    /// Large values, and objects, of which only pieces were there.
    pub pieces: usize,
    /// Markers of deletions.
    pub markers: usize,
}

impl NatsStore {
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
        self.clean_before(before).await
    }

    async fn clean_before(&self, before: SystemTime) -> Result<NatsCleaned, StoreError> {
        let (connection, values, policies) = (&self.inner.connection, &self.inner.values, &self.inner.policies);
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
        for objects in [values, policies] {
            cleaned.pieces += connection.bounded(limit, objects.remove_loose_pieces(before)).await?;
        }
        for (subject, sequence) in markers {
            // What was written to the key since stays.
            connection.bounded(limit, self.inner.keys.purge(subject, Some(sequence + 1))).await?;
            cleaned.markers += 1;
        }
        Ok(cleaned)
    }
}
