//! Messages to and from Ollama.

use super::learned::Notice;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use upright_protocol::{Ending, ErrorBody, Piece, Usage, Verdict};

/// Request for the next message of a conversation. Omits `None` and empty fields, so the model's own settings hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// Name of the model.
    pub model: String,
    /// The conversation so far. Without messages the model is only loaded, or unloaded with a `keep_alive` of 0.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// Options of the model, such as `num_ctx` and `temperature`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// Whether to think first: a truth value or a level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Value>,
    /// Format of the answer: `"json"` or a JSON schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Value>,
    /// Tools the model may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
    /// Time the model stays in memory: seconds, or a text such as `"5m"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Value>,
    /// Whether the server may silently drop part of a long conversation. By default it is asked to refuse.
    #[serde(default)]
    pub truncate: bool,
    /// Whether to accept an answer without text. By default it is
    /// [`OllamaError::EmptyAnswer`](super::OllamaError::EmptyAnswer), unless it calls a tool or follows a tool's
    /// message.
    #[serde(skip)]
    pub allow_empty: bool,
    /// Window to ask for if `options` has no `num_ctx`: that of the [`Attempt`](crate::Attempt); tokens. By default the
    /// model's own, or a larger one that is loaded.
    #[serde(skip)]
    pub window: Option<u32>,
    /// Maximum window to ask for without the caller; tokens. By default the model's own.
    #[serde(skip)]
    pub max_window: Option<u32>,
}

impl ChatRequest {
    /// Asks a model one question.
    pub fn ask(model: impl Into<String>, question: impl Into<String>) -> Self {
        Self { model: model.into(), messages: vec![Message::new("user", question)], ..Self::default() }
    }
}

/// Message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    #[serde(default)]
    pub role: String,
    /// Its text.
    #[serde(default, deserialize_with = "null_as_default")]
    pub content: String,
    /// Other members: `thinking`, `tool_calls`, `images`, `tool_name`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// Message with text only.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), extra: Map::new() }
    }

    /// The model's thoughts before the text.
    pub fn thinking(&self) -> Option<&str> {
        self.extra.get("thinking").and_then(Value::as_str)
    }

    /// Tool calls that the model asks for.
    pub fn tool_calls(&self) -> &[Value] {
        self.extra.get("tool_calls").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn piece(&self) -> Piece<'_> {
        Piece {
            text: self.content.as_str().into(),
            thinking: self.thinking().unwrap_or_default().into(),
            tool_calls: u32::try_from(self.tool_calls().len()).unwrap_or(u32::MAX),
            ..Piece::default()
        }
    }
}

/// Cost of an answer. Times are in nanoseconds, counts in tokens; Ollama omits zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Total time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_duration: Option<u64>,
    /// Time for loading the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_duration: Option<u64>,
    /// Prompt tokens, without those cached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_eval_count: Option<u64>,
    /// Time for reading the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_eval_duration: Option<u64>,
    /// Answer tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_count: Option<u64>,
    /// Time for writing the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_duration: Option<u64>,
}

/// Whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatAnswer {
    /// Name of the model.
    pub model: String,
    /// The message.
    pub message: Message,
    /// Reason for stopping: `stop`, `length`, …
    pub done_reason: Option<String>,
    /// Its cost.
    pub timings: Timings,
    /// Whether the length ran out or part of the question seems dropped; mostly [`Verdict::Whole`].
    pub verdict: Verdict,
    /// Another remark for a person.
    pub notice: Option<Notice>,
}

/// Piece of an answer; the last one is `done`.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatChunk {
    /// Name of the model.
    pub model: String,
    /// Next piece of the message.
    pub message: Message,
    /// Whether the answer is whole; no chunk follows.
    pub done: bool,
    /// Reason for stopping, on the last chunk.
    pub done_reason: Option<String>,
    /// Cost of the answer, on the last chunk.
    pub timings: Timings,
    /// Verdict on the answer, on the last chunk; mostly [`Verdict::Whole`].
    pub verdict: Option<Verdict>,
    /// Another remark for a person, on the last chunk.
    pub notice: Option<Notice>,
    /// The line as received, without its end; for passing on.
    pub line: Bytes,
}

#[derive(Debug, Deserialize)]
pub(super) struct Written {
    pub(super) error: Option<Value>,
    #[serde(default)]
    pub(super) model: String,
    pub(super) message: Option<Message>,
    pub(super) done: Option<bool>,
    pub(super) done_reason: Option<String>,
    #[serde(flatten)]
    pub(super) timings: Timings,
}

impl Written {
    pub(super) fn piece(&self) -> Piece<'_> {
        let done = self.done == Some(true);
        Piece {
            ending: done.then(|| Ending::of(self.done_reason.as_deref())),
            last: done,
            usage: Usage::counted(self.timings.prompt_eval_count, self.timings.eval_count),
            ..self.message.as_ref().map(Message::piece).unwrap_or_default()
        }
    }

    /// The failure reported, if any. Judge it before `done`: a proxy whose model server died sends `done: true` with
    /// `error`.
    pub(super) fn failure(&self) -> Option<ErrorBody> {
        let said = self.error.as_ref().map(ErrorBody::of).filter(|said| !said.message.is_empty());
        let ended_badly = self.done_reason.as_deref() == Some("error");
        let unsaid = || ErrorBody { message: "the answer ended with the reason \"error\"".to_owned(), ..ErrorBody::default() };
        said.or_else(|| ended_badly.then(unsaid))
    }
}

/// A model of a server (`/api/tags`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name with tag.
    pub name: String,
    /// Digest of its manifest; changes when the model is replaced.
    #[serde(default)]
    pub digest: String,
    /// Bytes on disk.
    #[serde(default)]
    pub size: u64,
    /// Further details.
    #[serde(default)]
    pub details: ModelDetails,
    /// Abilities: `completion`, `tools`, `vision`, `thinking`, `embedding`, `insert`; `None` if the server does not
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
}

impl ModelInfo {
    /// Whether it has an ability; `None` if the server does not say.
    pub fn can(&self, capability: &str) -> Option<bool> {
        self.capabilities.as_ref().map(|all| all.iter().any(|one| one == capability))
    }
}

/// Details of a server's model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDetails {
    /// Maximum window; tokens. Servers before 2026 omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
}

/// Model in memory (`/api/ps`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedModel {
    /// Name with tag.
    pub name: String,
    /// Digest of its manifest.
    #[serde(default)]
    pub digest: String,
    /// Bytes in all memory.
    #[serde(default)]
    pub size: u64,
    /// Bytes in graphics memory.
    #[serde(default)]
    pub size_vram: u64,
    /// Time of unloading, as sent (RFC 3339).
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Loaded window; tokens.
    #[serde(default)]
    pub context_length: Option<u64>,
}

impl LoadedModel {
    pub(super) fn window(&self) -> Option<u32> {
        self.context_length.map(saturated).filter(|window| *window > 0)
    }
}

pub(super) fn saturated(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[derive(Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Models<T> {
    // Required: `{}` is no list. But Go writes an empty one as null.
    #[serde(deserialize_with = "null_as_default")]
    pub(super) models: Vec<T>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) version: String,
}

/// Request for embeddings. Omits `None` and empty fields, so the model's own settings hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbedRequest {
    /// Name of the model.
    pub model: String,
    /// The texts.
    pub input: Vec<String>,
    /// Options of the model, such as `num_ctx`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// Number of dimensions of a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// Time the model stays in memory: seconds, or a text such as `"5m"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Value>,
    /// Whether the server may silently cut long texts. By default it is asked to refuse.
    #[serde(default)]
    pub truncate: bool,
    /// Window to ask for if `options` has no `num_ctx`: that of the [`Attempt`](crate::Attempt); tokens.
    #[serde(skip)]
    pub window: Option<u32>,
    /// Maximum window to ask for without the caller; tokens. By default the model's own.
    #[serde(skip)]
    pub max_window: Option<u32>,
}

impl EmbedRequest {
    /// Request for these texts.
    pub fn of<T: Into<String> + Clone>(model: impl Into<String>, input: &[T]) -> Self {
        Self { model: model.into(), input: input.iter().cloned().map(Into::into).collect(), ..Self::default() }
    }
}

/// Vectors, one for each text, in order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Embeddings {
    /// Name of the model.
    #[serde(default)]
    pub model: String,
    /// The vectors.
    pub embeddings: Vec<Vec<f32>>,
    /// Their cost.
    #[serde(flatten)]
    pub timings: Timings,
}

impl Embeddings {
    pub(super) fn piece(&self) -> Piece<'static> {
        Piece { ending: Some(Ending::Stop), last: true, usage: Usage::counted(self.timings.prompt_eval_count, None), ..Piece::default() }
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
