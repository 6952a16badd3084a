//! Ollama's `/api/chat`: the request that a front writes, and the answer that it reads.

use crate::front::fields::Fields;
use crate::front::{Refused, Translated, Writer, is_cloud};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use upright_protocol::{Ending, Route, Unreadable};

/// Reason why a request is not translated.
#[derive(Debug)]
pub(in crate::front) enum Stop {
    /// Message about the client's mistake.
    Invalid(String),
    /// Name of a field without translation.
    Untranslatable(&'static str),
}

impl From<String> for Stop {
    fn from(mistake: String) -> Self {
        Self::Invalid(mistake)
    }
}

impl Stop {
    /// `body` writes a mistake in the client's protocol.
    pub(in crate::front) fn refused(self, body: impl FnOnce(String) -> Vec<u8>) -> Refused {
        match self {
            Self::Invalid(mistake) => Refused::Invalid { status: 400, body: body(mistake) },
            Self::Untranslatable(field) => Refused::Untranslatable { field: field.to_owned() },
        }
    }
}

/// A request.
#[derive(Debug, Serialize)]
pub(in crate::front) struct Request {
    pub(in crate::front) model: String,
    pub(in crate::front) messages: Vec<Message>,
    pub(in crate::front) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::front) format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::front) tools: Vec<Tool>,
    pub(in crate::front) options: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::front) think: Option<Value>,
}

/// A message of a conversation.
#[derive(Debug, Default, Serialize)]
pub(in crate::front) struct Message {
    pub(in crate::front) role: String,
    pub(in crate::front) content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::front) thinking: String,
    /// In Base64; the host decodes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::front) images: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::front) tool_calls: Vec<ToolCall>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::front) tool_call_id: String,
}

/// A tool call of an earlier answer.
#[derive(Debug, Serialize)]
pub(in crate::front) struct ToolCall {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::front) id: String,
    pub(in crate::front) function: Called,
}

/// Name and arguments of a tool call.
#[derive(Debug, Serialize)]
pub(in crate::front) struct Called {
    pub(in crate::front) name: String,
    pub(in crate::front) arguments: Map<String, Value>,
}

/// A tool that the model may call.
#[derive(Debug, Serialize)]
pub(in crate::front) struct Tool {
    #[serde(rename = "type")]
    pub(in crate::front) kind: String,
    pub(in crate::front) function: Function,
}

/// Declaration of a tool.
#[derive(Debug, Serialize)]
pub(in crate::front) struct Function {
    pub(in crate::front) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::front) description: String,
    /// A schema, which the host checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::front) parameters: Option<Value>,
}

impl Request {
    /// A request without a question. It has what Ollama ignores on `/v1` and clients need there: `keep_alive` and
    /// `num_ctx`, which may be in `options`.
    pub(in crate::front) fn new(client: &Fields<'_>) -> Result<Self, Stop> {
        let model = client.text("model")?.unwrap_or_default();
        if model.is_empty() {
            return Err("model is required".to_owned().into());
        }
        if is_cloud(&model) {
            return Err(Stop::Untranslatable("model"));
        }
        let window = |fields: &Fields<'_>| fields.whole("num_ctx").ok().flatten();
        let options = client.object("options", "api.Options").ok().flatten();
        let window = window(client).or_else(|| options.as_ref().and_then(window));
        let keep_alive = client.any("keep_alive").ok().flatten();
        Ok(Self {
            model,
            messages: Vec::new(),
            stream: client.truth("stream")?.unwrap_or_default(),
            format: None,
            keep_alive: keep_alive.filter(|span| span.is_string() || span.is_number()),
            tools: Vec::new(),
            options: window.map(|tokens| ("num_ctx".to_owned(), tokens.into())).into_iter().collect(),
            think: None,
        })
    }

    /// Sets an option, if it is given.
    pub(in crate::front) fn option(&mut self, name: &str, value: Option<impl Into<Value>>) {
        self.options.extend(value.map(|value| (name.to_owned(), value.into())));
    }

    /// Number of tokens as Ollama estimates it: a quarter of the characters.
    pub(in crate::front) fn estimate(&self) -> u64 {
        let call = |ToolCall { function, .. }: &ToolCall| function.name.len() + length(&function.arguments);
        let message = |message: &Message| {
            message.role.len() + message.content.len() + message.thinking.len() + message.tool_calls.iter().map(call).sum::<usize>()
        };
        let tool = |Tool { function, .. }: &Tool| function.name.len() + function.description.len() + length(&function.parameters);
        let characters = self.messages.iter().map(message).sum::<usize>() + self.tools.iter().map(tool).sum::<usize>();
        (characters as u64 / 4).max(1)
    }

    /// The request, whose answer `writer` writes.
    pub(in crate::front) fn translated(self, writer: impl Writer + 'static) -> Result<Translated, Stop> {
        let body = serde_json::to_vec(&self).map_err(|error| error.to_string())?;
        let model = self.model;
        Ok(Translated { route: Route::Chat, path: Route::Chat.path(), body, model, writer: Box::new(writer) })
    }
}

fn length(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |json| json.len())
}

impl Message {
    /// A message with a text.
    pub(in crate::front) fn new(role: impl Into<String>, content: String) -> Self {
        Self { role: role.into(), content, ..Self::default() }
    }

    /// Whether it says nothing.
    pub(in crate::front) fn is_empty(&self) -> bool {
        self.content.is_empty() && self.thinking.is_empty() && self.images.is_empty() && self.tool_calls.is_empty()
    }
}

/// A line of a streamed answer, or a whole answer.
#[derive(Debug, Deserialize)]
pub(in crate::front) struct Answer<'a> {
    #[serde(borrow, default)]
    pub(in crate::front) model: Cow<'a, str>,
    #[serde(borrow)]
    message: Said<'a>,
    #[serde(default)]
    done: bool,
    #[serde(borrow, default)]
    done_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    /// In nanoseconds.
    #[serde(default)]
    total_duration: Option<u64>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Call<'a>>>,
}

/// A tool call of the model.
#[derive(Debug, Deserialize)]
pub(in crate::front) struct Call<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: CallFunction<'a>,
}

#[derive(Debug, Deserialize)]
struct CallFunction<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// End of an answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::front) struct Done {
    pub(in crate::front) ending: Ending,
    /// Number of tokens read; 0 if not counted.
    pub(in crate::front) prompt: u64,
    /// Number of tokens written; 0 if not counted.
    pub(in crate::front) answer: u64,
    /// Time for the whole answer, seconds.
    pub(in crate::front) seconds: u64,
}

impl<'a> Answer<'a> {
    /// Reads an answer that is not an error.
    pub(in crate::front) fn read(json: &'a [u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(json).ok().filter(|answer: &Self| answer.error.is_none()).ok_or(Unreadable)
    }

    /// The text, or more of it.
    pub(in crate::front) fn text(&self) -> &str {
        self.message.content.as_deref().unwrap_or_default()
    }

    /// The thinking, or more of it.
    pub(in crate::front) fn thinking(&self) -> &str {
        self.message.thinking.as_deref().unwrap_or_default()
    }

    /// The tool calls, or more of them.
    pub(in crate::front) fn calls(&self) -> &[Call<'a>] {
        self.message.tool_calls.as_deref().unwrap_or_default()
    }

    /// Number of tokens read, if it is counted.
    pub(in crate::front) fn prompt(&self) -> Option<u64> {
        self.prompt_eval_count.filter(|count| *count > 0)
    }

    /// The end, if it is here.
    pub(in crate::front) fn done(&self) -> Option<Done> {
        self.done.then(|| Done {
            ending: Ending::of(self.done_reason.as_deref()),
            prompt: self.prompt_eval_count.unwrap_or(0),
            answer: self.eval_count.unwrap_or(0),
            seconds: self.total_duration.unwrap_or(0) / 1_000_000_000,
        })
    }
}

impl Call<'_> {
    /// The id. An older Ollama gives none, so the numbers of the answer and of the call make one.
    pub(in crate::front) fn id(&self, answer: u64, number: usize) -> Cow<'_, str> {
        self.id.as_deref().filter(|id| !id.is_empty()).map_or_else(|| format!("call_{answer}_{number}").into(), Cow::Borrowed)
    }

    /// The tool's name.
    pub(in crate::front) fn name(&self) -> &str {
        &self.function.name
    }

    /// The arguments' JSON.
    pub(in crate::front) fn arguments(&self) -> &str {
        self.function.arguments.map_or("{}", RawValue::get)
    }
}

/// Writes a server-sent event, named as its `type`.
pub(in crate::front) fn event(data: &Value, out: &mut Vec<u8>) {
    let name = data["type"].as_str().unwrap_or_default();
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}
