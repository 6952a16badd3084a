//! Delivers changes as they happen, and reports every gap.

use super::connection::{Connectivity, Status};
use super::deliveries::Delivered;
use super::feed::{Feed, News};
use super::{Connectivities, Inner, keys, record};
use futures_util::stream;
use std::collections::HashMap;
use tokio::sync::watch;
use upright_core::store::background::with_it;
use upright_core::store::{Change, Changes, StoreError};

pub(super) async fn changes(inner: &Inner, prefix: &str) -> Result<Changes, StoreError> {
    let subject = inner.subject(&keys::filter(prefix));
    let opened = Feed::open(&inner.keys, inner.alive.subscribe(), subject, true);
    let feed = inner.connection.bounded(inner.connection.limit(0), opened).await?;
    let since = feed.seen();
    let watcher = Watcher { feed, subjects: inner.prefix.clone(), prefix: prefix.to_owned(), since, latest: HashMap::new(), next: None };
    Ok(Box::pin(stream::unfold(watcher, next_change)))
}

struct Watcher {
    feed: Feed,
    subjects: String,
    prefix: String,
    /// Sequence before the watch.
    since: u64,
    /// Versions of changed keys; each message names its predecessor.
    latest: HashMap<String, u64>,
    next: Option<Change>,
}

async fn next_change(mut watcher: Watcher) -> Option<(Result<Change, StoreError>, Watcher)> {
    if let Some(change) = watcher.next.take() {
        return Some((Ok(change), watcher));
    }
    loop {
        let change = match with_it(watcher.feed.next()).await? {
            News::Missed(count) => {
                watcher.since = watcher.feed.seen();
                watcher.latest.clear();
                Err(StoreError::ChangesMissed { count })
            }
            News::Message(message) => match watcher.change(&message) {
                Some(change) => change,
                None => continue,
            },
        };
        return Some((change, watcher));
    }
}

impl Watcher {
    fn change(&mut self, message: &Delivered) -> Option<Result<Change, StoreError>> {
        let key = message.subject.strip_prefix(&self.subjects).and_then(keys::decode).filter(|key| key.starts_with(&self.prefix))?;
        let before = self.latest.insert(key.clone(), message.sequence);
        let missed = record::replaced(&message.headers).is_some_and(|replaced| replaced > self.since && before != Some(replaced));
        let change = Change { key, version: message.sequence, kind: record::kind(&message.headers) };
        if !missed {
            return Some(Ok(change));
        }
        self.next = Some(change);
        // The number missed is unknown.
        Some(Err(StoreError::ChangesMissed { count: 1 }))
    }
}

pub(super) fn connectivities(status: watch::Receiver<Status>, store: watch::Receiver<()>) -> Connectivities {
    Box::pin(stream::unfold((status, store, None), next_connectivity))
}

type Listener = (watch::Receiver<Status>, watch::Receiver<()>, Option<Connectivity>);

async fn next_connectivity((mut status, mut store, reported): Listener) -> Option<(Connectivity, Listener)> {
    let gone = async { while store.changed().await.is_ok() {} };
    let changed = async { status.wait_for(|status| Some(status.connectivity) != reported).await.map(|status| status.connectivity) };
    let connectivity = tokio::select! {
        biased;
        connectivity = changed => connectivity.ok()?,
        () = gone => return None,
    };
    Some((connectivity, (status, store, Some(connectivity))))
}
