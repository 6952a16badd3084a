//! Records requests for tests.

use crate::asked::Asked;
use crate::state::locked;
use serde_json::Value;
use std::sync::Mutex;
use tokio::sync::watch;

/// A received request.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Model as the client spelled it.
    pub model: Option<String>,
    /// Body; `Null` if empty or not JSON.
    pub body: Value,
    /// Row replayed, or [`crate::HEALTHY`].
    pub replay: &'static str,
    /// Whether the client left before the whole answer.
    pub client_left: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    seen: Mutex<Vec<Seen>>,
    pub(crate) changed: watch::Sender<()>,
}

impl Log {
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
