//! A streamed answer that is finished where it was cut.

use super::client::OllamaClient;
use super::messages::{ChatChunk, ChatRequest, Written};
use super::question::Question;
use crate::error::{BoxError, Error};
use crate::types::{Endpoint, Rescue};
use futures_util::{Stream, StreamExt, stream};
use std::pin::{Pin, pin};
use std::time::Duration;
use upright_core::RetryStrategy;
use upright_core::clock::{Instant, SharedClock, between};
use upright_core::driving::{Facts, Run, Step, within};
use upright_core::error::AttemptTimeout;
use upright_protocol::{AnswerStream, Broken, Hold, OllamaError};

const ENDPOINT: Endpoint = Endpoint::Chat;
/// Length of an answer that is kept to compare a repeat with, bytes. Of the rest a hash is kept.
const MEMORY: usize = 64 << 10;

type Chunks = Pin<Box<dyn Stream<Item = Result<ChatChunk, OllamaError>> + Send>>;

pub(super) fn chat(
    client: OllamaClient,
    strategy: &RetryStrategy,
    request: ChatRequest,
) -> impl Stream<Item = Result<ChatChunk, Error>> + Send + use<> {
    let run = Run::begin(strategy);
    stream::once(async move { Answer::begin(client, run, request) }).flat_map(|answer| stream::unfold(answer, Answer::next))
}

/// An answer in progress.
struct Answer {
    client: OllamaClient,
    request: ChatRequest,
    run: Run,
    /// The step before more of it comes; `None` once it has ended.
    step: Option<Step>,
    chunks: Option<Chunks>,
    answer: Option<Box<AnswerStream>>,
    last: Option<BoxError>,
    /// The last cut, for a repeat that differs from it.
    cut: Option<Facts>,
    /// When the attempt began, and the time that it has.
    limit: Option<(Instant, Duration)>,
}

impl Answer {
    fn begin(client: OllamaClient, mut run: Run, request: ChatRequest) -> Self {
        let step = Some(run.admit());
        // A request that cannot be sent is refused by its first attempt.
        let asked = Question::chat(&request, true).ok().map(|question| question.asked);
        let answer = asked.map(|asked| Box::new(AnswerStream::new(asked, ENDPOINT, true, MEMORY, Hold::Nothing)));
        Self { client, request, run, step, chunks: None, answer, last: None, cut: None, limit: None }
    }

    async fn next(mut self) -> Option<(Result<ChatChunk, Error>, Self)> {
        loop {
            if let Some(mut chunks) = self.chunks.take() {
                match came(&self.client.clock, self.limit, &mut chunks).await {
                    Ok(chunk) => match self.new_of(chunk) {
                        Ok(Some(chunk)) => {
                            if chunk.done {
                                self.run.succeeded()
                            } else {
                                self.chunks = Some(chunks)
                            }
                            return Some((Ok(chunk), self));
                        }
                        Ok(None) => self.chunks = Some(chunks),
                        Err(broken) => self.broken(broken),
                    },
                    Err(error) => self.failed(error),
                }
                continue;
            }
            match self.step.take()? {
                Step::Attempt(attempt) => {
                    self.run.begun();
                    self.limit = attempt.time_left.map(|left| (self.client.clock.now(), left));
                    let window = attempt.window.or(self.request.window);
                    self.chunks = Some(Box::pin(self.client.chat_stream(ChatRequest { window, ..self.request.clone() })));
                    if let Some(answer) = self.answer.as_mut().filter(|_| attempt.number > 1) {
                        answer.repeat();
                    }
                }
                Step::Wait(delay) => {
                    self.client.clock.sleep(delay).await;
                    self.step = Some(self.run.admit());
                }
                Step::Again => self.step = Some(self.run.admit()),
                Step::ServeCached(end) | Step::FallBack(end) | Step::Fail(end) => {
                    let last = self.last.take();
                    return Some((Err(end.into_error(last)), self));
                }
            }
        }
    }

    /// The part of a chunk that the caller does not have.
    fn new_of(&mut self, chunk: ChatChunk) -> Result<Option<ChatChunk>, Broken> {
        let Some(answer) = &mut self.answer else { return Ok(Some(chunk)) };
        let line = [&chunk.line, b"\n".as_slice()].concat();
        let new = answer.take(&line)?;
        if new == line || new.is_empty() {
            return Ok(Some(chunk).filter(|_| !new.is_empty()));
        }
        // It was written by this program, so it can be read.
        let written: Written =
            serde_json::from_slice(&new).map_err(|_| OllamaError::invalid(ENDPOINT, "a line of a chat's answer", &new))?;
        let line = new.slice(..new.len().saturating_sub(1));
        Ok(Some(ChatChunk { message: written.message.unwrap_or_default(), line, ..chunk }))
    }

    fn failed(&mut self, error: BoxError) {
        let facts = self.run.facts(&*error);
        self.last = Some(error);
        self.cut = Some(facts.clone());
        if let Some(answer) = self.answer.as_ref().filter(|answer| !answer.is_fresh()) {
            let replay = answer.can_repeat() && !answer.asked().can_differ();
            self.run.rescue(Rescue { replay, ..Rescue::default() });
        }
        self.step = Some(self.run.failed(facts));
    }

    fn broken(&mut self, broken: Broken) {
        match (broken, self.cut.clone()) {
            (Broken::Differs, Some(cut)) => {
                self.run.rescue(Rescue::default());
                self.step = Some(self.run.differed(cut));
            }
            (Broken::Cut(error), _) => self.failed(error.into()),
            (differs, None) => self.failed(differs.into()),
        }
    }
}

/// The next chunk of an attempt, within the time of all its chunks since it began.
async fn came(clock: &SharedClock, limit: Option<(Instant, Duration)>, chunks: &mut Chunks) -> Result<ChatChunk, BoxError> {
    let left = limit.map(|(began, limit)| limit.saturating_sub(between(began, clock.now())));
    match within(left, clock, pin!(async { Ok::<_, ()>(chunks.next().await) })).await {
        Ok(Some(came)) => came.map_err(Into::into),
        Ok(None) => Err(OllamaError::invalid(ENDPOINT, "an answer that says that it is whole", b"").into()),
        Err(_) => Err(AttemptTimeout { limit: limit.map_or(Duration::ZERO, |(_, limit)| limit) }.into()),
    }
}
