//! What goes to Ollama and what comes back.

use super::learned::Notice;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use upright_protocol::{Ending, ErrorBody, Piece, Usage, Verdict};

/// A request to write the next message of a conversation. What is `None` or empty is not sent, so the model's own setting holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model's name.
    pub model: String,
    /// The conversation so far. Without any, the model is only loaded (or unloaded, with a `keep_alive` of 0).
    #[serde(default)]
    pub messages: Vec<Message>,
    /// The model's options, such as `num_ctx` and `temperature`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// Whether to think first: a truth value or a level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Value>,
    /// The form of the answer: `"json"` or a JSON schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Value>,
    /// The tools that the model may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
    /// How long the model stays in memory: seconds, or a text such as `"5m"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Value>,
    /// Whether the server may drop a part of a conversation that is longer than the window, which it then does without a word. By default it is asked to refuse it.
    #[serde(default)]
    pub truncate: bool,
    /// Whether an answer without text is one. By default it is [`OllamaError::EmptyAnswer`](super::OllamaError::EmptyAnswer), unless it calls a tool or follows a tool's message.
    #[serde(skip)]
    pub allow_empty: bool,
    /// The window to ask for where `options` has no `num_ctx`: that of the [`Attempt`](crate::Attempt); tokens. By default the model's own setting holds, or the
    /// larger window that it is loaded with already.
    #[serde(skip)]
    pub window: Option<u32>,
    /// The largest window that may be asked for in the caller's place; tokens. By default the model's own.
    #[serde(skip)]
    pub max_window: Option<u32>,
}

impl ChatRequest {
    /// Asks a model one thing.
    pub fn ask(model: impl Into<String>, question: impl Into<String>) -> Self {
        Self { model: model.into(), messages: vec![Message::new("user", question)], ..Self::default() }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    #[serde(default)]
    pub role: String,
    /// Its text.
    #[serde(default, deserialize_with = "null_as_default")]
    pub content: String,
    /// Whatever else belongs to it: `thinking`, `tool_calls`, `images`, `tool_name`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message that is only text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), extra: Map::new() }
    }

    /// What the model thought before it wrote.
    pub fn thinking(&self) -> Option<&str> {
        self.extra.get("thinking").and_then(Value::as_str)
    }

    /// The tools that the model wants called.
    pub fn tool_calls(&self) -> &[Value] {
        self.extra.get("tool_calls").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// What a judge sees of it.
    pub(super) fn piece(&self) -> Piece<'_> {
        Piece {
            text: self.content.as_str().into(),
            thinking: self.thinking().unwrap_or_default().into(),
            tool_calls: u32::try_from(self.tool_calls().len()).unwrap_or(u32::MAX),
            ..Piece::default()
        }
    }
}

/// What an answer cost. Spans are in nanoseconds, counts in tokens; Ollama leaves out what is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_duration: Option<u64>,
    /// Loading the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_duration: Option<u64>,
    /// Length of the prompt, as far as it was not known already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_eval_count: Option<u64>,
    /// Reading the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_eval_duration: Option<u64>,
    /// Length of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_count: Option<u64>,
    /// Writing the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_duration: Option<u64>,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatAnswer {
    /// The model that wrote it.
    pub model: String,
    /// What it wrote.
    pub message: Message,
    /// Why it stopped: `stop`, `length`, …
    pub done_reason: Option<String>,
    /// What it cost.
    pub timings: Timings,
    /// Whether its length was used up, or a part of the question seems to have been dropped; [`Verdict::Whole`] mostly.
    pub verdict: Verdict,
    /// Something else that a person should know of it.
    pub notice: Option<Notice>,
}

/// A piece of an answer; the last one is `done`.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatChunk {
    /// The model that writes it.
    pub model: String,
    /// The next piece of the message.
    pub message: Message,
    /// Whether the answer is whole now. No other chunk follows.
    pub done: bool,
    /// On the last chunk: why the model stopped.
    pub done_reason: Option<String>,
    /// On the last chunk: what the answer cost.
    pub timings: Timings,
    /// On the last chunk: whether its length was used up, or a part of the question seems to have been dropped; [`Verdict::Whole`] mostly.
    pub verdict: Option<Verdict>,
    /// On the last chunk: what else a person should know of the answer.
    pub notice: Option<Notice>,
    /// The line as it came, without its end; for those who pass it on.
    pub line: Bytes,
}

/// An answer or a piece of one, as it is sent.
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
    /// What a judge sees of it.
    pub(super) fn piece(&self) -> Piece<'_> {
        let done = self.done == Some(true);
        Piece {
            ending: done.then(|| Ending::of(self.done_reason.as_deref())),
            last: done,
            usage: Usage::counted(self.timings.prompt_eval_count, self.timings.eval_count),
            ..self.message.as_ref().map(Message::piece).unwrap_or_default()
        }
    }

    /// What went wrong, if this tells of a failure. To be judged before `done`: a proxy whose model server died sends `done: true` and
    /// `error` together.
    pub(super) fn failure(&self) -> Option<ErrorBody> {
        let said = self.error.as_ref().map(ErrorBody::of).filter(|said| !said.message.is_empty());
        let ended_badly = self.done_reason.as_deref() == Some("error");
        let unsaid = || ErrorBody { message: "the answer ended with the reason \"error\"".to_owned(), ..ErrorBody::default() };
        said.or_else(|| ended_badly.then(unsaid))
    }
}

/// A model that a server has (`/api/tags`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name with its tag.
    pub name: String,
    /// The digest of its manifest: another digest under the same name is another model.
    #[serde(default)]
    pub digest: String,
    /// On disk, bytes.
    #[serde(default)]
    pub size: u64,
    /// More that the server says of it.
    #[serde(default)]
    pub details: ModelDetails,
    /// Its abilities: `completion`, `tools`, `vision`, `thinking`, `embedding`, `insert`; none where the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
}

impl ModelInfo {
    /// Whether it can do something; none where the server does not say.
    pub fn can(&self, capability: &str) -> Option<bool> {
        self.capabilities.as_ref().map(|all| all.iter().any(|one| one == capability))
    }
}

/// A server's details of a model that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDetails {
    /// The longest window that it can have; tokens. Servers of before 2026 do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
}

/// A model in memory (`/api/ps`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedModel {
    /// Its name with its tag.
    pub name: String,
    /// The digest of its manifest.
    #[serde(default)]
    pub digest: String,
    /// In all memory, bytes.
    #[serde(default)]
    pub size: u64,
    /// Of it, in the memory of graphics cards; bytes.
    #[serde(default)]
    pub size_vram: u64,
    /// When it will be unloaded, as the server writes it (RFC 3339).
    #[serde(default)]
    pub expires_at: Option<String>,
    /// The context that it was loaded with, tokens.
    #[serde(default)]
    pub context_length: Option<u64>,
}

impl LoadedModel {
    /// The window that it was loaded with; tokens.
    pub(super) fn window(&self) -> Option<u32> {
        self.context_length.map(saturated).filter(|window| *window > 0)
    }
}

/// A count of tokens.
pub(super) fn saturated(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The lists of `/api/tags` and `/api/ps`.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Models<T> {
    // Required: `{}` is no list. But Go writes an empty one as null.
    #[serde(deserialize_with = "null_as_default")]
    pub(super) models: Vec<T>,
}

/// The answer of `/api/version`.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) version: String,
}

/// A request for texts as vectors. What is `None` or empty is not sent, so the model's own setting holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbedRequest {
    /// The model's name.
    pub model: String,
    /// The texts.
    pub input: Vec<String>,
    /// The model's options, such as `num_ctx`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// How many numbers a vector shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// How long the model stays in memory: seconds, or a text such as `"5m"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Value>,
    /// Whether the server may cut texts that are longer than the window, which it then does without a word. By default it is asked to refuse them.
    #[serde(default)]
    pub truncate: bool,
    /// The window to ask for where `options` has no `num_ctx`: that of the [`Attempt`](crate::Attempt); tokens.
    #[serde(skip)]
    pub window: Option<u32>,
    /// The largest window that may be asked for in the caller's place; tokens. By default the model's own.
    #[serde(skip)]
    pub max_window: Option<u32>,
}

impl EmbedRequest {
    /// Texts for a model.
    pub fn of<T: Into<String> + Clone>(model: impl Into<String>, input: &[T]) -> Self {
        Self { model: model.into(), input: input.iter().cloned().map(Into::into).collect(), ..Self::default() }
    }
}

/// Texts as vectors, one for each text, in their order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Embeddings {
    /// The model.
    #[serde(default)]
    pub model: String,
    /// The vectors.
    pub embeddings: Vec<Vec<f32>>,
    /// What they cost.
    #[serde(flatten)]
    pub timings: Timings,
}

impl Embeddings {
    /// What a judge sees of them.
    pub(super) fn piece(&self) -> Piece<'static> {
        Piece { ending: Some(Ending::Stop), last: true, usage: Usage::counted(self.timings.prompt_eval_count, None), ..Piece::default() }
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
