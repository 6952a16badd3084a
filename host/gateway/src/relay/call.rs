//! One request of a client, from its first attempt to the end of its answer.

use super::place::Place;
use super::story::Story;
use crate::hosts::host::InFlight;
use upright_core::driving::{Facts, Run};
use upright_core::types::Endpoint;
use upright_protocol::OllamaError;

/// A request in progress. Dropped before its end, the client is gone: that counts for nothing.
pub(super) struct Call {
    run: Run<Place>,
    endpoint: Endpoint,
    story: Option<Story>,
    /// Counts at the host while the answer comes.
    busy: Option<InFlight>,
}

impl Call {
    pub(super) fn new(run: Run<Place>, endpoint: Endpoint, story: Story, busy: InFlight) -> Self {
        Self { run, endpoint, story: Some(story), busy: Some(busy) }
    }

    pub(super) fn id(&self) -> u64 {
        self.story.as_ref().map_or(0, Story::id)
    }

    pub(super) const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The client got a whole answer.
    pub(super) fn succeeded(mut self) {
        self.run.succeeded();
        if let Some(busy) = &mut self.busy {
            busy.succeeded();
        }
        self.end("whole", None);
    }

    /// The answer broke after content was sent. The breaker hears of it; the client got an error.
    pub(super) fn broken(mut self, error: &OllamaError) {
        let facts = Facts::of(error);
        // Only a rescue could follow, and the gateway has none yet.
        let _ = self.run.failed(facts);
        self.end("broken", Some(error.to_string()));
    }

    fn end(&mut self, outcome: &'static str, error: Option<String>) {
        self.busy = None;
        if let Some(story) = self.story.take() {
            story.end(outcome, self.run.attempts(), error);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end("client_gone", None);
    }
}
