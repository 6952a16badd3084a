//! Builds a question: its body, the basis for judging its answer, and the window to ask for.

use super::messages::{ChatRequest, EmbedRequest, saturated};
use crate::types::Endpoint;
use serde_json::{Map, Value};
use upright_protocol::{Asked, OllamaError, Route, check_options};

pub(super) struct Question {
    pub(super) endpoint: Endpoint,
    pub(super) path: &'static str,
    pub(super) body: Value,
    pub(super) asked: Asked,
    pub(super) fixed: Option<u32>,
    pub(super) window: Option<Window>,
    pub(super) max_window: Option<u32>,
    keep_alive: bool,
    fixed_batch: bool,
}

/// Ollama's default batch for embeddings; tokens (`llm/llama_server.go`).
const EMBEDDING_BATCH: u32 = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// The policy enlarged it for this question.
    Enlarged(u32),
    /// This client enlarged it earlier.
    Kept(u32),
    /// The model is loaded with it.
    Found(u32),
}

impl Window {
    pub(super) fn tokens(self) -> u32 {
        match self {
            Self::Enlarged(tokens) | Self::Kept(tokens) | Self::Found(tokens) => tokens,
        }
    }
}

impl Question {
    pub(super) fn chat(request: &ChatRequest, streamed: bool) -> Result<Self, OllamaError> {
        check_options(&request.options).map_err(OllamaError::Option)?;
        // Cannot fail: texts, numbers and JSON values with string keys. The server rejects an empty request.
        let mut body = serde_json::to_value(request).unwrap_or_default();
        body["stream"] = streamed.into();
        let mut question = Self::new(Endpoint::Chat, "/api/chat", Route::Chat, body, request.window, request.max_window);
        question.asked.allows_empty |= request.allow_empty;
        Ok(question)
    }

    pub(super) fn embed(request: &EmbedRequest) -> Result<Self, OllamaError> {
        check_options(&request.options).map_err(OllamaError::Option)?;
        let body = serde_json::to_value(request).unwrap_or_default();
        Ok(Self::new(Endpoint::Embed, "/api/embed", Route::Embed, body, request.window, request.max_window))
    }

    fn new(endpoint: Endpoint, path: &'static str, route: Route, body: Value, window: Option<u32>, max_window: Option<u32>) -> Self {
        let asked = Asked::of(route, &body);
        let option = |name: &str| body.get("options").and_then(|options| options.get(name));
        let fixed_batch = option("num_batch").is_some();
        let fixed = option("num_ctx").map(|tokens| tokens.as_u64().map_or(0, saturated));
        let keep_alive = body.get("keep_alive").is_some();
        let mut question = Self { endpoint, path, body, asked, fixed, window: None, max_window, keep_alive, fixed_batch };
        if let Some(tokens) = window {
            question.choose(Window::Enlarged(tokens));
        }
        question
    }

    pub(super) fn model(&self) -> &str {
        match &self.body {
            Value::String(model) => model,
            body => body.get("model").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    pub(super) fn sent(&mut self) {
        let model = self.body.get_mut("model").map(Value::take).unwrap_or_default();
        self.body = if model.is_string() { model } else { Value::String(String::new()) };
    }

    pub(super) fn choose(&mut self, window: Window) {
        if self.fixed.is_some() {
            return;
        }
        let tokens = window.tokens();
        self.window = Some(window);
        self.asked.window = Some(tokens.into());
        let embeds = self.endpoint == Endpoint::Embed;
        if let Some(body) = self.body.as_object_mut()
            && let Value::Object(options) = body.entry("options").or_insert_with(|| Map::new().into())
        {
            options.insert("num_ctx".to_owned(), tokens.into());
            // A text is embedded in one batch. A model found loaded keeps its batch: another one would load it again.
            if embeds && !matches!(window, Window::Found(_)) && !self.fixed_batch {
                options.insert("num_batch".to_owned(), tokens.into());
            }
        }
    }

    pub(super) fn unloads(&self) -> bool {
        !self.asked.question && self.body.get("keep_alive").is_some_and(|keep| keep == 0 || keep == "0" || keep == "0s")
    }

    pub(super) fn sets_keep_alive(&self) -> bool {
        self.keep_alive
    }

    pub(super) fn batch(&self) -> Option<u32> {
        let embeds = self.endpoint == Endpoint::Embed;
        let batch = self.body.get("options").and_then(|options| options.get("num_batch")).and_then(Value::as_u64);
        embeds.then(|| batch.map_or(EMBEDDING_BATCH, saturated))
    }

    pub(super) fn answer_length(&self) -> Option<u32> {
        let length = self.body.get("options")?.get("num_predict")?.as_i64()?;
        u32::try_from(length).ok().filter(|length| *length > 0)
    }

    /// Estimates the question's tokens, rather too high: one a word or three bytes. For embeddings the longest text
    /// counts.
    pub(super) fn estimate(&self) -> u32 {
        let guess = |value: &Value| {
            let (bytes, words) = size_of(value);
            words.max(bytes / 3)
        };
        let tokens = match self.body.get("input").and_then(Value::as_array) {
            Some(texts) => texts.iter().map(guess).max().unwrap_or(0),
            None => ["messages", "tools"].iter().filter_map(|key| self.body.get(key)).map(guess).sum(),
        };
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

/// Bytes and words of all texts. Images cost a few hundred tokens at any size.
fn size_of(value: &Value) -> (usize, usize) {
    let sum = |one: (usize, usize), other: (usize, usize)| (one.0 + other.0, one.1 + other.1);
    match value {
        Value::String(text) => (text.len(), text.split_ascii_whitespace().count()),
        Value::Array(items) => items.iter().map(size_of).fold((0, 0), sum),
        Value::Object(members) => {
            members.iter().filter(|(key, _)| *key != "images").map(|(key, value)| sum((key.len(), 0), size_of(value))).fold((0, 0), sum)
        }
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ollama::Message;
    use serde_json::json;

    #[test]
    fn an_estimate_counts_texts_and_no_images() {
        let mut request = ChatRequest::ask("m", "x".repeat(300));
        let estimate = |request: &ChatRequest| Question::chat(request, true).unwrap().estimate();
        let plain = estimate(&request);
        assert!((100..110).contains(&plain), "{plain}");
        request.messages[0].extra.insert("images".to_owned(), json!(["A".repeat(1 << 20)]));
        assert_eq!(estimate(&request), plain);
        request.messages.push(Message::new("user", "a ".repeat(1000)));
        assert!(estimate(&request) >= 1000);
    }

    #[test]
    fn a_window_goes_where_the_caller_chose_none() {
        let mut request = ChatRequest { window: Some(8192), ..ChatRequest::ask("m", "hi") };
        assert_eq!(Question::chat(&request, true).unwrap().body["options"], json!({"num_ctx": 8192}));
        request.options.insert("num_ctx".to_owned(), 512.into());
        let question = Question::chat(&request, true).unwrap();
        assert_eq!((&question.body["options"], question.window, question.fixed), (&json!({"num_ctx": 512}), None, Some(512)));
        request.options.insert("num_ctx".to_owned(), (-1).into());
        assert_eq!(Question::chat(&request, true).unwrap().body["options"], json!({"num_ctx": -1}));
    }

    #[test]
    fn of_texts_to_embed_the_longest_is_estimated() {
        let question = Question::embed(&EmbedRequest::of("m", &["x".repeat(300), "x".repeat(9000), "x".repeat(300)])).unwrap();
        assert_eq!(question.estimate(), 3000);
    }

    #[test]
    fn a_sent_question_keeps_only_its_model_name() {
        let mut question = Question::chat(&ChatRequest { keep_alive: Some(1.into()), ..ChatRequest::ask("m", "hi") }, true).unwrap();
        question.sent();
        assert_eq!((question.model(), question.sets_keep_alive(), question.estimate()), ("m", true, 0));
    }
}
