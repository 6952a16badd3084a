//! A question as it is sent: its body, what its answer is judged by, and the window that it asks for.

use super::messages::{ChatRequest, EmbedRequest, saturated};
use crate::types::Endpoint;
use serde_json::{Map, Value};
use upright_protocol::{Asked, OllamaError, Route, check_options};

/// A question as it is sent.
pub(super) struct Question {
    pub(super) endpoint: Endpoint,
    pub(super) path: &'static str,
    pub(super) body: Value,
    pub(super) asked: Asked,
    /// The window that the caller chose by `num_ctx`; it is sent unchanged.
    pub(super) fixed: Option<u32>,
    /// The window that was chosen for the caller.
    pub(super) window: Option<Window>,
    /// The largest that may be chosen.
    pub(super) max_window: Option<u32>,
    /// Whether the caller says how long the model stays in memory.
    keep_alive: bool,
    /// Whether the caller chose the batch.
    fixed_batch: bool,
}

/// Ollama's batch for embeddings where nobody asks for another; tokens (`llm/llama_server.go`).
const EMBEDDING_BATCH: u32 = 2048;

/// A window that was chosen for the caller; tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// By the policy, for this question.
    Enlarged(u32),
    /// Because the model was made to have it, by this client.
    Kept(u32),
    /// Because the model is loaded with it, for whatever reason.
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
    /// Fails where an option has a value of the wrong type.
    pub(super) fn chat(request: &ChatRequest, streamed: bool) -> Result<Self, OllamaError> {
        check_options(&request.options).map_err(OllamaError::Option)?;
        // Texts, numbers and JSON values with string keys: this cannot fail, and an empty request gets a proper refusal.
        let mut body = serde_json::to_value(request).unwrap_or_default();
        body["stream"] = streamed.into();
        let mut question = Self::new(Endpoint::Chat, "/api/chat", Route::Chat, body, request.window, request.max_window);
        question.asked.allows_empty |= request.allow_empty;
        Ok(question)
    }

    /// Fails where an option has a value of the wrong type.
    pub(super) fn embed(request: &EmbedRequest) -> Result<Self, OllamaError> {
        check_options(&request.options).map_err(OllamaError::Option)?;
        let body = serde_json::to_value(request).unwrap_or_default();
        Ok(Self::new(Endpoint::Embed, "/api/embed", Route::Embed, body, request.window, request.max_window))
    }

    fn new(endpoint: Endpoint, path: &'static str, route: Route, body: Value, window: Option<u32>, max_window: Option<u32>) -> Self {
        let asked = body.as_object().map_or(Asked::new(route), |members| Asked::of(route, members));
        // Whatever the caller says is sent as it is.
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

    /// The model, as the caller spells it.
    pub(super) fn model(&self) -> &str {
        match &self.body {
            Value::String(model) => model,
            body => body.get("model").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// Drops all that is not needed once the question was sent: it may be long.
    pub(super) fn sent(&mut self) {
        let model = self.body.get_mut("model").map(Value::take).unwrap_or_default();
        self.body = if model.is_string() { model } else { Value::String(String::new()) };
    }

    /// Asks for a window, where the caller has not.
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
            // A text is embedded in one batch. Another program that loaded the model chose no batch; a different batch would load it again.
            if embeds && !matches!(window, Window::Found(_)) && !self.fixed_batch {
                options.insert("num_batch".to_owned(), tokens.into());
            }
        }
    }

    /// Whether the model is only to be unloaded.
    pub(super) fn unloads(&self) -> bool {
        !self.asked.question && self.body.get("keep_alive").is_some_and(|keep| keep == 0 || keep == "0" || keep == "0s")
    }

    /// Whether the caller says how long the model stays in memory.
    pub(super) fn sets_keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The largest text that a model embeds in one batch, unless another batch was asked for; tokens.
    pub(super) fn batch(&self) -> Option<u32> {
        let embeds = self.endpoint == Endpoint::Embed;
        let batch = self.body.get("options").and_then(|options| options.get("num_batch")).and_then(Value::as_u64);
        embeds.then(|| batch.map_or(EMBEDDING_BATCH, saturated))
    }

    /// How long an answer the caller asked for; tokens.
    pub(super) fn answer_length(&self) -> Option<u32> {
        let length = self.body.get("options")?.get("num_predict")?.as_i64()?;
        u32::try_from(length).ok().filter(|length| *length > 0)
    }

    /// Tokens that the question has, as a guess that is rather too high: one for each word, or for each three bytes where that is more. Of texts to embed the longest
    /// counts, since each is read by itself.
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

/// Bytes and words of all texts of a value. An image is none: a model reads it as a few hundred tokens, however large it is.
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
    fn what_was_sent_is_dropped_but_for_the_models_name() {
        let mut question = Question::chat(&ChatRequest { keep_alive: Some(1.into()), ..ChatRequest::ask("m", "hi") }, true).unwrap();
        question.sent();
        assert_eq!((question.model(), question.sets_keep_alive(), question.estimate()), ("m", true, 0));
    }
}
