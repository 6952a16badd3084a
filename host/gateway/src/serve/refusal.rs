//! Refusals of the gateway's own, in the client's protocol.

use crate::front::native::Native;
use crate::front::{ErrorAnswer, ErrorFacts, Writer as _, anthropic, openai};
use crate::relay::{self, Reply};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// Type of a JSON answer, as Ollama writes it.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// A request that may be refused.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Its path, which tells the client's protocol.
    pub(super) path: &'a str,
    /// Its number.
    pub(super) id: u64,
}

impl Asked<'_> {
    /// A refusal with this status and message.
    pub(super) fn refused(self, status: u16, message: &str) -> Response<Reply> {
        self.refused_for(ErrorFacts { status, message: message.to_owned(), code: None, retry_after: None })
    }

    /// A refusal for these facts.
    pub(super) fn refused_for(self, facts: ErrorFacts) -> Response<Reply> {
        let ErrorAnswer { status, content_type, body } = match self.path {
            path if path.starts_with("/v1/messages") => anthropic::error(self.id, &facts),
            path if path.starts_with("/v1/") => openai::error(&facts),
            _ => Native.error(&facts),
        };
        let mut response = answer(status, content_type, body.into());
        response.headers_mut().insert(relay::ID, self.id.into());
        if let Some(seconds) = facts.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// No host is there for this.
    pub(super) fn no_host(self, what: &str) -> Response<Reply> {
        self.refused(503, &format!("no host is reachable, so there is no {what}; expected one of the configured upstreams"))
    }
}

/// An answer of the gateway's own.
pub(super) fn answer(status: u16, content_type: &'static str, body: Bytes) -> Response<Reply> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
