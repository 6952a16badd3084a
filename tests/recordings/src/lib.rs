//! Labelled recordings of a real Ollama's answers, byte for byte, as test data. See `README.md`.

mod commands;
pub mod server;

pub use commands::{Command, Exchange, commands};

use serde::Deserialize;
use serde_json::Value;
use std::sync::OnceLock;

/// Kind of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Whole answer to the whole question, or a route without a question.
    Whole,
    /// Answer without its end.
    Cut,
    /// Proper end without text.
    Empty,
    /// Length used up.
    Length,
    /// Part of the question dropped, visibly.
    CutQuestion,
    /// Part of the question dropped, invisible in the exchange.
    CutQuestionUnseen,
    /// Error, or no answer.
    Error,
}

/// A request as sent.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Unusual headers.
    #[serde(default)]
    pub headers: serde_json::Map<String, Value>,
    /// Body, if any.
    #[serde(default)]
    pub body: Option<Value>,
}

impl Request {
    /// Body as bytes; empty without a body.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.body {
            None => Vec::new(),
            Some(Value::String(text)) => text.clone().into_bytes(),
            Some(json) => json.to_string().into_bytes(),
        }
    }
}

#[derive(Deserialize)]
struct Bytes {
    text: String,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    situation: String,
    request: Request,
    answer: Bytes,
    end: String,
}

/// An exchange.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its name.
    pub name: String,
    /// Treatment of the server.
    pub situation: String,
    /// The request.
    pub request: Request,
    /// All received bytes: status line, headers, body with chunk sizes. May be empty.
    pub answer: Vec<u8>,
    /// Its end: `connection closed`, `connection refused`, `silence 20 s`.
    pub end: String,
    /// Its label.
    pub label: Label,
}

/// Body of an answer without HTTP's framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Status.
    pub status: u16,
    /// Bytes.
    pub bytes: Vec<u8>,
    /// Whether it is whole by HTTP: by its last chunk or `Content-Length`.
    pub ended: bool,
}

impl Recording {
    /// The body; `None` without an answer.
    pub fn body(&self) -> Option<Body> {
        Body::read(&self.request.method, &self.answer).map(|(body, _)| body)
    }
}

impl Body {
    /// Reads the first of some answers, and returns the bytes after it. `None` without a whole head.
    pub fn read<'a>(method: &str, answers: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = head(answers)?;
        let status = head.get(9..12)?.parse().ok()?;
        if method != "HEAD" && head.contains("transfer-encoding: chunked") {
            let (bytes, after) = unchunked(rest);
            return Some((Self { status, bytes, ended: after.is_some() }, after.unwrap_or_default()));
        }
        let length = if method == "HEAD" { 0 } else { content_length(&head).unwrap_or(rest.len()) };
        let (bytes, after) = rest.split_at(length.min(rest.len()));
        Some((Self { status, bytes: bytes.to_vec(), ended: bytes.len() == length }, after))
    }
}

/// A head in small letters, and the bytes after it.
fn head(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = find(bytes, b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase(), &bytes[end + 4..]))
}

fn content_length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The bytes within the chunks, and those after the last one if it came.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let mut bytes = Vec::new();
    while let Some(line) = find(rest, b"\r\n") {
        let Ok(length) = usize::from_str_radix(&String::from_utf8_lossy(&rest[..line]), 16) else { break };
        rest = &rest[line + 2..];
        bytes.extend_from_slice(&rest[..length.min(rest.len())]);
        let Some(after) = rest.get(length + 2..) else { break };
        rest = after;
        if length == 0 {
            return (bytes, Some(rest));
        }
    }
    (bytes, None)
}

/// All recordings, in file order.
///
/// # Panics
/// If the compiled-in files are malformed.
pub fn recordings() -> &'static [Recording] {
    static ALL: OnceLock<Vec<Recording>> = OnceLock::new();
    ALL.get_or_init(|| {
        let labels: std::collections::HashMap<&str, &str> =
            include_str!("../labels.tsv").lines().skip(1).filter_map(|line| line.split_once('\t')).collect();
        include_str!("../ollama.jsonl").lines().map(|line| recording(line, &labels)).collect()
    })
}

#[expect(clippy::expect_used, reason = "the files are compiled in, and a test reads them")]
fn recording(line: &str, labels: &std::collections::HashMap<&str, &str>) -> Recording {
    let Line { name, situation, request, answer, end } = serde_json::from_str(line).expect("a line of ollama.jsonl");
    let label = labels.get(name.as_str()).expect("a label for each recording");
    let label = Label::deserialize(Value::from(*label)).expect("a label that is known");
    Recording { name, situation, request, answer: answer.text.into_bytes(), end, label }
}

/// The recording with this name.
///
/// # Panics
/// If there is none.
pub fn named(name: &str) -> &'static Recording {
    recordings().iter().find(|recording| recording.name == name).unwrap_or_else(|| panic!("no recording is named {name:?}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_recording_has_a_label_and_every_label_a_recording() {
        assert_eq!(recordings().len(), 361);
        let labels = include_str!("../labels.tsv").lines().skip(1);
        assert!(labels.map(|line| line.split('\t').next().unwrap()).eq(recordings().iter().map(|recording| recording.name.as_str())));
    }

    #[test]
    fn a_body_is_what_stands_within_the_chunks() {
        let body = named("plain").body().unwrap();
        assert_eq!((body.status, body.ended), (200, true));
        assert!(body.bytes.starts_with(b"{\"model\"") && body.bytes.ends_with(b"}\n"));
        assert!(!named("ollama-killed-chat-stream").body().unwrap().ended);
        assert_eq!(named("ollama-gone").body(), None);
    }
}
