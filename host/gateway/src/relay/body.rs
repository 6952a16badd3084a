//! The answer's body on its way to the client: forwarded as it comes, judged on the way, never ended as whole unless it
//! is. A cut answer is asked for again, and goes on where the client's part ends.

use super::attempt::Brought;
use super::call::{Call, Came, Stop};
use crate::front::{self, ErrorFacts, Writer};
use crate::upstream::AnswerBody;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use upright_core::driving::{Finish, Step};
use upright_protocol::{Broken, OllamaError, Timeout, unreadable};

/// The client got all that it will get, and must not take it for whole: the connection is aborted.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not whole: the connection is aborted")]
pub(crate) struct Aborted;

/// A translation of Ollama's lines into the client's protocol.
pub(super) struct Translation(Box<dyn Writer>);

impl Translation {
    pub(super) fn new(writer: Box<dyn Writer>) -> Self {
        Self(writer)
    }

    /// Bytes for the client, made from these lines; `None` if they are not Ollama's.
    pub(super) fn written(&mut self, lines: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            self.0.line(line, &mut out).ok()?;
        }
        Some(out)
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

/// A request that looks for the rest of its answer.
type Rescue = Pin<Box<dyn Future<Output = (Box<Call>, Result<Came, Stop>)>>>;

/// A streamed answer on its way.
pub(crate) struct Relay {
    upstream: Option<AnswerBody>,
    translation: Option<Translation>,
    ready: VecDeque<Bytes>,
    between: Duration,
    silence: Pin<Box<Sleep>>,
    /// The request, until it ends.
    call: Option<Box<Call>>,
    rescue: Option<Rescue>,
    /// The error of the first cut.
    cut: Option<String>,
    phase: Phase,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Relay({:?})", self.call.as_ref().map(|call| call.id()))
    }
}

impl Relay {
    /// Goes on with an answer of which these lines came, the first content among them.
    pub(super) fn new(
        upstream: AnswerBody,
        translation: Option<Translation>,
        held: Vec<Bytes>,
        between: Duration,
        call: Box<Call>,
    ) -> Self {
        let mut relay = Self {
            upstream: Some(upstream),
            translation,
            ready: VecDeque::with_capacity(held.len()),
            between,
            silence: Box::pin(tokio::time::sleep(between)),
            call: Some(call),
            rescue: None,
            cut: None,
            phase: Phase::Open,
        };
        for lines in held {
            relay.forward(lines);
        }
        relay
    }

    /// Hands lines of the host on, in the client's protocol.
    fn forward(&mut self, lines: Bytes) {
        let Some(call) = self.call.as_mut().filter(|_| !lines.is_empty()) else { return };
        call.came(&lines);
        if let Some(story) = &mut call.story {
            story.goes_on();
        }
        let endpoint = call.question.endpoint;
        match &mut self.translation {
            None => self.ready.push_back(lines),
            Some(translation) => match translation.written(&lines) {
                Some(out) if out.is_empty() => {}
                Some(out) => self.ready.push_back(out.into()),
                None => self.fail(&unreadable(endpoint, &lines)),
            },
        }
    }

    /// Takes the next bytes of the host.
    fn take(&mut self, bytes: Bytes) {
        self.silence.as_mut().reset(Instant::now() + self.between);
        let Some(stream) = self.call.as_mut().and_then(|call| call.stream.as_mut()) else { return };
        match stream.take(&bytes) {
            Ok(lines) => self.forward(lines),
            Err(broken) => self.broken(broken),
        }
    }

    /// The host's answer ended, properly or not.
    fn end(&mut self, whole: bool) {
        self.upstream = None;
        let Some(stream) = self.call.as_mut().and_then(|call| call.stream.as_mut()) else {
            // The request has ended, and so has its answer.
            self.phase = Phase::Aborting;
            return;
        };
        match stream.end(whole) {
            Ok(end) => self.ended(end.bytes, end.question_cut),
            Err(broken) => self.broken(broken),
        }
    }

    /// The answer is whole, with these last lines.
    fn ended(&mut self, lines: Bytes, question_cut: bool) {
        self.forward(lines);
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        if let Some(Translation(writer)) = &mut self.translation {
            let mut out = Vec::new();
            writer.end(&mut out);
            self.ready.push_back(out.into());
        }
        if let Some(mut call) = self.call.take() {
            call.succeeded(question_cut);
        }
        self.phase = Phase::Ended;
    }

    /// The host's answer is not whole, or another one than the client has.
    fn broken(&mut self, broken: Broken) {
        self.upstream = None;
        let Some(call) = &mut self.call else { return };
        let step = match &broken {
            Broken::Cut(error) => {
                self.cut.get_or_insert_with(|| error.to_string());
                call.cut(error)
            }
            Broken::Differs => call.differs(),
        };
        self.pursue(step);
    }

    /// Looks for the rest of the answer by this step.
    fn pursue(&mut self, step: Step) {
        if let Step::Fail(_) | Step::FallBack(_) | Step::ServeCached(_) = step {
            return self.give_up();
        }
        if let Some(mut call) = self.call.take() {
            if let Some(story) = &mut call.story {
                story.cut();
            }
            self.rescue = Some(Box::pin(async move {
                let came = call.pursue(step).await;
                (call, came)
            }));
        }
    }

    /// Another attempt has an answer, or none will.
    fn resume(&mut self, call: Box<Call>, came: Result<Came, Stop>) {
        let finish = call.run.finish();
        let is_native = self.translation.is_none();
        self.call = Some(call);
        let Ok(Came { brought, .. }) = came else { return self.give_up() };
        match finish {
            Finish::Repeat => {}
            Finish::GoOn => self.ready.push_back(Bytes::from_static(front::mark(is_native, front::Mark::Continued))),
            Finish::Restart => self.ready.push_back(Bytes::from_static(front::mark(is_native, front::Mark::Restarted))),
        }
        match brought {
            Brought::Stream { held, rest, .. } => {
                self.upstream = Some(rest);
                self.silence.as_mut().reset(Instant::now() + self.between);
                held.into_iter().for_each(|lines| self.forward(lines));
            }
            Brought::Whole { bytes, question_cut, .. } => self.ended(bytes, question_cut),
        }
    }

    /// The client gets the error of the first cut.
    fn give_up(&mut self) {
        let Some(call) = &mut self.call else { return };
        let last = call.missed.as_ref().map(|missed| missed.message.clone());
        call.end("broken", last);
        self.error(self.cut.clone().unwrap_or_else(|| "the answer was cut".to_owned()));
    }

    /// The answer cannot be used.
    fn fail(&mut self, error: &OllamaError) {
        if let Some(call) = &mut self.call {
            call.broken(error);
        }
        self.error(error.to_string());
    }

    fn error(&mut self, message: String) {
        let Some(call) = self.call.take() else { return };
        let facts = ErrorFacts { status: 502, message, code: None, retry_after: None };
        let mut out = Vec::new();
        match &mut self.translation {
            Some(Translation(writer)) => writer.error_in_stream(&facts, &mut out),
            None => {
                let route = call.question.asked.route;
                // An event ends with a blank line.
                out.extend_from_slice(if route.is_ollamas() { b"" } else { b"\n" });
                front::error_in_stream(route, &facts, &mut out);
            }
        }
        self.upstream = None;
        self.ready.push_back(out.into());
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
            if let Some(rescue) = &mut self.rescue {
                let (call, came) = ready!(rescue.as_mut().poll(context));
                self.rescue = None;
                self.resume(call, came);
                continue;
            }
            let upstream = self.upstream.as_mut().map_or(Poll::Ready(None), |upstream| upstream.poll_bytes(context));
            match upstream {
                Poll::Ready(Some(Ok(bytes))) => self.take(bytes),
                Poll::Ready(Some(Err(_))) => self.end(false),
                Poll::Ready(None) => self.end(true),
                Poll::Pending => {
                    if self.silence.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    let limit = self.between;
                    if let Some(call) = &self.call {
                        let endpoint = call.question.endpoint;
                        self.broken(OllamaError::Timeout { endpoint, timeout: Timeout::BetweenTokens, limit }.into());
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
