//! Reads the top-level members of a request without parsing the rest.
//!
//! A request is routed by its model. Ollama reads JSON as Go does: keys in any case, the last of equal keys, nothing
//! after the object. A gateway that reads otherwise routes by one model, and the server runs another.
//!
//! So [`scan`] accepts only bodies that all parsers read alike. [`canonical()`] rewrites the others, and the server
//! receives the rewritten body. Of nested objects, only the options are looked into. [`edited`] changes members by
//! splicing.

mod canonical;
mod edit;
mod walk;

#[cfg(test)]
mod tests;

pub use canonical::{Malformed, canonical};
pub use edit::{Edit, edited};

use std::borrow::Cow;
use std::str::from_utf8;
use walk::Walk;

/// Byte range of a value in the body.
pub type Span = std::ops::Range<usize>;

/// A top-level member that the gateway reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `model`.
    Model,
    /// `name`: the model, in old requests to `/api/show`, `/api/pull`, `/api/delete` and similar routes.
    Name,
    /// `source`: the model that `/api/copy` copies.
    Source,
    /// `from`: the model that `/api/create` begins with.
    From,
    /// `files`: blobs of `/api/create`.
    Files,
    /// `adapters`: blobs of `/api/create`.
    Adapters,
    /// `stream`.
    Stream,
    /// `truncate`.
    Truncate,
    /// `keep_alive`.
    KeepAlive,
    /// `options`.
    Options,
    /// `messages`.
    Messages,
    /// `prompt`.
    Prompt,
    /// `input`.
    Input,
    /// `tools`.
    Tools,
    /// `format`.
    Format,
    /// `response_format`.
    ResponseFormat,
    /// `think`.
    Think,
    /// `thinking`.
    Thinking,
    /// `reasoning`.
    Reasoning,
    /// `reasoning_effort`.
    ReasoningEffort,
}

impl Key {
    /// Name in the JSON.
    pub const fn name(self) -> &'static str {
        MEMBERS[self as usize].1
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Truth,
    Object,
    Any,
}

impl Kind {
    fn fits(self, value: &[u8]) -> bool {
        let fits = match self {
            Self::Text => value.starts_with(b"\""),
            Self::Truth => truth(value).is_some(),
            Self::Object => value.starts_with(b"{"),
            Self::Any => true,
        };
        fits || value == b"null"
    }
}

/// In the order of [`Key`]. A key that a route does not know is harmless there, so one table serves all routes.
const MEMBERS: [(Key, &str, Kind); 20] = [
    (Key::Model, "model", Kind::Text),
    (Key::Name, "name", Kind::Text),
    (Key::Source, "source", Kind::Text),
    (Key::From, "from", Kind::Any),
    (Key::Files, "files", Kind::Any),
    (Key::Adapters, "adapters", Kind::Any),
    (Key::Stream, "stream", Kind::Truth),
    (Key::Truncate, "truncate", Kind::Truth),
    (Key::KeepAlive, "keep_alive", Kind::Any),
    (Key::Options, "options", Kind::Object),
    (Key::Messages, "messages", Kind::Any),
    (Key::Prompt, "prompt", Kind::Any),
    (Key::Input, "input", Kind::Any),
    (Key::Tools, "tools", Kind::Any),
    (Key::Format, "format", Kind::Any),
    (Key::ResponseFormat, "response_format", Kind::Any),
    (Key::Think, "think", Kind::Any),
    (Key::Thinking, "thinking", Kind::Any),
    (Key::Reasoning, "reasoning", Kind::Any),
    (Key::ReasoningEffort, "reasoning_effort", Kind::Any),
];

/// Further members that Ollama or the gateway reads where a model answers. Only their case matters here.
const OTHERS: &[&str] = &[
    // `/api/chat`, `/api/generate`, `/api/embed`
    "_debug_render_only",
    "context",
    "dimensions",
    "images",
    "logprobs",
    "raw",
    "shift",
    "suffix",
    "system",
    "template",
    "top_logprobs",
    // `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`
    "encoding_format",
    "frequency_penalty",
    "max_completion_tokens",
    "max_tokens",
    "n",
    "num_ctx",
    "presence_penalty",
    "seed",
    "stop",
    "stream_options",
    "temperature",
    "top_p",
    // `/v1/responses`
    "background",
    "conversation",
    "include",
    "instructions",
    "max_output_tokens",
    "text",
    "truncation",
    // `/v1/messages`
    "metadata",
    "output_config",
    "stop_sequences",
    "tool_choice",
    "top_k",
];

/// Known name for which Go takes a key. Unicode's simple folding has two characters that fold to ASCII letters.
fn known(key: &str) -> Option<&'static str> {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    MEMBERS.iter().map(|(_, name, _)| *name).chain(OTHERS.iter().copied()).find(|name| key.chars().map(fold).eq(name.chars()))
}

/// Members of a request. A member that is `null` counts as absent, as with Ollama.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The model's name, a JSON string with its quotes. [`text`] reads it.
    pub model: Option<Span>,
    /// Whether the answer is to be streamed.
    pub stream: Option<bool>,
    /// How long the model stays loaded: a JSON string or number. A request with 0 unloads it.
    pub keep_alive: Option<Span>,
    /// The options, a JSON object.
    pub options: Option<Span>,
    /// Window asked for by `options.num_ctx`, tokens. Fractions are dropped; negative numbers count as absent.
    pub num_ctx: Option<u64>,
    /// Whether a question that does not fit may be cut.
    pub truncate: Option<bool>,
    /// Whether `messages`, `prompt` or `input` has content. Without content, Ollama only loads or unloads the model.
    pub question: bool,
    /// Whether tools are offered.
    pub tools: bool,
    /// Whether the answer must have a format.
    pub format: bool,
    /// Whether the model should think.
    pub think: bool,
    /// A member of a type that Ollama refuses. Other servers may know it, so the body is passed on without edits.
    pub unexpected: Option<Key>,
    /// End of the object, bytes. Text after it is ignored, as Go does.
    pub end: usize,
    /// Start of the first member.
    open: usize,
    places: Places,
    /// Value of `options.num_ctx`.
    window: Option<Span>,
}

type Places = [Option<Place>; MEMBERS.len()];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Start of the key.
    start: usize,
    value: Span,
}

impl Fields {
    /// Value of a member, `null` included.
    pub(crate) fn value(&self, key: Key) -> Option<Span> {
        self.places[key as usize].as_ref().map(|place| place.value.clone())
    }
}

/// Text of a JSON string in the body; `None` if the span is not a string. Allocates only where there are escapes.
pub fn text<'a>(body: &'a [u8], span: &Span) -> Option<Cow<'a, str>> {
    let json = body.get(span.clone())?;
    match serde_json::from_slice::<&str>(json) {
        Ok(plain) => Some(plain.into()),
        Err(_) => serde_json::from_slice::<String>(json).ok().map(Cow::Owned),
    }
}

/// Reason for which parsers may read a body in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Odd {
    /// A key has an escape, and may be one of the known keys.
    #[error("a key is escaped")]
    EscapedKey,
    /// A known key has capitals, or the letters `K` (U+212A) or `ſ` (U+017F).
    #[error("a known key is in another case")]
    OtherCase,
    /// A known key comes twice.
    #[error("a known key comes twice")]
    Duplicate,
    /// The body is not UTF-8.
    #[error("the body is not UTF-8")]
    InvalidUtf8,
    /// A string has half of a surrogate pair.
    #[error("a string has half of a surrogate pair")]
    LoneSurrogate,
    /// A byte order mark opens the body.
    #[error("the body begins with a byte order mark")]
    ByteOrderMark,
    /// The body is empty, or another value than an object.
    #[error("the body is not an object")]
    NotAnObject,
    /// Values are nested more deeply than Go reads them.
    #[error("the body has more than 10,000 levels")]
    TooDeep,
    /// The top level, or the options, are not JSON.
    #[error("the body is not JSON")]
    Malformed,
}

/// Reads the members of a body in one pass, without allocation. Nested values are passed over unchecked: the server
/// refuses what is malformed there.
///
/// # Errors
/// [`Odd`] if parsers may read the body in different ways. [`canonical()`] then rewrites it; its result is never odd.
pub fn scan(body: &[u8]) -> Result<Fields, Odd> {
    if body.starts_with("\u{feff}".as_bytes()) {
        return Err(Odd::ByteOrderMark);
    }
    let mut walk = Walk { body, at: 0 };
    if !walk.is_next(b'{') {
        return Err(Odd::NotAnObject);
    }
    let open = walk.at + 1;
    let (mut places, mut unexpected) = (Places::default(), None);
    walk.members(|key, value| {
        let Some(index) = index(body, &key)? else { return Ok(()) };
        let (known, _, kind) = MEMBERS[index];
        if !kind.fits(&body[value.clone()]) {
            unexpected.get_or_insert(known);
        }
        let place = Place { start: key.start, value };
        if places[index].replace(place).is_some() { Err(Odd::Duplicate) } else { Ok(()) }
    })?;
    let end = walk.at;
    if from_utf8(&body[..end]).is_err() {
        return Err(Odd::InvalidUtf8);
    }

    let span = |key: Key| places[key as usize].as_ref().map(|place| place.value.clone()).filter(|span| body[span.clone()] != *b"null");
    let value = |key: Key| span(key).map(|span| &body[span]);
    let given = |keys: &[Key]| keys.iter().any(|key| value(*key).is_some_and(is_given));
    let options = span(Key::Options).filter(|span| body[span.start] == b'{');
    let window = options.clone().map_or(Ok(None), |options| window(body, options))?;
    if window.as_ref().is_some_and(|window| !matches!(body[window.start], b'-' | b'0'..=b'9' | b'n')) {
        unexpected.get_or_insert(Key::Options);
    }
    Ok(Fields {
        model: span(Key::Model).filter(|span| body[span.start] == b'"'),
        stream: value(Key::Stream).and_then(truth),
        keep_alive: span(Key::KeepAlive),
        num_ctx: window.as_ref().and_then(|window| tokens(&body[window.clone()])),
        options,
        truncate: value(Key::Truncate).and_then(truth),
        question: given(&[Key::Messages, Key::Prompt, Key::Input]),
        tools: given(&[Key::Tools]),
        format: given(&[Key::Format, Key::ResponseFormat]),
        think: given(&[Key::Think, Key::Thinking, Key::Reasoning, Key::ReasoningEffort]),
        unexpected,
        end,
        open,
        window,
        places,
    })
}

/// Index of a key in [`MEMBERS`].
fn index(body: &[u8], key: &Span) -> Result<Option<usize>, Odd> {
    let name = name(body, key)?;
    let index = MEMBERS.iter().position(|(_, known, _)| known.as_bytes() == name);
    // Most keys have nothing to fold.
    let folds = name.iter().any(|byte| !byte.is_ascii() || byte.is_ascii_uppercase());
    if folds && from_utf8(name).is_ok_and(|name| known(name).is_some()) {
        return Err(Odd::OtherCase);
    }
    Ok(index)
}

fn name<'a>(body: &'a [u8], key: &Span) -> Result<&'a [u8], Odd> {
    let name = &body[key.start + 1..key.end - 1];
    if name.contains(&b'\\') { Err(Odd::EscapedKey) } else { Ok(name) }
}

/// Ollama compares the names of options exactly.
fn window(body: &[u8], options: Span) -> Result<Option<Span>, Odd> {
    let mut found = None;
    Walk { body, at: options.start }.members(|key, value| {
        if name(body, &key)? == b"num_ctx" && found.replace(value).is_some() { Err(Odd::Duplicate) } else { Ok(()) }
    })?;
    Ok(found)
}

/// Ollama drops fractions.
fn tokens(number: &[u8]) -> Option<u64> {
    let number = from_utf8(number).ok()?;
    let fractional = || number.parse().ok().filter(|tokens: &f64| tokens.is_finite() && *tokens >= 0.0).map(|tokens| tokens as u64);
    number.parse().ok().or_else(fractional)
}

fn truth(value: &[u8]) -> Option<bool> {
    match value {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// Whether a value says something: not `false`, `""`, `[]` or `{}`.
fn is_given(value: &[u8]) -> bool {
    match value {
        b"false" | b"\"\"" => false,
        [b'[' | b'{', within @ ..] => !matches!(within.trim_ascii_start(), [b']' | b'}', ..]),
        _ => true,
    }
}
