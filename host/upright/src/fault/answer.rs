//! The server's own words, out of the body of an error.
//!
//! They come as `{"error":"text"}`, as `{"error":{"message","type"}}` on OpenAI's routes, as JSON inside the text where llama.cpp's server
//! had the last word, as plain text, or not at all.

use crate::types::MESSAGE_LIMIT;
use serde_json::Value;

/// What the body of an error says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Empty where the server said nothing.
    pub(crate) message: String,
    /// Where to sign in.
    pub(crate) signin_url: Option<String>,
}

/// JSON inside of a text inside of JSON: no server nests deeper.
const DEPTH: u32 = 3;

pub(crate) fn read(body: &[u8]) -> Said {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) else {
        return Said { message: cut(String::from_utf8_lossy(body).trim()), signin_url: None };
    };
    let text = ["error", "message", "detail"].iter().find_map(|key| fields.get(*key));
    let message = match text {
        Some(value) => words(value),
        None => cut(String::from_utf8_lossy(body).trim()),
    };
    Said { message, signin_url: fields.get("signin_url").and_then(Value::as_str).map(str::to_owned) }
}

/// The text of the value of an `error` field.
pub(crate) fn words(error: &Value) -> String {
    cut(&find_words(error, DEPTH))
}

fn find_words(value: &Value, depth: u32) -> String {
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner @ Value::Object(_)) if depth > 0 => find_words(&inner, depth - 1),
            _ => text.clone(),
        },
        Value::Object(fields) => {
            if let Some(inner) = fields.get("error").filter(|_| depth > 0) {
                return find_words(inner, depth - 1);
            }
            let field = |name| fields.get(name).and_then(Value::as_str).unwrap_or_default();
            match (field("message"), field("type")) {
                ("", _) => value.to_string(),
                (message, "") => message.to_owned(),
                (message, kind) => format!("{message} ({kind})"),
            }
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// No more than a classifier looks at.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MESSAGE_LIMIT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_in_every_shape() {
        for (body, expected) in [
            (r#"{"error":"model 'x' not found"}"#, "model 'x' not found"),
            (r#"{"error":{"message":"too long","type":"invalid_request_error","param":null}}"#, "too long (invalid_request_error)"),
            (r#"{"error":{"message":"too long"}}"#, "too long"),
            (
                r#"{"error":"{\"error\":{\"code\":400,\"message\":\"request (2 tokens) exceeds\",\"type\":\"exceed_context_size_error\"}}"}"#,
                "request (2 tokens) exceeds (exceed_context_size_error)",
            ),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"{"error":null}"#, ""),
            (r#"{"error":{"code":7}}"#, r#"{"code":7}"#),
            (r#"{"status":"bad"}"#, r#"{"status":"bad"}"#),
            (r#"["bad"]"#, r#"["bad"]"#),
            ("404 page not found\n", "404 page not found"),
            ("<html>Bad gateway</html>", "<html>Bad gateway</html>"),
            ("", ""),
        ] {
            assert_eq!(read(body.as_bytes()).message, expected, "{body}");
        }
    }

    #[test]
    fn the_address_to_sign_in_at_is_kept() {
        let said = read(br#"{"error":"unauthorized","signin_url":"https://ollama.com/connect"}"#);
        assert_eq!(said.signin_url.as_deref(), Some("https://ollama.com/connect"));
    }

    #[test]
    fn hostile_bodies_break_nothing() {
        let nested =
            (0..50).fold("x".to_owned(), |inner, _| serde_json::json!({"error": inner}).to_string().chars().take(60_000).collect());
        assert!(!read(nested.as_bytes()).message.is_empty());
        assert_eq!(read(&[b'"', 0xff, 0xfe]).message, "\"\u{fffd}\u{fffd}");
        assert!(read("é".repeat(100_000).as_bytes()).message.len() <= MESSAGE_LIMIT);
    }
}
