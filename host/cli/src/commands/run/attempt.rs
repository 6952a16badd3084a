//! One attempt: reads a streamed answer to its end.

use super::screen::Screen;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::time::Instant;
use upright::ollama::{ChatRequest, OllamaClient, OllamaError, Timings, Verdict};
use upright::types::Endpoint;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) model: String,
    pub(super) done_reason: Option<String>,
    /// `whole`, `used_up_length` or `question_cut`.
    pub(super) verdict: String,
    pub(super) note: Option<String>,
    /// The server's present state; not part of a cached answer.
    #[serde(skip)]
    pub(super) notice: Option<String>,
    pub(super) timings: Timings,
    pub(super) first_token_seconds: Option<f64>,
}

impl Answer {
    pub(super) fn notes(&self) -> impl Iterator<Item = &String> {
        self.note.iter().chain(&self.notice)
    }
}

/// Succeeds only if the server reports a whole answer.
pub(super) async fn answer(client: OllamaClient, request: ChatRequest, screen: &Screen) -> Result<Answer, OllamaError> {
    let begun = Instant::now();
    let model = request.model.clone();
    let mut chunks = pin!(client.chat_stream(request));
    let mut text = String::new();
    let mut first_token_seconds = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        let piece = &chunk.message.content;
        if !piece.is_empty() {
            first_token_seconds.get_or_insert_with(|| begun.elapsed().as_secs_f64());
            text.push_str(piece);
            screen.show(piece).await;
        }
        if let Some(verdict) = chunk.verdict {
            return Ok(Answer {
                note: note(&verdict),
                notice: chunk.notice.map(|notice| notice.to_string()),
                verdict: verdict.name().to_owned(),
                text,
                model,
                done_reason: chunk.done_reason,
                timings: chunk.timings,
                first_token_seconds,
            });
        }
    }
    // Half an answer must never pass, even if the client missed it.
    let found = format!("{} characters without an end", text.chars().count());
    Err(OllamaError::InvalidAnswer { endpoint: Endpoint::Chat, expected: "an answer that says that it is whole", found })
}

fn note(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::UsedUpLength => Some("the answer reached its length limit and may be incomplete".to_owned()),
        Verdict::QuestionCut(how) => {
            Some(format!("the server may have dropped part of the question ({how}); raise OLLAMA_CONTEXT_LENGTH, or shorten the question"))
        }
        _ => None,
    }
}
