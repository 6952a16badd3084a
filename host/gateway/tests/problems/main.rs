//! The problems that users of Ollama and of its proxies report, each met by a stand-in for a host that has it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod commands;
mod ends;
mod hosts;
mod openai_hosts;
mod requests;
mod rescue;
mod table;

use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_protocol::Route;
use upright_test_kit::gate::Gate;
use upright_test_kit::model_host::{Asked, Line, ModelHost};

/// The routes of clients on which a model writes text.
const ROUTES: [Route; 4] = [Route::Chat, Route::ChatCompletions, Route::Messages, Route::Responses];
/// Time that a test waits for something that must not happen.
const WHILE: Duration = Duration::from_millis(400);
const NDJSON: &str = "application/x-ndjson";

/// A gateway in front of these addresses, with these further tables.
fn gateway_to(urls: &[String], tables: &str) -> Gateway {
    let upstreams: String = urls.iter().map(|url| format!("[[upstream]]\nurl = \"{url}\"\n")).collect();
    gateway_of(&format!("{upstreams}{tables}"))
}

fn gateway(hosts: &[&ModelHost], tables: &str) -> Gateway {
    gateway_to(&hosts.iter().map(|host| host.url()).collect::<Vec<_>>(), tables)
}

fn gateway_of(tables: &str) -> Gateway {
    let retry = if tables.contains("[retry]") { "" } else { "[retry]\nmax_retries = 2\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n" };
    let text = format!("{retry}[listen]\naddress = \"127.0.0.1:0\"\n{tables}");
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, PolicySlot::native(), StartOptions { workers: 1, ..StartOptions::default() }).unwrap()
}

fn question(route: Route, model: &str, streamed: bool) -> Value {
    let messages = json!([{ "role": "user", "content": "Why?" }]);
    match route {
        Route::Responses => json!({ "model": model, "stream": streamed, "input": "Why?" }),
        Route::Messages => json!({ "model": model, "stream": streamed, "max_tokens": 200, "messages": messages }),
        Route::Generate | Route::Completions => json!({ "model": model, "stream": streamed, "prompt": "Why?" }),
        Route::Embed | Route::Embeddings => json!({ "model": model, "input": "Why?" }),
        _ => json!({ "model": model, "stream": streamed, "messages": messages }),
    }
}

/// A piece of an answer of `/api/chat`.
fn piece(text: &str) -> Value {
    json!({ "model": "m", "created_at": "2026-01-01T00:00:00Z", "message": { "role": "assistant", "content": text }, "done": false })
}

/// The end of an answer of `/api/chat`.
fn end() -> Value {
    let mut end = piece("");
    end["done"] = true.into();
    end["done_reason"] = "stop".into();
    end["prompt_eval_count"] = 20.into();
    end["eval_count"] = 5.into();
    end
}

/// Answers a chat with this text, whole.
fn says(asked: &Asked, line: &mut Line, text: &str) {
    let body = asked.json();
    let of_model = |mut value: Value| {
        value["model"] = body["model"].clone();
        value
    };
    if body["stream"] == false {
        let mut whole = of_model(end());
        whole["message"]["content"] = text.into();
        return line.json(200, &whole);
    }
    line.head(NDJSON);
    text.split_inclusive(' ').for_each(|word| line.line(&of_model(piece(word))));
    line.line(&of_model(end()));
    line.end();
}

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
    /// Whether the body came to its end, by HTTP.
    whole: bool,
    took: Duration,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The text of an answer of `/api/chat`, streamed or whole.
    fn said(&self) -> String {
        let lines = self.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["message"]["content"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn url(gateway: &Gateway, path: &str) -> String {
    format!("http://{}{path}", gateway.address())
}

async fn ask(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    asked(url(gateway, path), body.clone()).await
}

/// Asks for a chat in one piece.
async fn chat(gateway: &Gateway, model: &str) -> Answer {
    ask(gateway, "/api/chat", &question(Route::Chat, model, false)).await
}

async fn asked(url: String, body: Value) -> Answer {
    let began = Instant::now();
    let mut response = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut bytes = Vec::new();
    let whole = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    Answer { status, headers, text: String::from_utf8(bytes).unwrap(), whole, took: began.elapsed() }
}

async fn got(gateway: &Gateway, path: &str) -> String {
    reqwest::get(url(gateway, path)).await.unwrap().text().await.unwrap()
}

/// Waits until an answer of the gateway's own contains this text.
async fn until(gateway: &Gateway, path: &str, text: &str) {
    upright_test_kit::wait::until(&format!("{path} has {text:?}"), async || got(gateway, path).await.contains(text)).await;
}
