//! Writes an answer of Ollama's as Anthropic does.

use super::chat::{Answer, Call, Done, Request, event};
use crate::front::{ErrorAnswer, ErrorFacts, Wire, Writer};
use serde_json::{Value, json};
use upright_protocol::{Ending, Unreadable};

/// Writes one answer.
#[derive(Debug)]
pub(super) struct Messages {
    id: u64,
    model: String,
    /// An estimate until the host has counted.
    prompt: u64,
    begun: bool,
    /// Type of the open block: `text` or `thinking`.
    open: Option<&'static str>,
    /// Number of blocks before the open or the next one.
    index: usize,
    calls: usize,
    done: Option<Done>,
}

impl Messages {
    pub(super) fn new(id: u64, chat: &Request) -> Self {
        let prompt = if chat.stream { chat.estimate() } else { 0 };
        Self { id, model: chat.model.clone(), prompt, begun: false, open: None, index: 0, calls: 0, done: None }
    }

    fn answered_by(&mut self, model: &str) {
        if !model.is_empty() {
            model.clone_into(&mut self.model);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            let usage = json!({"input_tokens": self.prompt, "output_tokens": 0});
            let message = json!({
                "id": message_id(self.id), "type": "message", "role": "assistant", "model": self.model, "content": [], "usage": usage,
            });
            event(&json!({"type": "message_start", "message": message}), out);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            event(&json!({"type": "content_block_stop", "index": self.index}), out);
            self.index += 1;
        }
    }

    fn write(&mut self, kind: &'static str, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        self.begin(out);
        if self.open != Some(kind) {
            self.close(out);
            self.open = Some(kind);
            let block = json!({"type": kind, (kind): ""});
            event(&json!({"type": "content_block_start", "index": self.index, "content_block": block}), out);
        }
        let delta = json!({"type": format!("{kind}_delta"), (kind): text});
        event(&json!({"type": "content_block_delta", "index": self.index, "delta": delta}), out);
    }

    fn call(&mut self, call: &Call<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        let block = json!({"type": "tool_use", "id": call.id(self.id, self.calls), "name": call.name(), "input": {}});
        let delta = json!({"type": "input_json_delta", "partial_json": call.arguments()});
        for data in [
            json!({"type": "content_block_start", "index": self.index, "content_block": block}),
            json!({"type": "content_block_delta", "index": self.index, "delta": delta}),
            json!({"type": "content_block_stop", "index": self.index}),
        ] {
            event(&data, out);
        }
        self.index += 1;
        self.calls += 1;
    }
}

impl Writer for Messages {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let answer = Answer::read(line)?;
        self.answered_by(&answer.model);
        self.prompt = answer.prompt().unwrap_or(self.prompt);
        self.write("thinking", answer.thinking(), out);
        self.write("text", answer.text(), out);
        answer.calls().iter().for_each(|call| self.call(call, out));
        self.done = answer.done().or(self.done);
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let Some(done) = self.done.take() else { return };
        self.begin(out);
        self.close(out);
        let usage = json!({"input_tokens": done.prompt, "output_tokens": done.answer});
        let delta = json!({"stop_reason": stop_reason(done.ending, self.calls > 0)});
        event(&json!({"type": "message_delta", "delta": delta, "usage": usage}), out);
        event(&json!({"type": "message_stop"}), out);
    }

    /// Ollama's `content` is `null` if it is empty, at which clients fail.
    fn whole(&mut self, answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let answer = Answer::read(answer)?;
        let done = answer.done().ok_or(Unreadable)?;
        self.answered_by(&answer.model);
        let mut content = Vec::new();
        for (kind, text) in [("thinking", answer.thinking()), ("text", answer.text())] {
            content.extend((!text.is_empty()).then(|| json!({"type": kind, (kind): text})));
        }
        for (number, call) in answer.calls().iter().enumerate() {
            let input: Value = serde_json::from_str(call.arguments()).map_err(|_| Unreadable)?;
            content.push(json!({"type": "tool_use", "id": call.id(self.id, number), "name": call.name(), "input": input}));
        }
        let message = json!({
            "id": message_id(self.id), "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop_reason(done.ending, !answer.calls().is_empty()),
            "usage": {"input_tokens": done.prompt, "output_tokens": done.answer},
        });
        Ok(message.to_string().into_bytes())
    }

    fn error(&self, error: &ErrorFacts) -> ErrorAnswer {
        super::error(self.id, error)
    }

    fn error_in_stream(&mut self, error: &ErrorFacts, out: &mut Vec<u8>) {
        self.done = None;
        event(&json!({"type": "error", "error": described(error.status, error.code, &error.message)}), out);
    }

    fn wire(&self, streamed: bool) -> &'static str {
        if streamed { Wire::Sse.content_type() } else { Wire::Json.content_type() }
    }
}

fn message_id(id: u64) -> String {
    format!("msg_{id:024x}")
}

fn stop_reason(ending: Ending, called: bool) -> &'static str {
    match ending {
        _ if called => "tool_use",
        Ending::Stop => "end_turn",
        Ending::Length => "max_tokens",
        Ending::Moved => "stop_sequence",
    }
}

/// Error in place of an answer.
pub(super) fn error(id: u64, status: u16, code: Option<&str>, message: &str) -> Vec<u8> {
    json!({"type": "error", "error": described(status, code, message), "request_id": format!("req_{id:024x}")}).to_string().into_bytes()
}

fn described(status: u16, code: Option<&str>, message: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    };
    // Clients shorten a conversation by these words.
    let words = if code == Some("context_length_exceeded") { "prompt is too long: " } else { "" };
    json!({"type": kind, "message": format!("{words}{message}")})
}
