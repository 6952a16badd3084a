//! Turns error answers into facts.
//!
//! Errors nest: `{"error":"text"}` (Ollama), `{"error":{"message","type","code"}}` (OpenAI), `{"type":"error",…}`
//! (Anthropic), `detail` (FastAPI), lines of a stream, JSON inside text, web pages. The innermost message and its
//! labels decide; the text around it is kept for people.

use crate::retry_after;
use serde_json::{Map, Value};
use std::time::SystemTime;
use upright_logic::types::{Endpoint, ErrorLabels, Fault, FaultKind, MESSAGE_LIMIT};

/// Contents of an error body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// Innermost message, at most [`MESSAGE_LIMIT`] bytes; empty if absent.
    pub message: String,
    /// Labels of the innermost error; `html` for a web page.
    pub labels: Option<ErrorLabels>,
    /// Address for signing in.
    pub signin_url: Option<String>,
    /// Number of tokens in a question that does not fit.
    pub prompt_tokens: Option<u64>,
    /// Size of its window, tokens.
    pub window: Option<u64>,
}

/// Maximum depth of nested errors.
const DEPTH: u32 = 8;

/// Most specific first.
const MESSAGES: [&str; 9] =
    ["message", "detail", "msg", "error_description", "error_message", "errorMessage", "Message", "title", "reason"];

const WEB_PAGE: &str = "html";

impl ErrorBody {
    /// Reads a body of any shape; never fails.
    pub fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        let mut reading = Reading::default();
        let message = if let Ok(value) = serde_json::from_str::<Value>(text) {
            reading.value(&value, DEPTH)
        } else if let Some(value) = last_line(text) {
            reading.value(&value, DEPTH)
        } else if is_web_page(text) {
            reading.error_type = Some(WEB_PAGE.to_owned());
            words_of_page(text)
        } else {
            reading.text(text, DEPTH)
        };
        reading.finish(&message)
    }

    /// Reads an `error` field, as in a stream's line.
    pub fn of(error: &Value) -> Self {
        let mut reading = Reading::default();
        let message = reading.value(error, DEPTH);
        reading.finish(&message)
    }
}

/// Facts of an answer with an error status. `header` takes lower-case names; `now` is wall-clock time.
///
/// Reads `Retry-After` (dates relative to `Date`), `retry-after-ms`, `x-should-retry` and a redirect's `Location`.
///
/// ```
/// use std::time::SystemTime;
/// use upright_protocol::fault_of_answer;
/// use upright::types::Endpoint;
///
/// let body = br#"{"error":{"message":"model 'qwen3:8b' not found","type":"not_found_error"}}"#;
/// let fault = fault_of_answer(Endpoint::Openai, 404, |_| None, body, SystemTime::now());
/// assert_eq!(fault.message, "model 'qwen3:8b' not found");
/// ```
pub fn fault_of_answer<'a>(
    endpoint: Endpoint,
    status: u16,
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: SystemTime,
) -> Fault {
    fault_of_body(endpoint, status, header, ErrorBody::read(body), now)
}

/// Facts of an answer whose body was read. `header` takes lower-case names; `now` is wall-clock time.
pub fn fault_of_body<'a>(
    endpoint: Endpoint,
    status: u16,
    header: impl Fn(&str) -> Option<&'a str>,
    said: ErrorBody,
    now: SystemTime,
) -> Fault {
    let ErrorBody { mut message, labels, signin_url, .. } = said;
    let location = header("location").filter(|_| (300..400).contains(&status)).map(str::to_owned);
    if let Some(location) = &location {
        message = format!("it redirects to {location}");
    }
    let should_retry = header("x-should-retry").and_then(|value| value.trim().to_ascii_lowercase().parse().ok());
    Fault {
        status: Some(status),
        endpoint,
        labels,
        retry_after: retry_after::of_headers(header, now).map(|span| span.as_secs_f64()),
        should_retry,
        points_to: location.or(signin_url),
        ..Fault::new(FaultKind::HttpStatus, message)
    }
}

#[derive(Default)]
struct Reading {
    error_type: Option<String>,
    error_code: Option<String>,
    signin_url: Option<String>,
    prompt_tokens: Option<u64>,
    window: Option<u64>,
}

impl Reading {
    fn finish(self, message: &str) -> ErrorBody {
        let Self { error_type, error_code, signin_url, prompt_tokens, window } = self;
        let cut = |text: String| cut(&text).to_owned();
        let labels = (error_type.is_some() || error_code.is_some())
            .then(|| ErrorLabels { error_type: error_type.map(cut), error_code: error_code.map(cut) });
        ErrorBody { message: self::cut(message.trim()).to_owned(), labels, signin_url, prompt_tokens, window }
    }

    fn value(&mut self, value: &Value, depth: u32) -> String {
        match value {
            Value::String(text) => self.text(text, depth),
            Value::Object(fields) if depth > 0 => self.object(fields, depth - 1),
            Value::Array(items) if depth > 0 => self.list(items, depth - 1),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, depth: u32) -> String {
        if let Some(url) = fields.get("signin_url").and_then(Value::as_str) {
            self.signin_url = Some(url.to_owned());
        }
        let count = |key: &str| fields.get(key).and_then(Value::as_u64);
        self.prompt_tokens = count("n_prompt_tokens").or(self.prompt_tokens);
        self.window = count("n_ctx").or(self.window);
        let inner = ["error", "errors"].iter().filter_map(|key| fields.get(*key)).find(|inner| is_telling(inner));
        if !matches!(inner, Some(Value::Object(_))) {
            self.label(fields);
        }
        let message = match inner {
            Some(inner) => self.value(inner, depth),
            None => String::new(),
        };
        let own = MESSAGES.iter().filter_map(|key| fields.get(*key)).find(|own| is_telling(own));
        let message = match own {
            // Context beside the inner error, or a copy.
            Some(own) if inner.is_some() => joined(&message, &Self::default().value(own, depth)),
            Some(own) => self.value(own, depth),
            None if inner.is_some() => message,
            None => Value::Object(fields.clone()).to_string(),
        };
        // A router quotes its provider.
        match fields.get("metadata").and_then(|metadata| metadata.get("raw")) {
            Some(raw) => joined(&message, &self.value(raw, depth)),
            None => message,
        }
    }

    fn list(&mut self, items: &[Value], depth: u32) -> String {
        let mut message = String::new();
        for item in items {
            let place = item.get("loc").and_then(Value::as_array).map(|place| {
                let part = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
                place.iter().map(part).collect::<Vec<_>>().join(".")
            });
            let said = self.value(item, depth);
            message = joined(&message, &place.map_or_else(|| said.clone(), |place| format!("{place}: {said}")));
            if message.len() > MESSAGE_LIMIT {
                break;
            }
        }
        message
    }

    fn label(&mut self, fields: &Map<String, Value>) {
        let text = |key: &str| match fields.get(key)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        // Anthropic's outer `"type": "error"` labels nothing.
        if let Some(error_type) =
            text("type").filter(|label| label != "error").or_else(|| text("status").filter(|_| fields.contains_key("code")))
        {
            self.error_type = Some(error_type);
        }
        // The HTTP status, also inside a stream.
        let status = || fields.get("status").filter(|status| status.as_u64().is_some_and(|status| status >= 300)).map(Value::to_string);
        if let Some(error_code) = text("code").or_else(status) {
            self.error_code = Some(error_code);
        }
    }

    /// Replaces JSON by its innermost message.
    fn text(&mut self, text: &str, depth: u32) -> String {
        if depth == 0 {
            return text.to_owned();
        }
        let Some((before, fields, after)) = embedded(text) else { return text.to_owned() };
        let inner = self.object(&fields, depth - 1);
        let mut message = before.to_owned();
        message.push_str(&inner);
        message.push_str(after);
        message
    }
}

fn is_telling(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn embedded(text: &str) -> Option<(&str, Map<String, Value>, &str)> {
    const TRIED: usize = 8;
    for (start, _) in text.match_indices('{').take(TRIED) {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        let Some(Ok(Value::Object(fields))) = values.next() else { continue };
        let end = start + values.byte_offset();
        let is_error = ["error", "errors"].iter().chain(&MESSAGES).any(|key| fields.get(*key).is_some_and(is_telling));
        if is_error {
            return Some((&text[..start], fields, &text[end..]));
        }
    }
    None
}

/// JSON alone (NDJSON), or after a field name (server-sent events).
fn last_line(text: &str) -> Option<Value> {
    text.lines().rev().find_map(|line| {
        let line = line.trim();
        let value = ["data:", "error:"].iter().find_map(|field| line.strip_prefix(field)).unwrap_or(line);
        let value: Value = serde_json::from_str(value.trim()).ok()?;
        let fields = value.as_object()?;
        let names_error = fields.get("error").is_some_and(is_telling) || fields.get("object").is_some_and(|object| object == "error");
        (names_error || line.starts_with("error:")).then_some(value)
    })
}

fn is_web_page(text: &str) -> bool {
    let beginning: String = text.chars().take(256).collect::<String>().to_ascii_lowercase();
    beginning.starts_with('<') && ["<!doctype html", "<html", "<head", "<body", "<h1"].iter().any(|tag| beginning.contains(tag))
}

fn words_of_page(page: &str) -> String {
    let mut words = String::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        words.push_str(&rest[..start]);
        words.push(' ');
        let tag = &rest[start..];
        let hidden = ["script", "style", "svg"].iter().find(|name| begins_with_tag(tag, name));
        let end = match hidden {
            Some(name) => tag.to_ascii_lowercase().find(&format!("</{name}")).unwrap_or(tag.len()),
            None => 0,
        };
        rest = tag[end..].find('>').map_or("", |close| &tag[end + close + 1..]);
        if words.len() > 4 * MESSAGE_LIMIT {
            break;
        }
    }
    words.push_str(rest);
    let words = words.replace("&nbsp;", " ").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    let mut said = String::new();
    for word in words.split_whitespace() {
        if !said.is_empty() {
            said.push(' ');
        }
        said.push_str(word);
    }
    said
}

fn begins_with_tag(tag: &str, name: &str) -> bool {
    tag.get(1..=name.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(name))
}

fn joined(one: &str, other: &str) -> String {
    match (one.contains(other), other.contains(one)) {
        (true, _) => one.to_owned(),
        (_, true) => other.to_owned(),
        _ => format!("{one}: {other}"),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_LIMIT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> (String, String, String) {
        let ErrorBody { message, labels, .. } = ErrorBody::read(body.as_bytes());
        let labels = labels.unwrap_or_default();
        (message, labels.error_type.unwrap_or_default(), labels.error_code.unwrap_or_default())
    }

    #[test]
    fn the_innermost_message_and_its_labels_are_found_in_every_shape() {
        for (body, message, error_type, error_code) in [
            (r#"{"error":"model 'x' not found"}"#, "model 'x' not found", "", ""),
            (
                r#"{"error":{"message":"too long","type":"invalid_request_error","param":null,"code":null}}"#,
                "too long",
                "invalid_request_error",
                "",
            ),
            (r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#, "too long", "", "context_length_exceeded"),
            (
                r#"{"error":"{\"error\":{\"code\":400,\"message\":\"request (2 tokens) exceeds\",\"type\":\"exceed_context_size_error\"}}"}"#,
                "request (2 tokens) exceeds",
                "exceed_context_size_error",
                "400",
            ),
            (
                r#"{"error":{"message":"{\"error\": {\"code\": 500, \"message\": \"Compute error.\", \"type\": \"server_error\"}}","type":"api_error"}}"#,
                "Compute error.",
                "server_error",
                "500",
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#,
                "Overloaded",
                "overloaded_error",
                "",
            ),
            (
                r#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#,
                "too long",
                "BadRequestError",
                "400",
            ),
            (r#"{"detail":"Not Found"}"#, "Not Found", "", ""),
            (
                r#"{"detail":[{"type":"missing","loc":["body","model"],"msg":"Field required","input":{}},{"loc":["body",0],"msg":"bad"}]}"#,
                "body.model: Field required: body.0: bad",
                "missing",
                "",
            ),
            (r#"[{"error":{"code":429,"message":"out","status":"RESOURCE_EXHAUSTED"}}]"#, "out", "RESOURCE_EXHAUSTED", "429"),
            (r#"{"error":true,"message":"no such thing"}"#, "no such thing", "", ""),
            (r#"{"title":"Bad","status":400,"detail":"the field x"}"#, "the field x", "", "400"),
            (
                r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"{\"error\":{\"message\":\"slow down\"}}"}}}"#,
                "Provider returned error: slow down",
                "",
                "429",
            ),
            (
                r#"{"error":"llama-server error: {\"error\":{\"message\":\"Failed\",\"type\":\"server_error\"}}\nggml: out of memory"}"#,
                "llama-server error: Failed\nggml: out of memory",
                "server_error",
                "",
            ),
            ("{\"done\":false}\n{\"error\":\"it stopped\"}\n", "it stopped", "", ""),
            (
                "data: {\"choices\":[]}\n\ndata: {\"error\":{\"message\":\"it stopped\",\"code\":500}}\n\ndata: [DONE]\n\n",
                "it stopped",
                "",
                "500",
            ),
            (r#"{"error":null}"#, r#"{"error":null}"#, "", ""),
            (r#"{"status":"bad"}"#, r#"{"status":"bad"}"#, "", ""),
            (r#"["bad"]"#, "bad", "", ""),
            ("404 page not found\n", "404 page not found", "", ""),
            (
                "<html>\r\n<head><title>502 Bad Gateway</title><style>p { color: red }</style></head>\r\n<body>\r\n<h1>502 Bad Gateway</h1></body></html>",
                "502 Bad Gateway 502 Bad Gateway",
                "html",
                "",
            ),
            ("", "", "", ""),
        ] {
            assert_eq!(read(body), (message.to_owned(), error_type.to_owned(), error_code.to_owned()), "{body}");
        }
    }

    #[test]
    fn the_address_to_sign_in_at_is_kept() {
        let said = ErrorBody::read(br#"{"error":"unauthorized","signin_url":"https://ollama.com/connect"}"#);
        assert_eq!(said.signin_url.as_deref(), Some("https://ollama.com/connect"));
    }

    #[test]
    fn hostile_bodies_break_nothing() {
        let nested =
            (0..50).fold("x".to_owned(), |inner, _| serde_json::json!({"error": inner}).to_string().chars().take(60_000).collect());
        assert!(!ErrorBody::read(nested.as_bytes()).message.is_empty());
        assert_eq!(ErrorBody::read(&[b'"', 0xff, 0xfe]).message, "\"\u{fffd}\u{fffd}");
        for text in ["é".repeat(100_000), "{".repeat(100_000), "<h1>".repeat(50_000), format!("<html><script>{}", "é".repeat(50_000))] {
            assert!(ErrorBody::read(text.as_bytes()).message.len() <= MESSAGE_LIMIT);
        }
        let list = format!("[{}\"x\"]", "\"é\",".repeat(50_000));
        assert!(ErrorBody::read(list.as_bytes()).message.len() <= MESSAGE_LIMIT);
    }

    #[test]
    fn headers_say_when_to_come_back_and_where_to_go() {
        let headers = [("retry-after-ms", "2500"), ("x-should-retry", "false"), ("location", "https://ollama.example/api/chat")];
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let moved = fault_of_answer(Endpoint::Chat, 308, header, b"<html>moved</html>", SystemTime::UNIX_EPOCH);
        assert_eq!((moved.retry_after, moved.should_retry), (Some(2.5), Some(false)));
        assert_eq!(moved.points_to.as_deref(), Some("https://ollama.example/api/chat"));
        assert_eq!(moved.message, "it redirects to https://ollama.example/api/chat");
        let busy = fault_of_answer(Endpoint::Chat, 503, header, b"busy", SystemTime::UNIX_EPOCH);
        assert_eq!((busy.message.as_str(), busy.points_to), ("busy", None));
    }
}
