//! Decodes every route's JSON into pieces of an answer.

use crate::route::Route;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Reason for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// A proper end.
    Stop,
    /// The length was used up.
    Length,
    /// The model was only loaded or unloaded.
    Moved,
}

impl Ending {
    /// Reads Ollama's `done_reason`.
    pub fn of(done_reason: Option<&str>) -> Self {
        match done_reason {
            Some("length") => Self::Length,
            Some("load" | "unload") => Self::Moved,
            _ => Self::Stop,
        }
    }
}

/// Token counts of the server; `None` if missing or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of tokens read.
    pub prompt: Option<u64>,
    /// Number of tokens written.
    pub answer: Option<u64>,
}

impl Usage {
    /// Ignores counts of 0.
    #[doc(hidden)]
    pub fn counted(prompt: Option<u64>, answer: Option<u64>) -> Self {
        let says = |count: &u64| *count > 0;
        Self { prompt: prompt.filter(says), answer: answer.filter(says) }
    }
}

/// Contents of one line, event or document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Index of the answer, from 0.
    pub choice: u32,
    /// More of the text.
    pub text: Cow<'a, str>,
    /// More of the thinking.
    pub thinking: Cow<'a, str>,
    /// Number of tool calls that begin here.
    pub tool_calls: u32,
    /// The tool calls of a line of Ollama's, as JSON; empty on other routes.
    #[doc(hidden)]
    pub calls: &'a str,
    /// Reason for the end, if this answer ends.
    pub ending: Option<Ending>,
    /// Whether all answers end here.
    pub last: bool,
    /// Counts of the server.
    pub usage: Usage,
    /// Whether this is an error.
    pub failed: bool,
}

/// The JSON is not of this route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Passes the pieces of a line, an event's data or a document to `take`.
///
/// # Errors
/// [`Unreadable`] if the JSON is not of this route.
pub fn decode<'a>(route: Route, whole: bool, json: &'a [u8], take: &mut dyn FnMut(&Piece<'a>)) -> Result<(), Unreadable> {
    match route {
        Route::Chat | Route::Generate | Route::Embed => ollamas(read(json)?, take)?,
        Route::ChatCompletions | Route::Completions | Route::Embeddings => openais(read(json)?, take),
        Route::Responses if whole => response(&read(json)?, true, take),
        Route::Responses => response_event(read(json)?, take),
        Route::Messages if whole => message(read(json)?, take),
        Route::Messages => message_event(read(json)?, take),
    }
    Ok(())
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(json).map_err(|_| Unreadable)
}

fn tells(error: Option<&RawValue>) -> bool {
    error.is_some_and(|error| !matches!(error.get(), "null" | "\"\"" | "{}" | "false"))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    #[serde(borrow)]
    One(Cow<'a, str>),
    Parts(#[serde(borrow)] Vec<Part<'a>>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
}

impl<'a> Text<'a> {
    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::One(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text.or(part.refusal)).collect::<String>().into(),
            Self::Other(_) => "".into(),
        }
    }
}

fn text(text: Option<Text<'_>>) -> Cow<'_, str> {
    text.map_or("".into(), Text::into_text)
}

#[derive(Deserialize)]
struct OllamasLine<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<OllamasMessage<'a>>,
    #[serde(borrow, default)]
    response: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(default)]
    done: Option<bool>,
    #[serde(borrow, default)]
    done_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    embeddings: Option<IgnoredAny>,
    #[serde(default)]
    embedding: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct OllamasMessage<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

fn ollamas<'a>(line: OllamasLine<'a>, take: &mut dyn FnMut(&Piece<'a>)) -> Result<(), Unreadable> {
    let (content, thinking, calls) = match line.message {
        Some(message) => (message.content, message.thinking, message.tool_calls),
        None => (line.response, line.thinking, line.tool_calls),
    };
    let calls = calls.map(RawValue::get).unwrap_or_default();
    let done = line.done == Some(true) || line.embeddings.is_some() || line.embedding.is_some();
    let reason = line.done_reason.as_deref();
    take(&Piece {
        text: content.unwrap_or_default(),
        thinking: thinking.unwrap_or_default(),
        tool_calls: number_of(calls)?,
        calls,
        ending: done.then(|| Ending::of(reason)),
        last: done,
        usage: Usage::counted(line.prompt_eval_count, line.eval_count),
        // A proxy whose model server died sends `done`, too.
        failed: tells(line.error) || reason == Some("error"),
        choice: 0,
    });
    Ok(())
}

fn number_of(calls: &str) -> Result<u32, Unreadable> {
    if calls.is_empty() {
        return Ok(0);
    }
    let calls: Option<Vec<IgnoredAny>> = read(calls.as_bytes())?;
    Ok(calls.map_or(0, |calls| u32::try_from(calls.len()).unwrap_or(u32::MAX)))
}

#[derive(Deserialize)]
struct OpenaisPiece<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<OpenaisUsage>,
    #[serde(default)]
    data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    delta: Option<OpenaisMessage<'a>>,
    #[serde(borrow, default)]
    message: Option<OpenaisMessage<'a>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct OpenaisMessage<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "reasoning_content")]
    reasoning: Option<Text<'a>>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    function_call: Option<IgnoredAny>,
}

/// Only its beginning has a name.
#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct OpenaisUsage {
    #[serde(default, alias = "input_tokens")]
    prompt_tokens: Option<u64>,
    #[serde(default, alias = "output_tokens")]
    completion_tokens: Option<u64>,
}

impl OpenaisUsage {
    fn read(self) -> Usage {
        Usage::counted(self.prompt_tokens, self.completion_tokens)
    }
}

fn openais<'a>(piece: OpenaisPiece<'a>, take: &mut dyn FnMut(&Piece<'a>)) {
    let usage = piece.usage.unwrap_or_default().read();
    if tells(piece.error) {
        return take(&Piece { failed: true, ..Piece::default() });
    }
    if piece.data.is_some() {
        return take(&Piece { ending: Some(Ending::Stop), last: true, usage, ..Piece::default() });
    }
    let choices = piece.choices.unwrap_or_default();
    if choices.is_empty() {
        return take(&Piece { usage, ..Piece::default() });
    }
    for choice in choices {
        let message = choice.delta.or(choice.message).unwrap_or_default();
        let content = choice.text.or(message.refusal.filter(|refusal| !refusal.is_empty()));
        let begun = |calls: Vec<Call>| calls.iter().filter(|call| call.function.as_ref().is_some_and(|it| it.name.is_some())).count();
        take(&Piece {
            choice: choice.index,
            text: content.unwrap_or_else(|| text(message.content)),
            thinking: text(message.reasoning),
            tool_calls: message.tool_calls.map_or(0, begun) as u32 + u32::from(message.function_call.is_some()),
            ending: choice.finish_reason.map(|reason| if reason == "length" { Ending::Length } else { Ending::Stop }),
            usage,
            ..Piece::default()
        });
    }
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    incomplete_details: Option<Details<'a>>,
    #[serde(borrow, default)]
    output: Option<Vec<Item<'a>>>,
    #[serde(default)]
    usage: Option<OpenaisUsage>,
    #[serde(default)]
    max_output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    summary: Option<Text<'a>>,
}

impl Item<'_> {
    fn is_call(&self) -> bool {
        self.kind.ends_with("_call")
    }
}

/// Otherwise a stream ends, whose text came before.
fn response<'a>(response: &Response<'a>, whole: bool, take: &mut dyn FnMut(&Piece<'a>)) {
    let mut piece = Piece { failed: tells(response.error) || response.status.as_deref() == Some("failed"), ..Piece::default() };
    for item in response.output.iter().flatten().filter(|_| whole) {
        let written = |text: &Option<Text<'_>>| match text {
            Some(Text::One(text)) => text.clone().into_owned(),
            Some(Text::Parts(parts)) => parts.iter().filter_map(|part| part.text.as_deref().or(part.refusal.as_deref())).collect(),
            _ => String::new(),
        };
        match &*item.kind {
            "message" => piece.text.to_mut().push_str(&written(&item.content)),
            "reasoning" => {
                piece.thinking.to_mut().push_str(&written(&item.content));
                piece.thinking.to_mut().push_str(&written(&item.summary));
            }
            _ => piece.tool_calls += u32::from(item.is_call()),
        }
    }
    let reason = response.incomplete_details.as_ref().and_then(|details| details.reason.as_deref());
    let usage = response.usage.map(OpenaisUsage::read);
    // Ollama reports `completed`, uncounted, for an answer whose end it never saw.
    let uncounted = usage == Some(Usage::default());
    let used_up = response.max_output_tokens.is_some_and(|most| usage.and_then(|usage| usage.answer).is_some_and(|answer| answer >= most));
    piece.usage = usage.unwrap_or_default();
    piece.ending = match response.status.as_deref() {
        Some("completed") if uncounted => None,
        Some("completed") if used_up => Some(Ending::Length),
        Some("incomplete") if reason == Some("max_output_tokens") => Some(Ending::Length),
        Some("completed" | "incomplete") => Some(Ending::Stop),
        _ => None,
    };
    piece.last = piece.ending.is_some();
    take(&piece);
}

#[derive(Deserialize)]
struct ResponseEvent<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    delta: Option<Text<'a>>,
    #[serde(borrow, default)]
    item: Option<Item<'a>>,
    #[serde(borrow, default)]
    response: Option<Response<'a>>,
}

fn response_event<'a>(event: ResponseEvent<'a>, take: &mut dyn FnMut(&Piece<'a>)) {
    match &*event.kind {
        "response.output_text.delta" | "response.refusal.delta" => take(&Piece { text: text(event.delta), ..Piece::default() }),
        "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
            take(&Piece { thinking: text(event.delta), ..Piece::default() });
        }
        "response.output_item.added" => {
            take(&Piece { tool_calls: event.item.is_some_and(|item| item.is_call()).into(), ..Piece::default() });
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            if let Some(ended) = &event.response {
                response(ended, false, take);
            }
        }
        "error" => take(&Piece { failed: true, ..Piece::default() }),
        _ => {}
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<Vec<Block<'a>>>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    usage: Option<OpenaisUsage>,
}

#[derive(Default, Deserialize)]
struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
}

fn message_ending(reason: &str) -> Ending {
    if matches!(reason, "max_tokens" | "model_context_window_exceeded") { Ending::Length } else { Ending::Stop }
}

fn message<'a>(message: Message<'a>, take: &mut dyn FnMut(&Piece<'a>)) {
    let mut piece = Piece { failed: message.kind == "error", ..Piece::default() };
    for block in message.content.into_iter().flatten() {
        piece.tool_calls += u32::from(block.kind.ends_with("tool_use"));
        piece.text.to_mut().push_str(&block.text.unwrap_or_default());
        piece.thinking.to_mut().push_str(&block.thinking.unwrap_or_default());
    }
    piece.ending = message.stop_reason.map(|reason| message_ending(&reason));
    piece.last = piece.ending.is_some();
    piece.usage = message.usage.unwrap_or_default().read();
    take(&piece);
}

#[derive(Deserialize)]
struct MessageEvent<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    delta: Option<Block<'a>>,
    #[serde(default)]
    usage: Option<OpenaisUsage>,
}

fn message_event<'a>(event: MessageEvent<'a>, take: &mut dyn FnMut(&Piece<'a>)) {
    match &*event.kind {
        "content_block_start" | "content_block_delta" => {
            let block = event.content_block.or(event.delta).unwrap_or_default();
            take(&Piece {
                tool_calls: block.kind.ends_with("tool_use").into(),
                text: block.text.unwrap_or_default(),
                thinking: block.thinking.unwrap_or_default(),
                ..Piece::default()
            });
        }
        // `message_start` has only Ollama's guess.
        "message_delta" => {
            let reason = event.delta.and_then(|delta| delta.stop_reason);
            let usage = event.usage.unwrap_or_default().read();
            take(&Piece { ending: reason.map(|reason| message_ending(&reason)), usage, ..Piece::default() });
        }
        "message_stop" => take(&Piece { last: true, ..Piece::default() }),
        "error" => take(&Piece { failed: true, ..Piece::default() }),
        _ => {}
    }
}
