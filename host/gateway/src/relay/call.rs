//! One request of a client, from its first attempt to the end of its answer.

use super::cache::Draft;
use super::place::Place;
use super::story::Story;
use crate::hosts::host::InFlight;
use crate::hosts::queue;
use upright_core::driving::{Facts, Run};
use upright_core::types::Endpoint;
use upright_protocol::OllamaError;

/// A request in progress. Dropped before its end, the client is gone: that counts for nothing.
pub(super) struct Call {
    pub(super) run: Run<Place>,
    pub(super) endpoint: Endpoint,
    pub(super) story: Option<Story>,
    /// Counts at the host while the answer comes.
    pub(super) busy: Option<InFlight>,
    /// Lets the next request in when the answer has ended.
    pub(super) held: Option<queue::Place>,
    /// Whether the answer to a cut question passes.
    pub(super) accepts_cuts: bool,
    /// The answer on its way into the cache.
    pub(super) draft: Option<Draft>,
}

impl Call {
    pub(super) fn id(&self) -> u64 {
        self.story.as_ref().map_or(0, Story::id)
    }

    pub(super) const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// These bytes of the host's answer came.
    pub(super) fn came(&mut self, bytes: &[u8]) {
        self.draft = self.draft.take().and_then(|draft| draft.with(bytes));
    }

    /// The client got a whole answer. The host may have dropped a part of the question, where that is accepted.
    pub(super) fn succeeded(mut self, question_cut: bool) {
        self.run.succeeded();
        if let Some(busy) = &mut self.busy {
            busy.succeeded();
        }
        if question_cut && let Some(story) = &self.story {
            story.question_cut();
        }
        // Another model's answer is none to this request.
        if let Some(draft) = self.draft.take().filter(|_| !question_cut && self.run.is_as_asked()) {
            draft.keep();
        }
        self.end("whole", None);
    }

    /// The answer broke after content was sent. The breaker hears of it; the client got an error.
    pub(super) fn broken(mut self, error: &OllamaError) {
        let facts = Facts::of(error);
        if let Some(story) = &mut self.story {
            story.missed(facts.fault.kind.name());
        }
        self.run.broken(facts);
        self.end("broken", Some(error.to_string()));
    }

    fn end(&mut self, outcome: &'static str, error: Option<String>) {
        self.busy = None;
        self.held = None;
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
