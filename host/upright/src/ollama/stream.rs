//! Reads a streamed answer. Its time limits run from line to line: single bytes prove nothing, because a server can
//! drip white space forever.

use super::client::OllamaClient;
use super::messages::{ChatChunk, ChatRequest, Written};
use super::question::Question;
use crate::types::Endpoint;
use bytes::{Buf as _, Bytes};
use futures_util::{Stream, stream};
use reqwest::Response;
use upright_protocol::{Cut, Judge, LINE_LIMIT, LineSplitter, OllamaError, Timeout};

const ENDPOINT: Endpoint = Endpoint::Chat;

pub(super) fn chat(client: OllamaClient, request: ChatRequest) -> impl Stream<Item = Result<ChatChunk, OllamaError>> + Send + use<> {
    stream::unfold((client, State::Asked(Box::new(request))), |(client, state)| async move {
        let mut reading = match state {
            State::Over => return None,
            State::Reading(reading) => reading,
            State::Asked(request) => match Reading::begin(&client, &request).await {
                Ok(reading) => reading,
                Err(error) => {
                    #[cfg(feature = "metrics")]
                    crate::metrics::answered(Err(&error));
                    return Some((Err(error), (client, State::Over)));
                }
            },
        };
        let next = reading.next(&client).await;
        #[cfg(feature = "metrics")]
        if let Some(outcome) = next.as_ref().map(|chunk| chunk.verdict.as_ref()).transpose() {
            crate::metrics::answered(outcome);
        }
        let goes_on = matches!(&next, Ok(chunk) if !chunk.done);
        let state = if goes_on { State::Reading(reading) } else { State::Over };
        Some((next, (client, state)))
    })
}

#[expect(clippy::large_enum_variant, reason = "a box would be one allocation more for each stream")]
enum State {
    Asked(Box<ChatRequest>),
    Reading(Reading),
    Over,
}

struct Line {
    text: Bytes,
    ended: bool,
}

struct Reading {
    response: Response,
    lines: LineSplitter,
    /// Bytes that are not yet split.
    piece: Bytes,
    begun: bool,
    question: Question,
    judge: Judge,
}

impl Reading {
    async fn begin(client: &OllamaClient, request: &ChatRequest) -> Result<Self, OllamaError> {
        let mut question = Question::chat(request, true)?;
        let response = client.ask(&mut question).await?;
        let judge = Judge::new(question.asked.clone());
        Ok(Self { response, lines: LineSplitter::new(LINE_LIMIT), piece: Bytes::new(), begun: false, question, judge })
    }

    async fn next(&mut self, client: &OllamaClient) -> Result<ChatChunk, OllamaError> {
        let timeout = if self.begun { Timeout::BetweenTokens } else { Timeout::FirstToken };
        let Some(line) = client.within(timeout, ENDPOINT, self.line(client)).await? else {
            return Err(self.cut(Cut::NoDone));
        };
        self.begun = true;
        let invalid = || OllamaError::invalid(ENDPOINT, "a line of a chat's answer", &line.text);
        let written: Written = match serde_json::from_slice(&line.text) {
            Ok(written) => written,
            Err(_) if line.ended => return Err(invalid()),
            Err(_) => return Err(self.cut(Cut::WithinLine)),
        };
        if let Some(said) = written.failure() {
            return Err(OllamaError::in_stream(ENDPOINT, said));
        }
        if written.message.is_none() && written.done.is_none() {
            return Err(invalid());
        }
        self.judge.take(&written.piece());
        let done = written.done == Some(true);
        let (mut verdict, mut notice) = (None, None);
        if done {
            notice = client.learn(&self.question, &written.timings, &mut self.judge).await;
            verdict = Some(OllamaError::judged(ENDPOINT, &self.judge)?);
        }
        Ok(ChatChunk {
            model: written.model,
            message: written.message.unwrap_or_default(),
            done,
            done_reason: written.done_reason,
            timings: written.timings,
            verdict,
            notice,
            line: line.text,
        })
    }

    async fn line(&mut self, client: &OllamaClient) -> Result<Option<Line>, OllamaError> {
        loop {
            let mut rest = &self.piece[..];
            let found = self.lines.next_line(&mut rest).map_err(|_| too_long())?.map(Bytes::copy_from_slice);
            self.piece.advance(self.piece.len() - rest.len());
            match found {
                Some(text) if text.trim_ascii().is_empty() => {}
                Some(text) => return Ok(Some(Line { text, ended: true })),
                None => match self.response.chunk().await.map_err(|error| client.transport(ENDPOINT, error))? {
                    Some(piece) => self.piece = piece,
                    None => {
                        let text = Bytes::copy_from_slice(self.lines.rest());
                        return Ok((!text.trim_ascii().is_empty()).then_some(Line { text, ended: false }));
                    }
                },
            }
        }
    }

    fn cut(&mut self, how: Cut) -> OllamaError {
        self.judge.cut(how);
        OllamaError::incomplete(ENDPOINT, &self.judge)
    }
}

fn too_long() -> OllamaError {
    let found = format!("one of more than {} MiB", LINE_LIMIT >> 20);
    OllamaError::InvalidAnswer { endpoint: ENDPOINT, expected: "a line of a reasonable size", found }
}
