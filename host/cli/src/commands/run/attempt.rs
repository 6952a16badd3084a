//! One attempt: the answer as it comes, to its proper end.

use super::screen::Screen;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::time::Instant;
use upright::ollama::{ChatRequest, Cut, OllamaClient, OllamaError, Timings};
use upright::types::Endpoint;

/// A whole answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) text: String,
    /// The model that was asked for it.
    pub(super) model: String,
    /// Why the model stopped.
    pub(super) done_reason: Option<String>,
    /// What it cost, as the server says.
    pub(super) timings: Timings,
    /// From the request to the first token.
    pub(super) first_token_seconds: Option<f64>,
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
        if chunk.done {
            return Ok(Answer { text, model, done_reason: chunk.done_reason, timings: chunk.timings, first_token_seconds });
        }
    }
    // The client tells of it by itself; should it ever not, half an answer still must not pass.
    Err(OllamaError::Incomplete { endpoint: Endpoint::Chat, why: Cut::NoDone, received: text.chars().count() })
}
