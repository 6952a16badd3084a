//! A client's request to a model, as the hosts get it.

use crate::config::OnDifference;
use crate::front::Writer;
use crate::hosts::host::Kind;
use crate::hosts::names::ModelName;
use crate::scan::request::{Edit, Fields, Key, edited, scan, text};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::sync::Arc;
use upright_core::types::{ClientProtocol, Endpoint, RequestFacts};
use upright_protocol::{Asked, Hold, Route};

/// Length from which a body has memory of its own, or wastes little of a buffer's, bytes.
const LARGE: usize = 16 << 10;

/// A client's wishes for an answer that is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// Reaction to a repeat that differs from what the client has.
    pub on_difference: OnDifference,
    /// How much of the answer is held back.
    pub hold: Hold,
}

/// A client's request to a model.
pub(crate) struct Question {
    /// Number of the request.
    pub id: u64,
    /// Route in counts and the access log.
    pub name: &'static str,
    /// Protocol of the client.
    pub protocol: ClientProtocol,
    /// Endpoint, for the facts of a failure.
    pub endpoint: Endpoint,
    /// Path at the host.
    pub path: PathAndQuery,
    /// Body for the host, before the model, the window and `truncate` are set in it.
    pub body: Bytes,
    /// Places of the body's members; `None` where it cannot be edited.
    pub fields: Option<Fields>,
    /// The body without the beginning of an answer, once it has one.
    pub original: Option<Bytes>,
    /// The request, for the judge.
    pub asked: Asked,
    /// The model.
    pub model: ModelName,
    /// The model's name as the host gets it.
    pub sent: Arc<str>,
    /// Writes the answer in the client's protocol; `None` where the host speaks it.
    pub writer: Option<Box<dyn Writer>>,
    /// Headers for the host.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The client's `Authorization`, for hosts that it is forwarded to.
    pub authorization: Option<HeaderValue>,
    /// Whether it is as the client wrote it, in another protocol than Ollama's.
    pub is_plain: bool,
    /// The only API that will do, if not any.
    pub kind: Option<Kind>,
    /// The client's wishes for an answer that is cut.
    pub wishes: Wishes,
    /// The other form, where hosts with different APIs may serve it.
    pub other: Option<Box<Question>>,
}

impl Question {
    /// Becomes the form for hosts with this API.
    pub(super) fn turn_to(&mut self, kind: Kind) {
        if self.is_plain != (kind == Kind::Openai)
            && let Some(mut other) = self.other.take()
        {
            std::mem::swap(self, &mut other);
            self.other = Some(other);
        }
    }

    /// Copies what it has of the client's request. It stays as long as the answer comes, and else keeps the request's
    /// whole buffer.
    pub(super) fn detach(&mut self) {
        let copy = |value: &mut HeaderValue| {
            if let Ok(copied) = HeaderValue::from_bytes(value.as_bytes()) {
                *value = copied;
            }
        };
        self.headers.iter_mut().map(|(_, value)| value).chain(&mut self.authorization).for_each(copy);
        if let Ok(path) = PathAndQuery::try_from(self.path.as_str()) {
            self.path = path;
        }
        if self.body.len() < LARGE {
            self.body = Bytes::copy_from_slice(&self.body);
        }
    }

    /// Facts for the policy.
    pub(super) fn facts(&self) -> RequestFacts {
        let Asked { streamed, tools, format, thinking, images, seed_fixed, temperature, allows_empty, .. } = self.asked;
        RequestFacts { protocol: self.protocol, streamed, tools, format, thinking, images, seed_fixed, temperature, allows_empty }
    }

    /// Whether a model could continue a text that was cut: it answers in text alone.
    pub(super) fn can_go_on(&self) -> bool {
        let Asked { route, tools, format, thinking, .. } = self.asked;
        route == Route::Chat && !tools && !format && !thinking && self.after("").is_some()
    }

    /// Whether the client's protocol can say that an answer begins again: Ollama's own, and OpenAI's chat.
    pub(super) fn can_restart(&self) -> bool {
        use ClientProtocol::{OllamaChat, OllamaGenerate, OpenaiChat, OpenaiCompletions};
        matches!(self.protocol, OllamaChat | OllamaGenerate | OpenaiChat | OpenaiCompletions)
    }

    /// Asks the model to go on after this text, as the beginning of its answer.
    pub(super) fn go_on_after(&mut self, text: &str) {
        if let Some(body) = self.after(text) {
            self.original.get_or_insert_with(|| self.body.clone());
            self.fields = scan(&body).ok();
            self.body = body;
        }
    }

    /// The body with this beginning of an answer; `None` where its messages cannot be found.
    fn after(&self, text: &str) -> Option<Bytes> {
        let mut body: Value = serde_json::from_slice(self.original.as_ref().unwrap_or(&self.body)).ok()?;
        body.get_mut("messages")?.as_array_mut()?.push(json!({"role": "assistant", "content": text}));
        Some(body.to_string().into())
    }

    /// The body for this model and window. `refuse_cuts` asks the server to refuse a question that does not fit;
    /// `keep_alive`, in seconds, is for a client that leaves it to the server. `seed` is the gateway's own.
    pub(super) fn body_for(
        &self,
        model: &str,
        window: Option<u32>,
        refuse_cuts: bool,
        keep_alive: Option<i64>,
        seed: Option<u32>,
    ) -> Bytes {
        let Some(fields) = &self.fields else { return self.body.clone() };
        let is_ollamas = self.asked.route.is_ollamas();
        let named = fields.model.as_ref().and_then(|span| text(&self.body, span));
        let mut edits = Vec::with_capacity(4);
        if named.as_deref() != Some(model) {
            edits.push(Edit::Text(Key::Model, model));
        }
        if is_ollamas && refuse_cuts && fields.truncate.is_none() {
            edits.push(Edit::Truth(Key::Truncate, false));
        }
        let (window, seed) = (window.filter(|_| is_ollamas).map(u64::from), seed.filter(|_| is_ollamas));
        if window.is_some() || seed.is_some() {
            edits.push(Edit::Options { window, seed });
        }
        if let Some(seconds) = keep_alive.filter(|_| is_ollamas && fields.keep_alive.is_none()) {
            edits.push(Edit::Number(Key::KeepAlive, seconds));
        }
        if edits.is_empty() { self.body.clone() } else { edited(&self.body, fields, &edits).into() }
    }
}
