//! Simulates a small healthy Ollama.

use crate::asked::Asked;
use crate::dialect::{Counts, Dialect, Finish};
use crate::models::{Model, hash};
use crate::names::canonical_name;
use crate::state::{State, locked};
use crate::tools;
use crate::window::Read;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

const JSON: &str = "application/json; charset=utf-8";
const PLAIN: &str = "text/plain";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Root,
    Version,
    Tags,
    Ps,
    OpenAiModels,
    Show,
    Write(Dialect),
    Embed,
    EmbedOne,
    OpenAiEmbed,
}

const ROUTES: &[(Method, &str, Route)] = &[
    (Method::GET, "/", Route::Root),
    (Method::GET, "/api/version", Route::Version),
    (Method::GET, "/api/tags", Route::Tags),
    (Method::GET, "/api/ps", Route::Ps),
    (Method::GET, "/v1/models", Route::OpenAiModels),
    (Method::POST, "/api/show", Route::Show),
    (Method::POST, "/api/chat", Route::Write(Dialect::Chat)),
    (Method::POST, "/api/generate", Route::Write(Dialect::Generate)),
    (Method::POST, "/v1/chat/completions", Route::Write(Dialect::OpenAiChat)),
    (Method::POST, "/v1/completions", Route::Write(Dialect::OpenAiCompletion)),
    (Method::POST, "/api/embed", Route::Embed),
    (Method::POST, "/api/embeddings", Route::EmbedOne),
    (Method::POST, "/v1/embeddings", Route::OpenAiEmbed),
];

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) tokens: Vec<Bytes>,
    pub(crate) end: Vec<Bytes>,
    pub(crate) streamed: bool,
}

impl Reply {
    pub(crate) fn text(status: u16, content_type: &'static str, text: impl Into<Bytes>) -> Self {
        Self { status, content_type, tokens: Vec::new(), end: vec![text.into()], streamed: false }
    }

    pub(crate) fn plain(status: u16, text: &'static str) -> Self {
        Self::text(status, PLAIN, text)
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::text(status, JSON, value.to_string())
    }

    pub(crate) fn error(asked: &Asked, status: u16, text: &str) -> Self {
        if !asked.is_openai() {
            return Self::json(status, &json!({"error": text}));
        }
        let kind = match status {
            400 => "invalid_request_error",
            404 => "not_found_error",
            _ => "api_error",
        };
        Self::json(status, &json!({"error": {"message": text, "type": kind, "param": null, "code": null}}))
    }
}

pub(crate) fn admit(state: &State, asked: &Asked) -> Result<Route, Reply> {
    let Some((method, _, route)) = ROUTES.iter().find(|(_, path, _)| *path == asked.path) else {
        return Err(Reply::plain(404, "404 page not found"));
    };
    if asked.method != *method && !(asked.method == Method::HEAD && *method == Method::GET) {
        return Err(Reply::plain(405, "405 method not allowed"));
    }
    if *method != Method::POST {
        return Ok(*route);
    }
    if asked.raw.is_empty() {
        return Err(Reply::error(asked, 400, "missing request body"));
    }
    if let Err(fault) = serde_json::from_slice::<Value>(&asked.raw) {
        return Err(Reply::error(asked, 400, &format!("invalid JSON: {fault}")));
    }
    let Some(name) = &asked.model else {
        return Err(Reply::error(asked, 400, "model is required"));
    };
    // Fault models exist, so that a good answer can follow a failure.
    if state.model(name).is_some() || canonical_name(name).starts_with(crate::FAULT_PREFIX) {
        return Ok(*route);
    }
    let text = match route {
        Route::Embed | Route::EmbedOne | Route::OpenAiEmbed => {
            format!("model {name:?} not found, try pulling it first")
        }
        _ => format!("model '{name}' not found"),
    };
    Err(Reply::error(asked, 404, &text))
}

pub(crate) fn loads_model(route: Route) -> bool {
    matches!(route, Route::Write(_) | Route::Embed | Route::EmbedOne | Route::OpenAiEmbed)
}

pub(crate) fn answer(state: &State, asked: &Asked, route: Route, read: Read) -> Reply {
    let models = || locked(&state.models).clone();
    match route {
        Route::Root => Reply::plain(200, "Ollama is running"),
        Route::Version => Reply::json(200, &json!({"version": crate::VERSION})),
        Route::Tags => Reply::json(200, &json!({"models": models().iter().map(Model::tag).collect::<Vec<_>>()})),
        Route::OpenAiModels => {
            let data: Vec<Value> = models().iter().map(Model::openai).collect();
            Reply::json(200, &json!({"object": "list", "data": data}))
        }
        Route::Ps => {
            let loaded = |model: &Model| state.loaded_window(&model.name).map(|tokens| model.loaded(tokens));
            Reply::json(200, &json!({"models": models().iter().filter_map(loaded).collect::<Vec<_>>()}))
        }
        Route::Show => {
            let model = state.model(asked.model_name()).unwrap_or_else(|| asked.model_name().into());
            Reply::json(200, &model.show())
        }
        Route::Write(dialect) => write(state, asked, dialect, read),
        Route::Embed => {
            let vectors: Vec<Value> = inputs(asked).iter().map(|text| vector(text)).collect();
            Reply::json(
                200,
                &json!({"model": asked.model, "embeddings": vectors, "total_duration": 20_000_000,
                "load_duration": 1_000_000, "prompt_eval_count": read.tokens}),
            )
        }
        Route::EmbedOne => Reply::json(200, &json!({"embedding": vector(&asked.prompt())})),
        Route::OpenAiEmbed => {
            let data: Vec<Value> = inputs(asked)
                .iter()
                .enumerate()
                .map(|(index, text)| json!({"object": "embedding", "embedding": vector(text), "index": index}))
                .collect();
            Reply::json(
                200,
                &json!({"object": "list", "data": data, "model": asked.model,
                "usage": {"prompt_tokens": read.tokens, "total_tokens": read.tokens}}),
            )
        }
    }
}

/// Without input it only loads the model, or unloads it with `keep_alive: 0`.
fn write(state: &State, asked: &Asked, dialect: Dialect, read: Read) -> Reply {
    if dialect == Dialect::Chat
        && let Some(calls) = tools::calls(asked)
    {
        return called(asked, &calls, read);
    }
    if dialect.is_openai() || !asked.prompt().is_empty() {
        return reading(asked, dialect, usize::MAX, Finish::Reason("stop"), read);
    }
    let unload = asked.body.get("keep_alive").is_some_and(|keep| keep == 0 || keep == "0" || keep == "0s");
    if unload {
        state.unload(asked.model_name());
    }
    reading(asked, dialect, 0, Finish::Reason(if unload { "unload" } else { "load" }), read)
}

/// A message with tool calls only. Streamed in one piece, because Ollama holds calls back until they are whole.
fn called(asked: &Asked, calls: &Value, read: Read) -> Reply {
    let (dialect, model, finish) = (Dialect::Chat, asked.model_name(), Finish::Reason("stop"));
    if asked.wants_stream() {
        let tokens = vec![dialect.tool_calls(model, calls)];
        let end = dialect.end(model, Counts { read: read.tokens, written: tokens.len(), load: read.load }, finish);
        return Reply { status: 200, content_type: dialect.stream_type(), tokens, end, streamed: true };
    }
    let mut whole = dialect.whole(model, "", Counts { read: read.tokens, written: 1, load: read.load }, finish);
    whole["message"]["tool_calls"] = calls.clone();
    Reply::json(200, &whole)
}

/// The model's text, at most `most` tokens; depends only on model name and prompt.
pub(crate) fn written(asked: &Asked, dialect: Dialect, most: usize, finish: Finish) -> Reply {
    reading(asked, dialect, most, finish, Read::of(asked))
}

fn reading(asked: &Asked, dialect: Dialect, most: usize, finish: Finish, read: Read) -> Reply {
    let model = asked.model_name();
    let prompt = asked.prompt();
    let words: Vec<&str> = prompt.split_whitespace().collect();
    let last = words[words.len().saturating_sub(LAST_WORDS)..].join(" ");
    let prompt = if words.len() > LAST_WORDS { &last } else { &prompt };
    let text = format!("This is {model}, a simulated model, and your last words were: {prompt}");
    let tokens: Vec<&str> = text.split_inclusive(' ').take(most).collect();
    let counts = Counts { read: read.tokens, written: tokens.len(), load: read.load };
    if asked.wants_stream() {
        Reply {
            status: 200,
            content_type: dialect.stream_type(),
            tokens: tokens.iter().map(|token| dialect.token(model, token)).collect(),
            end: dialect.end(model, counts, finish),
            streamed: true,
        }
    } else {
        Reply::json(200, &dialect.whole(model, &tokens.concat(), counts, finish))
    }
}

pub(crate) fn dialect(asked: &Asked) -> Dialect {
    let route = ROUTES.iter().find(|(_, path, _)| *path == asked.path);
    match route {
        Some((_, _, Route::Write(dialect))) => *dialect,
        _ if asked.is_openai() => Dialect::OpenAiChat,
        _ => Dialect::Chat,
    }
}

fn inputs(asked: &Asked) -> Vec<String> {
    match asked.body.get("input") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

const LAST_WORDS: usize = 200;

fn vector(text: &str) -> Value {
    let number = |seed: u64| (hash(text, seed) % 2001) as f64 / 1000.0 - 1.0;
    (0..8).map(number).collect::<Vec<f64>>().into()
}
