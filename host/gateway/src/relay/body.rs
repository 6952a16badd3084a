//! The answer's body on its way to the client: forwarded as it comes, judged on the way, never ended as whole unless it
//! is.

use super::call::Call;
use crate::front::{self, ErrorFacts, Writer};
use crate::upstream::AnswerBody;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use upright_core::types::Endpoint;
use upright_protocol::{LINE_LIMIT, LineSplitter, OllamaError, Reader, Timeout, judged, unreadable};

/// Maximum copy of the last piece, bytes: an error stands there.
const LAST: usize = 16 << 10;

/// The client got all that it will get, and must not take it for whole: the connection is aborted.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not whole: the connection is aborted")]
pub(crate) struct Aborted;

/// A translation of Ollama's lines into the client's protocol.
pub(super) struct Translation {
    pub(super) writer: Box<dyn Writer>,
    pub(super) lines: LineSplitter,
}

impl Translation {
    pub(super) fn new(writer: Box<dyn Writer>) -> Self {
        Self { writer, lines: LineSplitter::new(LINE_LIMIT) }
    }

    /// Bytes for the client, made from these bytes of the host; `None` if they are not Ollama's.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.lines.push(bytes);
        self.written()
    }

    /// Bytes for the client, made from the host's last line if it lacks its line end, and the end of the stream.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        self.lines.push(b"\n");
        let mut out = self.written()?;
        self.writer.end(&mut out);
        Some(out)
    }

    fn written(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => self.writer.line(&line, &mut out).ok()?,
                Ok(None) => return Some(out),
                Err(_) => return None,
            }
        }
    }
}

enum Phase {
    Open,
    /// The error was handed on. The next poll waits once: what is not yet flushed would be dropped with the connection.
    Flushing,
    /// All was sent; the next poll aborts.
    Aborting,
    Ended,
}

/// A streamed answer on its way.
pub(crate) struct Relay {
    upstream: AnswerBody,
    reader: Reader,
    endpoint: Endpoint,
    translation: Option<Translation>,
    ready: VecDeque<Bytes>,
    last: Vec<u8>,
    /// Whether the client's last byte ended a line.
    at_line: bool,
    between: Duration,
    silence: Pin<Box<Sleep>>,
    /// Whether the answer to a cut question passes.
    accepts_cuts: bool,
    call: Option<Call>,
    phase: Phase,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Relay({:?})", self.endpoint)
    }
}

impl Relay {
    /// Goes on with an answer of which these pieces came, the first content among them.
    pub(super) fn new(
        upstream: AnswerBody,
        reader: Reader,
        translation: Option<Translation>,
        held: Vec<Bytes>,
        between: Duration,
        call: Call,
    ) -> Self {
        let endpoint = call.endpoint();
        let silence = Box::pin(tokio::time::sleep(between));
        let mut relay = Self {
            upstream,
            reader,
            endpoint,
            translation,
            ready: VecDeque::with_capacity(held.len()),
            last: Vec::new(),
            at_line: true,
            between,
            silence,
            accepts_cuts: call.accepts_cuts,
            call: Some(call),
            phase: Phase::Open,
        };
        for piece in held {
            relay.forward(piece);
        }
        relay
    }

    /// Hands bytes of the host on, in the client's protocol.
    fn forward(&mut self, bytes: Bytes) {
        self.remember(&bytes);
        if let Some(call) = &mut self.call {
            call.came(&bytes);
        }
        match &mut self.translation {
            None => {
                self.at_line = bytes.last() == Some(&b'\n');
                self.ready.push_back(bytes);
            }
            Some(translation) => match translation.push(&bytes) {
                Some(out) if out.is_empty() => {}
                Some(out) => self.ready.push_back(out.into()),
                None => self.fail(&unreadable(self.endpoint, &bytes)),
            },
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.last.clear();
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST)..]);
    }

    /// Takes the next bytes of the host.
    fn take(&mut self, bytes: Bytes) {
        self.silence.as_mut().reset(Instant::now() + self.between);
        self.reader.push(&bytes);
        if self.reader.has_failed() || self.reader.is_over() {
            self.remember(&bytes);
            // The end is handed on only if the answer is whole.
            let (asked, judgement) = (self.reader.asked().clone(), self.reader.judgement());
            if let Err(error) = judged(self.endpoint, asked, judgement, &self.last, self.accepts_cuts) {
                return self.fail(&error);
            }
        }
        self.forward(bytes);
    }

    /// The host's answer ended, properly or not.
    fn end(&mut self, whole: bool) {
        let asked = self.reader.asked().clone();
        let reader = std::mem::replace(&mut self.reader, Reader::new(asked.clone(), 200));
        let question_cut = match judged(self.endpoint, asked, reader.end(whole), &self.last, self.accepts_cuts) {
            Ok(question_cut) => question_cut,
            Err(error) => return self.fail(&error),
        };
        if let Some(translation) = &mut self.translation {
            match translation.end() {
                Some(out) if out.is_empty() => {}
                Some(out) => self.ready.push_back(out.into()),
                None => return self.fail(&unreadable(self.endpoint, &self.last)),
            }
        }
        if let Some(call) = self.call.take() {
            call.succeeded(question_cut);
        }
        self.phase = Phase::Ended;
    }

    fn fail(&mut self, error: &OllamaError) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let facts = ErrorFacts { status: 502, message: error.to_string(), code: None, retry_after: None };
        let mut out = Vec::new();
        match &mut self.translation {
            Some(translation) => translation.writer.error_in_stream(&facts, &mut out),
            None => {
                let route = self.reader.asked().route;
                // An event ends with a blank line.
                out.extend_from_slice(match (self.at_line, route.is_ollamas()) {
                    (true, true) => b"",
                    (false, false) => b"\n\n",
                    _ => b"\n",
                });
                front::error_in_stream(route, &facts, &mut out);
            }
        }
        self.ready.push_back(out.into());
        if let Some(call) = self.call.take() {
            call.broken(error);
        }
        self.phase = Phase::Flushing;
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match self.phase {
                Phase::Ended => return Poll::Ready(None),
                Phase::Flushing => {
                    self.phase = Phase::Aborting;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Phase::Aborting => return Poll::Ready(Some(Err(Aborted))),
                Phase::Open => {}
            }
            match self.upstream.poll_bytes(context) {
                Poll::Ready(Some(Ok(bytes))) => self.take(bytes),
                Poll::Ready(Some(Err(_))) => self.end(false),
                Poll::Ready(None) => self.end(true),
                Poll::Pending => {
                    if self.silence.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    let (endpoint, limit) = (self.endpoint, self.between);
                    self.fail(&OllamaError::Timeout { endpoint, timeout: Timeout::BetweenTokens, limit });
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
