//! Anthropic's `/v1/messages`, translated as Ollama translates it.
//!
//! An answer is a list of blocks: thinking, text, tool calls. A stream opens, fills and closes one block at a time. Its
//! `message_stop` is written where the host's end was read, and nowhere else.

pub(super) mod chat;
mod request;
mod writer;

#[cfg(test)]
pub(super) mod golden;
#[cfg(test)]
mod tests;

use super::fields::{Fields, readable};
use super::{ErrorAnswer, ErrorFacts, Refused, Stamp, Translated};
use chat::Stop;
pub(super) use writer::error_event;

/// Returns an error in place of an answer.
pub(crate) fn error(id: u64, facts: &ErrorFacts) -> ErrorAnswer {
    writer::error_answer(id, facts)
}

/// Translates a request for `/v1/messages`.
///
/// # Errors
/// [`Refused`] if the request is wrong or has no translation.
pub(crate) fn translate(body: &[u8], stamp: Stamp) -> Result<Translated, Refused> {
    let text = readable(body);
    let client = Fields::read(&text, "anthropic.MessagesRequest").map_err(Stop::from);
    let translated = client.and_then(|client| request::read(&client, stamp));
    translated.map_err(|stop| stop.refused(|mistake| writer::error(stamp.id, 400, None, &mistake)))
}
