//! Informs watchers in order, without delaying writers.

use super::{Change, Changes, StoreError};
use futures_util::stream;
use tokio::sync::broadcast::{self, error::RecvError};

/// Maximum queued changes per watcher.
pub const BACKLOG: usize = 1024;

#[derive(Clone)]
enum News {
    Change(Change),
    /// This many changes are lost.
    Missed(u64),
}

/// The watchers; streams end with the last clone.
#[derive(Clone)]
pub struct Watchers(broadcast::Sender<News>);

impl Default for Watchers {
    fn default() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }
}

impl Watchers {
    /// Whether none watch.
    pub fn is_empty(&self) -> bool {
        self.0.receiver_count() == 0
    }

    /// Sends a change.
    pub fn tell(&self, change: Change) {
        let _ = self.0.send(News::Change(change));
    }

    /// Reports lost changes.
    pub fn missed(&self, count: u64) {
        if count > 0 {
            let _ = self.0.send(News::Missed(count));
        }
    }

    /// Later changes under this prefix.
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
