//! OpenAI's protocol, as Ollama speaks it on `/v1`.
//!
//! Requests, answers and errors are translated as Ollama translates them. Three fields are honoured that Ollama ignores
//! on `/v1`: `keep_alive`, `num_ctx` (also within `options`), and `max_completion_tokens` if `max_tokens` is absent.

mod chat;
mod chat_answer;
mod completion;
mod embedding;
#[cfg(test)]
mod golden;
pub(crate) mod models;
#[cfg(test)]
mod requests;

use super::fields::{Fields, readable};
use super::{ErrorAnswer, ErrorFacts, Refused, Stamp, Translated, Wire, is_cloud};
use serde::Serialize;
use serde_json::{Map, Value, json};
use upright_protocol::{Route, Unreadable};

const FINGERPRINT: &str = "fp_ollama";
const DONE: &[u8] = b"data: [DONE]\n\n";

type Read = fn(&Fields<'_>, Stamp) -> Result<Translated, String>;

/// Translates a request; `None` for a route of another protocol.
pub(crate) fn translate(route: Route, body: &[u8], stamp: Stamp) -> Option<Result<Translated, Refused>> {
    let (kind, read) = match route {
        Route::ChatCompletions => ("openai.ChatCompletionRequest", chat::read as Read),
        Route::Completions => ("openai.CompletionRequest", completion::read as Read),
        Route::Embeddings => ("openai.EmbedRequest", embedding::read as Read),
        _ => return None,
    };
    let text = readable(body);
    let read = |fields: Fields<'_>| match untranslatable(route, &fields)? {
        Some(field) => Ok(Err(field)),
        None => read(&fields, stamp).map(Ok),
    };
    Some(match Fields::read(&text, kind).and_then(read) {
        Ok(Ok(translated)) => Ok(translated),
        Ok(Err(field)) => Err(Refused::Untranslatable { field: field.to_owned() }),
        Err(message) => Err(Refused::Invalid { status: 400, body: error_body(400, &message, None) }),
    })
}

/// A field that makes Ollama do what `/api` cannot: render a prompt alone, or pass a request on to its cloud as it is.
fn untranslatable(route: Route, fields: &Fields<'_>) -> Result<Option<&'static str>, String> {
    const RENDER: &str = "_debug_render_only";
    let renders = route != Route::Embeddings && fields.truth(RENDER)? == Some(true);
    let cloud = fields.text("model")?.is_some_and(|model| is_cloud(&model));
    Ok(if cloud { Some("model") } else { renders.then_some(RENDER) })
}

/// Returns an error in place of an answer.
pub(crate) fn error(facts: &ErrorFacts) -> ErrorAnswer {
    let body = error_body(facts.status, &facts.message, facts.code);
    ErrorAnswer { status: facts.status, content_type: Wire::Json.content_type(), body }
}

fn error_body(status: u16, message: &str, code: Option<&str>) -> Vec<u8> {
    let kind = match status {
        400 => "invalid_request_error",
        404 => "not_found_error",
        _ => "api_error",
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }).to_string().into_bytes()
}

/// Writes an error into a stream.
pub(super) fn error_event(facts: &ErrorFacts, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&error_body(facts.status, &facts.message, facts.code));
    out.extend_from_slice(b"\n\n");
}

fn event(data: &impl Serialize, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    out.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *out, data).map_err(|_| Unreadable)?;
    out.extend_from_slice(b"\n\n");
    Ok(())
}

fn document(data: &impl Serialize) -> Result<Vec<u8>, Unreadable> {
    serde_json::to_vec(data).map_err(|_| Unreadable)
}

fn content_type(streamed: bool) -> &'static str {
    if streamed { Wire::Sse.content_type() } else { Wire::Json.content_type() }
}

#[derive(Clone, Copy, Default, Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

impl Usage {
    fn of(prompt: Option<u64>, answer: Option<u64>) -> Self {
        let (prompt_tokens, completion_tokens) = (prompt.unwrap_or_default(), answer.unwrap_or_default());
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens.saturating_add(completion_tokens) }
    }
}

fn put(members: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), value.into());
    }
}

fn put_text(members: &mut Map<String, Value>, name: &str, text: String) {
    put(members, name, Some(text).filter(|text| !text.is_empty()));
}

/// Adds what Ollama ignores on `/v1`. Another type is ignored, as Ollama would.
fn put_extras(fields: &Fields<'_>, body: &mut Map<String, Value>, options: &mut Map<String, Value>) {
    let keep_alive = fields.any("keep_alive").ok().flatten();
    put(body, "keep_alive", keep_alive.filter(|value| value.is_string() || value.is_number()));
    let nested = fields.object("options", "map[string]interface {}").ok().flatten();
    let window = |fields: &Fields<'_>| fields.whole("num_ctx").ok().flatten();
    put(options, "num_ctx", window(fields).or_else(|| nested.as_ref().and_then(window)));
}

/// Whether the usage stands in the stream.
fn includes_usage(fields: &Fields<'_>) -> Result<bool, String> {
    let options = fields.object("stream_options", "openai.StreamOptions")?;
    Ok(options.map(|options| options.truth("include_usage")).transpose()?.flatten().unwrap_or_default())
}

/// Go's name for the type of a value.
fn go_type(value: Option<&Value>) -> &'static str {
    match value {
        None | Some(Value::Null) => "<nil>",
        Some(Value::Bool(_)) => "bool",
        Some(Value::Number(_)) => "float64",
        Some(Value::String(_)) => "string",
        Some(Value::Array(_)) => "[]interface {}",
        Some(Value::Object(_)) => "map[string]interface {}",
    }
}
