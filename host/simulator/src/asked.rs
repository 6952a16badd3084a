//! Reads a request.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::Value;
use std::io;

#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) model: Option<String>,
    pub(crate) raw: Bytes,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) async fn read(request: Request<Incoming>) -> io::Result<Self> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let raw = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&raw).unwrap_or(Value::Null);
        // Older clients send `name` to `/api/show`.
        let named = body.get("model").or_else(|| body.get("name")).and_then(Value::as_str);
        let model = named.filter(|name| !name.trim().is_empty()).map(str::to_owned);
        Ok(Self { method, path, model, raw, body })
    }

    pub(crate) fn is_openai(&self) -> bool {
        self.path.starts_with("/v1/")
    }

    pub(crate) fn wants_stream(&self) -> bool {
        self.body.get("stream").and_then(Value::as_bool).unwrap_or(!self.is_openai())
    }

    pub(crate) fn model_name(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    pub(crate) fn tokens(&self) -> usize {
        let bytes = |key| self.body.get(key).map_or(0, |question| question.to_string().len());
        8.max(["messages", "prompt", "input"].into_iter().map(bytes).sum::<usize>() / 2)
    }

    pub(crate) fn longest_text(&self) -> usize {
        let words = |text: &Value| text.as_str().map_or(0, |text| text.split_whitespace().count());
        match self.body.get("input") {
            Some(Value::Array(texts)) => texts.iter().map(words).max().unwrap_or(0),
            Some(text) => words(text),
            None => 0,
        }
    }

    pub(crate) fn words(&self) -> usize {
        fn words(value: &Value) -> usize {
            match value {
                Value::String(text) => text.split_whitespace().count(),
                Value::Array(items) => items.iter().map(words).sum(),
                Value::Object(message) => message.get("content").or_else(|| message.get("text")).map_or(0, words),
                _ => 0,
            }
        }
        ["system", "messages", "prompt", "input"].into_iter().filter_map(|key| self.body.get(key)).map(words).sum()
    }

    pub(crate) fn prompt(&self) -> String {
        let message = self.body.get("messages").and_then(Value::as_array).and_then(|messages| messages.last());
        let content = message.and_then(|message| message.get("content")).or_else(|| self.body.get("prompt"));
        match content {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                let texts = parts.iter().filter_map(|part| part.get("text").unwrap_or(part).as_str());
                texts.collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        }
    }
}
