//! OpenAI's `/v1/responses`, translated as Ollama translates it.
//!
//! Nothing is kept between requests, so each has the whole conversation.
//! An answer is a list of items: reasoning, messages, function calls. A stream adds, fills and finishes one item at a
//! time, and numbers its events. Its `response.completed` is written where the host's end was read, and nowhere else.

mod conversation;
mod request;
mod writer;

#[cfg(test)]
mod tests;

use super::anthropic::chat::Stop;
use super::fields::{Fields, readable};
use super::{ErrorFacts, Refused, Stamp, Translated, openai};
use serde_json::json;

/// Writes an error into a stream. Clients raise an error at a member `error`.
pub(super) fn error_event(facts: &ErrorFacts, out: &mut Vec<u8>) {
    let error = json!({"code": facts.code.unwrap_or("server_error"), "message": facts.message});
    let event = json!({"type": "error", "code": error["code"], "message": error["message"], "param": null, "error": error});
    out.extend_from_slice(format!("event: error\ndata: {event}\n\n").as_bytes());
}

/// Translates a request for `/v1/responses`.
///
/// # Errors
/// [`Refused`] if the request is wrong or has no translation.
pub(crate) fn translate(body: &[u8], stamp: Stamp) -> Result<Translated, Refused> {
    let text = readable(body);
    let client = Fields::read(&text, "openai.ResponsesRequest").map_err(Stop::from);
    let translated = client.and_then(|client| request::read(&client, stamp));
    let error = |message| openai::error(&ErrorFacts { status: 400, message, code: None, retry_after: None }).body;
    translated.map_err(|stop| stop.refused(error))
}
