//! What the server has seen, for tests to look at and to wait for.

use crate::asked::Asked;
use crate::state::locked;
use serde_json::Value;
use std::sync::Mutex;
use tokio::sync::watch;

/// One request that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// `GET`, `POST`, …
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// The model that it names, as the client spelled it.
    pub model: Option<String>,
    /// Its body; `Null` where that is empty or not JSON.
    pub body: Value,
    /// The row that was replayed to it, or [`crate::HEALTHY`].
    pub replay: &'static str,
    /// Whether the client closed the connection before it had the whole answer.
    pub client_left: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    seen: Mutex<Vec<Seen>>,
    /// Told at each change of anything that a test can look at.
    pub(crate) changed: watch::Sender<()>,
}

impl Log {
    /// Notes a request and gives its number.
    pub(crate) fn note(&self, asked: &Asked, replay: &'static str) -> usize {
        let mut seen = locked(&self.seen);
        seen.push(Seen {
            method: asked.method.to_string(),
            path: asked.path.clone(),
            model: asked.model.clone(),
            body: asked.body.clone(),
            replay,
            client_left: false,
        });
        let number = seen.len() - 1;
        drop(seen);
        self.changed.send_replace(());
        number
    }

    pub(crate) fn note_client_left(&self, number: usize) {
        if let Some(seen) = locked(&self.seen).get_mut(number) {
            seen.client_left = true;
        }
        self.changed.send_replace(());
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        locked(&self.seen).clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        locked(&self.seen).iter().filter(|seen| seen.path == path).count()
    }
}
