//! Writes a model's answer in Ollama's two native shapes and OpenAI's two.

use crate::models::{MOMENT, MOMENT_SECONDS};
use bytes::Bytes;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Generate,
    OpenAiChat,
    OpenAiCompletion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Reason(&'static str),
    Missing,
    /// OpenAI's routes hide an error behind an empty chunk.
    Swallowed,
}

#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) read: usize,
    pub(crate) written: usize,
    pub(crate) load: u64,
}

impl Dialect {
    pub(crate) fn is_openai(self) -> bool {
        matches!(self, Self::OpenAiChat | Self::OpenAiCompletion)
    }

    pub(crate) fn stream_type(self) -> &'static str {
        if self.is_openai() { "text/event-stream" } else { "application/x-ndjson" }
    }

    pub(crate) fn token(self, model: &str, text: &str) -> Bytes {
        self.line(&self.message(model, text, None, true))
    }

    pub(crate) fn tool_calls(self, model: &str, calls: &Value) -> Bytes {
        let mut message = self.message(model, "", None, true);
        message["message"]["tool_calls"] = calls.clone();
        self.line(&message)
    }

    pub(crate) fn end(self, model: &str, counts: Counts, finish: Finish) -> Vec<Bytes> {
        match finish {
            Finish::Missing => Vec::new(),
            Finish::Swallowed => vec![self.line(&self.message(model, "", None, true))],
            Finish::Reason(reason) => {
                let mut last = self.message(model, "", Some(reason), true);
                self.add_figures(&mut last, counts);
                let mut end = vec![self.line(&last)];
                if self.is_openai() {
                    end.push(Bytes::from_static(b"data: [DONE]\n\n"));
                }
                end
            }
        }
    }

    pub(crate) fn whole(self, model: &str, text: &str, counts: Counts, finish: Finish) -> Value {
        let reason = match finish {
            Finish::Reason(reason) => Some(reason),
            Finish::Missing | Finish::Swallowed => None,
        };
        let mut whole = self.message(model, text, reason, false);
        if reason.is_some() || self.is_openai() {
            self.add_figures(&mut whole, counts);
        }
        whole
    }

    fn message(self, model: &str, text: &str, reason: Option<&str>, streamed: bool) -> Value {
        let mut message = match self {
            Self::Chat => json!({"model": model, "created_at": MOMENT,
                "message": {"role": "assistant", "content": text}, "done": reason.is_some()}),
            Self::Generate => json!({"model": model, "created_at": MOMENT, "response": text, "done": reason.is_some()}),
            Self::OpenAiChat => {
                let part = if streamed { "delta" } else { "message" };
                let object = if streamed { "chat.completion.chunk" } else { "chat.completion" };
                json!({"id": "chatcmpl-1", "object": object, "created": MOMENT_SECONDS, "model": model,
                    "system_fingerprint": "fp_ollama", "choices": [{"index": 0,
                    part: {"role": "assistant", "content": text}, "finish_reason": reason}]})
            }
            Self::OpenAiCompletion => json!({"id": "cmpl-1", "object": "text_completion", "created": MOMENT_SECONDS,
                "model": model, "system_fingerprint": "fp_ollama",
                "choices": [{"text": text, "index": 0, "finish_reason": reason}]}),
        };
        if let (Some(reason), false) = (reason, self.is_openai()) {
            message["done_reason"] = reason.into();
        }
        message
    }

    fn add_figures(self, message: &mut Value, counts: Counts) {
        let Counts { read, written: tokens, load } = counts;
        if self.is_openai() {
            message["usage"] = json!({"prompt_tokens": read, "completion_tokens": tokens, "total_tokens": read + tokens});
            return;
        }
        let evaluation = 10_000_000 * tokens as u64;
        message["total_duration"] = json!(20_000_000 + load + evaluation);
        message["load_duration"] = json!(load);
        message["prompt_eval_count"] = json!(read);
        message["prompt_eval_duration"] = json!(20_000_000);
        message["eval_count"] = json!(tokens);
        message["eval_duration"] = json!(evaluation);
    }

    fn line(self, value: &Value) -> Bytes {
        if self.is_openai() { format!("data: {value}\n\n").into() } else { format!("{value}\n").into() }
    }
}
