//! An answer that comes piece by piece.
//!
//! Bytes are no sign of life: a server can drip white space for ever. So a budget runs from one whole line to the next.

use super::client::{OllamaClient, only_moved, with_stream};
use super::error::{Budget, Cut, OllamaError};
use super::messages::{ChatChunk, ChatRequest, Written};
use super::ndjson::LineSplitter;
use crate::types::Endpoint;
use bytes::Bytes;
use futures_util::{Stream, stream};
use reqwest::Response;

/// A line is no longer than this, bytes.
const LINE_LIMIT: usize = 8 << 20;

const ENDPOINT: Endpoint = Endpoint::Chat;

pub(super) fn chat(client: OllamaClient, request: ChatRequest) -> impl Stream<Item = Result<ChatChunk, OllamaError>> + Send + use<> {
    stream::unfold((client, State::Asked(Box::new(request))), |(client, state)| async move {
        let mut reading = match state {
            State::Over => return None,
            State::Reading(reading) => reading,
            State::Asked(request) => match client.begin("/api/chat", ENDPOINT, &with_stream(&request, true)).await {
                Ok(response) => Reading::new(response, &request),
                Err(error) => return Some((Err(error), (client, State::Over))),
            },
        };
        let next = reading.next(&client).await;
        let goes_on = matches!(&next, Ok(chunk) if !chunk.done);
        let state = if goes_on { State::Reading(reading) } else { State::Over };
        Some((next, (client, state)))
    })
}

enum State {
    Asked(Box<ChatRequest>),
    Reading(Reading),
    Over,
}

/// A line, and whether its end has come.
struct Line {
    text: Bytes,
    ended: bool,
}

struct Reading {
    response: Response,
    lines: LineSplitter,
    /// Characters so far.
    received: usize,
    begun: bool,
    /// Whether anything was to be written: without messages a request only loads the model.
    wanted: bool,
    /// Whether anything was, if only a tool call.
    written: bool,
}

impl Reading {
    fn new(response: Response, request: &ChatRequest) -> Self {
        let wanted = !request.messages.is_empty();
        Self { response, lines: LineSplitter::new(LINE_LIMIT), received: 0, begun: false, wanted, written: false }
    }

    async fn next(&mut self, client: &OllamaClient) -> Result<ChatChunk, OllamaError> {
        let budget = if self.begun { Budget::BetweenTokens } else { Budget::FirstToken };
        let Some(line) = client.within(budget, ENDPOINT, self.line(client)).await? else {
            return Err(self.incomplete(Cut::NoDone));
        };
        self.begun = true;
        let invalid = || OllamaError::invalid(ENDPOINT, "a line of a chat's answer", &line.text);
        let written: Written = match serde_json::from_slice(&line.text) {
            Ok(written) => written,
            Err(_) if line.ended => return Err(invalid()),
            Err(_) => return Err(self.incomplete(Cut::WithinLine)),
        };
        if let Some(said) = written.failure() {
            return Err(OllamaError::in_stream(ENDPOINT, said));
        }
        if written.message.is_none() && written.done.is_none() {
            return Err(invalid());
        }
        let message = written.message.unwrap_or_default();
        self.received += message.characters();
        self.written |= !message.says_nothing();
        let done = written.done == Some(true);
        match only_moved(&written.done_reason) {
            Some(done_reason) if done && self.wanted && !self.written => Err(self.incomplete(Cut::NothingWritten { done_reason })),
            _ => Ok(ChatChunk {
                model: written.model,
                message,
                done,
                done_reason: written.done_reason,
                timings: written.timings,
                line: line.text,
            }),
        }
    }

    /// The next line that is not blank; none at the end of the body.
    async fn line(&mut self, client: &OllamaClient) -> Result<Option<Line>, OllamaError> {
        loop {
            while let Some(text) = self.lines.next_line().map_err(|_| too_long())? {
                if !text.trim_ascii().is_empty() {
                    return Ok(Some(Line { text, ended: true }));
                }
            }
            match self.response.chunk().await.map_err(|error| client.transport(ENDPOINT, error))? {
                Some(piece) => self.lines.push(&piece),
                None => {
                    let text = self.lines.rest();
                    return Ok((!text.trim_ascii().is_empty()).then_some(Line { text, ended: false }));
                }
            }
        }
    }

    fn incomplete(&self, why: Cut) -> OllamaError {
        OllamaError::Incomplete { endpoint: ENDPOINT, why, received: self.received }
    }
}

fn too_long() -> OllamaError {
    let found = format!("one of more than {} MiB", LINE_LIMIT >> 20);
    OllamaError::InvalidAnswer { endpoint: ENDPOINT, expected: "a line of a reasonable size", found }
}
