//! A client's request to a model, as the hosts get it.

use crate::front::Writer;
use crate::hosts::host::Kind;
use crate::hosts::names::ModelName;
use crate::scan::request::{Edit, Fields, Key, edited, text};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use upright_core::types::{ClientProtocol, Endpoint, RequestFacts};
use upright_protocol::Asked;

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

    /// Facts for the policy.
    pub(super) fn facts(&self) -> RequestFacts {
        let Asked { streamed, tools, format, thinking, images, seed_fixed, temperature, allows_empty, .. } = self.asked;
        RequestFacts { protocol: self.protocol, streamed, tools, format, thinking, images, seed_fixed, temperature, allows_empty }
    }

    /// The body for this model and window. `refuse_cuts` asks the server to refuse a question that does not fit;
    /// `keep_alive`, in seconds, is for a client that leaves it to the server.
    pub(super) fn body_for(&self, model: &str, window: Option<u32>, refuse_cuts: bool, keep_alive: Option<i64>) -> Bytes {
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
        if let Some(window) = window.filter(|_| is_ollamas) {
            edits.push(Edit::Window(window.into()));
        }
        if let Some(seconds) = keep_alive.filter(|_| is_ollamas && fields.keep_alive.is_none()) {
            edits.push(Edit::Number(Key::KeepAlive, seconds));
        }
        if edits.is_empty() { self.body.clone() } else { edited(&self.body, fields, &edits).into() }
    }
}
