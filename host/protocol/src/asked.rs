//! Reads a request's facts by which its answer is judged.

use crate::route::Route;
use serde_json::{Map, Value};

/// Facts of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Route of the request.
    pub route: Route,
    /// Whether the answer is streamed.
    pub streamed: bool,
    /// Whether there is a question; otherwise Ollama only loads or unloads the model.
    pub question: bool,
    /// Whether tools are offered.
    pub tools: bool,
    /// Whether the answer must be JSON.
    pub format: bool,
    /// Whether the model should think.
    pub thinking: bool,
    /// Whether there are images.
    pub images: bool,
    /// Whether an answer may be empty: a completion (`suffix`, `raw`, `/v1/completions`), a reply to a tool, or the
    /// caller's choice.
    pub allows_empty: bool,
    /// Number of answers requested (`n`), at least 1.
    pub answers: u32,
    /// Number of words; a model reads at least one token for each.
    pub words: u64,
    /// Window requested (`num_ctx`), tokens.
    pub window: Option<u64>,
    /// Whether the caller fixed the seed.
    pub seed_fixed: bool,
    /// Temperature set by the caller.
    pub temperature: Option<f64>,
}

impl Asked {
    /// A request of which only the route is known.
    #[doc(hidden)]
    pub const fn new(route: Route) -> Self {
        Self {
            route,
            streamed: matches!(route, Route::Chat | Route::Generate),
            question: true,
            tools: false,
            format: false,
            thinking: false,
            images: false,
            allows_empty: matches!(route, Route::Completions),
            answers: 1,
            words: 0,
            window: None,
            seed_fixed: false,
            temperature: None,
        }
    }

    /// Reads a body as Ollama does: keys in any case, the last of equal keys, nothing after the JSON. Without an
    /// object: [`Asked::new`].
    #[doc(hidden)]
    pub fn read(route: Route, body: &[u8]) -> Self {
        match serde_json::Deserializer::from_slice(body).into_iter::<Value>().next() {
            Some(Ok(Value::Object(members))) => Self::of(route, &members),
            _ => Self::new(route),
        }
    }

    /// Reads a request's members.
    #[doc(hidden)]
    pub fn of(route: Route, request: &Map<String, Value>) -> Self {
        let mut asked = Self::new(route);
        let mut content = Content::default();
        for (key, value) in request {
            asked.member(&key.to_ascii_lowercase(), value, &mut content);
        }
        asked.words = content.words;
        asked.images |= content.images;
        if matches!(route, Route::Chat | Route::Generate) {
            asked.question = content.parts > 0;
        }
        asked
    }

    fn member(&mut self, key: &str, value: &Value, content: &mut Content) {
        match key {
            "stream" if !self.route.embeds() => self.streamed = value.as_bool().unwrap_or(self.streamed),
            "messages" | "input" | "prompt" => {
                content.value(value);
                self.allows_empty |= last_is_a_tools(value);
            }
            "system" | "instructions" => content.words_of(value),
            "suffix" => self.allows_empty |= !value.as_str().unwrap_or_default().is_empty(),
            "raw" => self.allows_empty |= value.as_bool() == Some(true),
            "images" => self.images |= is_given(value),
            "tools" => self.tools = is_given(value),
            "format" | "response_format" => self.format = is_given(value),
            "think" | "thinking" | "reasoning" | "reasoning_effort" => self.thinking = is_given(value) && value != &Value::Bool(false),
            "n" if !self.route.is_ollamas() => self.answers = value.as_u64().map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX)).max(1),
            "options" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    match key.to_ascii_lowercase().as_str() {
                        "num_ctx" => self.window = value.as_u64(),
                        "seed" => self.seed_fixed = value.is_number(),
                        "temperature" => self.temperature = value.as_f64(),
                        _ => {}
                    }
                }
            }
            "seed" => self.seed_fixed = value.is_number(),
            "temperature" => self.temperature = value.as_f64(),
            _ => {}
        }
    }

    /// Whether a repeated request can get another answer: neither seed nor temperature 0 is fixed.
    #[doc(hidden)]
    pub fn can_differ(&self) -> bool {
        !self.seed_fixed && self.temperature != Some(0.0)
    }
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

#[derive(Default)]
struct Content {
    words: u64,
    parts: u64,
    images: bool,
}

impl Content {
    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                self.parts += u64::from(!text.is_empty());
                self.words += words(text);
            }
            Value::Array(items) => items.iter().for_each(|item| self.value(item)),
            Value::Object(message) => {
                self.parts += 1;
                self.images |= message.get("images").is_some_and(is_given);
                self.words_of(message.get("content").unwrap_or(&Value::Null));
            }
            _ => {}
        }
    }

    fn words_of(&mut self, content: &Value) {
        match content {
            Value::String(text) => self.words += words(text),
            Value::Array(parts) => {
                for part in parts {
                    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
                    self.images |= kind.contains("image");
                    self.words += part.get("text").and_then(Value::as_str).map_or(0, words);
                }
            }
            _ => {}
        }
    }
}

fn words(text: &str) -> u64 {
    text.split_ascii_whitespace().count() as u64
}

/// A model may have nothing to add.
fn last_is_a_tools(messages: &Value) -> bool {
    let Some(last) = messages.as_array().and_then(|messages| messages.last()) else { return false };
    let text = |key: &str| last.get(key).and_then(Value::as_str);
    // Anthropic's are parts of a user's message, OpenAI's newer ones items.
    let result = |part: &Value| part.get("type").and_then(Value::as_str) == Some("tool_result");
    matches!(text("role"), Some("tool" | "function"))
        || text("type") == Some("function_call_output")
        || last.get("content").and_then(Value::as_array).is_some_and(|parts| parts.iter().any(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(route: Route, body: &str) -> Asked {
        Asked::read(route, body.as_bytes())
    }

    #[test]
    fn a_request_is_read_as_ollama_reads_it() {
        let asked = read(
            Route::Chat,
            r#"{"MODEL":"m","Messages":[{"role":"user","content":"one two"}],"Stream":true,"stream":false,"OPTIONS":{"Num_Ctx":512,"seed":1}} trailing"#,
        );
        let expected = Asked { streamed: false, words: 2, window: Some(512), seed_fixed: true, ..Asked::new(Route::Chat) };
        assert_eq!(asked, expected);
        assert!(!asked.can_differ());
        for body in ["", "[]", "{", "\"x\"", "\u{feff}{}"] {
            assert_eq!(read(Route::Chat, body), Asked::new(Route::Chat), "{body:?}");
        }
    }

    #[test]
    fn a_question_is_one_with_messages_or_a_prompt() {
        for (route, body, question) in [
            (Route::Chat, r#"{"messages":[]}"#, false),
            (Route::Chat, r#"{"model":"m"}"#, false),
            (Route::Chat, r#"{"messages":[{"role":"user","content":""}]}"#, true),
            (Route::Generate, r#"{"prompt":""}"#, false),
            (Route::Generate, r#"{"prompt":"x"}"#, true),
        ] {
            assert_eq!(read(route, body).question, question, "{body}");
        }
    }

    #[test]
    fn an_answer_without_text_is_one_where_a_text_is_completed_or_a_tool_has_spoken() {
        for (route, body, allowed) in [
            (Route::Completions, r#"{"prompt":"x"}"#, true),
            (Route::Generate, r#"{"prompt":"x"}"#, false),
            (Route::Generate, r#"{"prompt":"x","suffix":"y"}"#, true),
            (Route::Generate, r#"{"prompt":"x","suffix":""}"#, false),
            (Route::Generate, r#"{"prompt":"x","raw":true}"#, true),
            (Route::Chat, r#"{"messages":[{"role":"tool","content":"12"}]}"#, true),
            (Route::Chat, r#"{"messages":[{"role":"tool","content":"12"},{"role":"user","content":"and?"}]}"#, false),
            (Route::Messages, r#"{"messages":[{"role":"user","content":[{"type":"tool_result","content":"12"}]}]}"#, true),
            (Route::Responses, r#"{"input":[{"type":"function_call_output","output":"12"}]}"#, true),
        ] {
            assert_eq!(read(route, body).allows_empty, allowed, "{body}");
        }
    }

    #[test]
    fn words_are_counted_in_every_form_of_a_question() {
        for (route, body, words) in [
            (Route::Generate, r#"{"prompt":"one two","system":"three"}"#, 3),
            (Route::Embed, r#"{"input":["one two","three"]}"#, 3),
            (
                Route::ChatCompletions,
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"one two"},{"type":"image_url"}]}]}"#,
                2,
            ),
            (Route::Messages, r#"{"system":[{"type":"text","text":"one"}],"messages":[{"role":"user","content":"two"}]}"#, 2),
            (
                Route::Responses,
                r#"{"instructions":"one","input":[{"role":"user","content":[{"type":"input_text","text":"two three"}]}]}"#,
                3,
            ),
        ] {
            assert_eq!(read(route, body).words, words, "{body}");
        }
    }
}
