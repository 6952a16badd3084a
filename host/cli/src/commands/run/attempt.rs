//! One attempt: the answer as it comes, to its proper end.

use super::screen::Screen;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::time::Instant;
use upright::ollama::{ChatRequest, OllamaClient, OllamaError, Timings, Verdict};
use upright::types::Endpoint;

/// A whole answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) text: String,
    /// The model that was asked for it.
    pub(super) model: String,
    /// Why the model stopped.
    pub(super) done_reason: Option<String>,
    /// What its judge says of it: `whole`, `used_up_length` or `question_cut`.
    pub(super) verdict: String,
    /// A note on it for a person.
    pub(super) note: Option<String>,
    /// A notice of the server's present state: no part of an answer that is served again later.
    #[serde(skip)]
    pub(super) notice: Option<String>,
    /// What it cost, as the server says.
    pub(super) timings: Timings,
    /// From the request to the first token.
    pub(super) first_token_seconds: Option<f64>,
}

impl Answer {
    /// All that a person should know.
    pub(super) fn notes(&self) -> impl Iterator<Item = &String> {
        self.note.iter().chain(&self.notice)
    }
}

/// Asks once. Ends well only when the server has said that the answer is whole.
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
    // The client tells of it by itself; should it ever not, half an answer still must not pass.
    let found = format!("{} characters without an end", text.chars().count());
    Err(OllamaError::InvalidAnswer { endpoint: Endpoint::Chat, expected: "an answer that says that it is whole", found })
}

/// What a person should know of an answer that came whole.
fn note(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::UsedUpLength => Some("the answer ends where its length was used up; it may have more to say".to_owned()),
        Verdict::QuestionCut(how) => {
            Some(format!("the answer may be to a part of the question only ({how}); raise OLLAMA_CONTEXT_LENGTH, or shorten the question"))
        }
        _ => None,
    }
}
