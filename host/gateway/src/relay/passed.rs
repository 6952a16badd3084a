//! An answer of a host that passes through untouched, with its story.

use super::body::Aborted;
use super::story::Story;
use crate::hosts::host::Host;
use crate::upstream::AnswerBody;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Body of an answer that passes through. Its story ends with it.
#[derive(Debug)]
pub(crate) struct Passed {
    body: AnswerBody,
    story: Option<Story>,
}

impl Passed {
    /// The answer of this host. Its headers say what was done.
    pub(crate) fn new(host: &Arc<Host>, status: StatusCode, headers: &mut HeaderMap, body: AnswerBody, mut story: Story) -> Self {
        story.passes(host, status.as_u16());
        super::describe(headers, story.id(), "passed", story.attempts(), Some(host), None);
        Self { body, story: Some(story) }
    }

    pub(super) fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        Poll::Ready(match ready!(self.body.poll_bytes(context)) {
            Some(Ok(bytes)) => {
                if let Some(story) = &mut self.story {
                    story.passed(&bytes);
                }
                Some(Ok(bytes))
            }
            Some(Err(error)) => {
                self.end("broken", Some(error.to_string()));
                Some(Err(Aborted))
            }
            None => {
                self.end("passed", None);
                None
            }
        })
    }

    fn end(&mut self, outcome: &'static str, error: Option<String>) {
        if let Some(story) = self.story.take() {
            story.end_through(outcome, error);
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        // A reader that knows the length does not ask for the end.
        if self.body.is_at_end() {
            self.end("passed", None);
        }
    }
}
