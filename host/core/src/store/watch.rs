//! Tells watchers what changed, in the order in which it did, without a writer ever waiting for one of them.

use super::{Change, Changes, StoreError};
use futures_util::stream;
use tokio::sync::broadcast::{self, error::RecvError};

/// So many changes wait for a slow watcher before it misses the oldest.
pub const BACKLOG: usize = 1024;

#[derive(Clone)]
enum News {
    Change(Change),
    /// As many changes cannot be told any more.
    Missed(u64),
}

/// Those who watch. Cloning shares them; their streams end with the last clone.
#[derive(Clone)]
pub struct Watchers(broadcast::Sender<News>);

impl Default for Watchers {
    fn default() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }
}

impl Watchers {
    /// Whether nobody watches.

    pub fn is_empty(&self) -> bool {
        self.0.receiver_count() == 0
    }

    /// Tells all of them.
    pub fn tell(&self, change: Change) {
        // Without watchers nobody gets it, which is no failure.
        let _ = self.0.send(News::Change(change));
    }

    /// Tells all of them that so many changes are lost to them.

    pub fn missed(&self, count: u64) {
        if count > 0 {
            let _ = self.0.send(News::Missed(count));
        }
    }

    /// The changes under this prefix from now on.
    pub fn watch(&self, prefix: &str) -> Changes {
        Box::pin(stream::unfold((self.0.subscribe(), prefix.to_owned()), next_change))
    }
}

type Watcher = (broadcast::Receiver<News>, String);

async fn next_change((mut changes, prefix): Watcher) -> Option<(Result<Change, StoreError>, Watcher)> {
    loop {
        let change = match changes.recv().await {
            Ok(News::Change(change)) if change.key.starts_with(&prefix) => Ok(change),
            Ok(News::Change(_)) => continue,

            Ok(News::Missed(count)) => Err(StoreError::ChangesMissed { count }),
            Err(RecvError::Lagged(count)) => Err(StoreError::ChangesMissed { count }),
            Err(RecvError::Closed) => return None,
        };
        return Some((change, (changes, prefix)));
    }
}
