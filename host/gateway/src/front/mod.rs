//! Protocols of clients: how a request becomes Ollama's, and how an answer, an end and an error are written.
//!
//! A client speaks its own protocol, and the gateway speaks Ollama's to a host. Recovery therefore sees one protocol,
//! and a client's rules for windows, ends and errors are in one place. A [`Writer`] is pure: bytes in, bytes out.

pub(crate) mod anthropic;
mod fields;
pub(crate) mod native;
pub(crate) mod openai;
pub(crate) mod responses;

use native::Native;
use upright_protocol::{Route, Unreadable};

/// How a client reads an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    /// One JSON object a line.
    Ndjson,
    /// Server-sent events.
    Sse,
    /// One JSON document.
    Json,
}

impl Wire {
    /// Value of `Content-Type`, as Ollama sends it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Sse => "text/event-stream",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

/// A request for Ollama, with the writer for its answer.
pub(crate) struct Translated {
    /// Ollama's route: chat, generate or embed.
    pub route: Route,
    /// Path of the route.
    pub path: &'static str,
    /// Ollama's JSON. Its `stream` is the client's.
    pub body: Vec<u8>,
    /// Name of the model.
    pub model: String,
    /// Writes the answer in the client's protocol.
    pub writer: Box<dyn Writer>,
}

/// A request that is not translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The client's mistake, in the client's protocol.
    Invalid {
        /// HTTP status.
        status: u16,
        /// JSON body.
        body: Vec<u8>,
    },
    /// A valid request with a field that Ollama honours and that has no translation: pass the request on untouched.
    Untranslatable {
        /// Name of the field.
        field: String,
    },
}

/// Identity of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Number of the answer, as in `chatcmpl-7`.
    pub id: u64,
    /// Seconds since 1970.
    pub created: u64,
}

/// Writes an answer of Ollama's in the client's protocol.
pub(crate) trait Writer: Send {
    /// Takes a line of a streamed answer: one JSON object. Appends the client's bytes to `out`.
    ///
    /// # Errors
    /// [`Unreadable`] if the line is not of Ollama's route.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable>;

    /// Writes the end of a whole stream, after its last line.
    fn end(&mut self, out: &mut Vec<u8>);

    /// Returns the client's JSON for a whole answer: one JSON object.
    ///
    /// # Errors
    /// [`Unreadable`] if the answer is not of Ollama's route.
    fn whole(&mut self, answer: &[u8]) -> Result<Vec<u8>, Unreadable>;

    /// Returns an error in place of an answer.
    fn error(&self, error: &ErrorFacts) -> ErrorAnswer;

    /// Writes an error after content was sent. No end follows.
    fn error_in_stream(&mut self, error: &ErrorFacts, out: &mut Vec<u8>);

    /// Value of `Content-Type`.
    fn wire(&self, streamed: bool) -> &'static str;
}

/// Facts of an error, in no protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorFacts {
    /// HTTP status.
    pub status: u16,
    /// Message for a person.
    pub message: String,
    /// Name for a program, such as `context_length_exceeded` or `model_not_found`.
    pub code: Option<&'static str>,
    /// Seconds until another request is sensible.
    pub retry_after: Option<u64>,
}

/// An error in a client's protocol, in place of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    /// HTTP status.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Body.
    pub body: Vec<u8>,
}

/// Returns an error in place of an answer, on a route whose answers pass unchanged.
pub(crate) fn error(route: Route, id: u64, error: &ErrorFacts) -> ErrorAnswer {
    match route {
        _ if route.is_ollamas() => Native.error(error),
        Route::Messages => anthropic::error(id, error),
        _ => openai::error(error),
    }
}

/// Writes an error after content was sent, on a route whose answers pass unchanged.
pub(crate) fn error_in_stream(route: Route, error: &ErrorFacts, out: &mut Vec<u8>) {
    match route {
        _ if route.is_ollamas() => Native.error_in_stream(error, out),
        Route::Messages => anthropic::error_event(error, out),
        Route::Responses => responses::error_event(error, out),
        _ => openai::error_event(error, out),
    }
}

/// A mark in a stream for clients that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The model goes on in other words.
    Continued,
    /// The answer begins again; what came before does not count.
    Restarted,
}

/// A mark in Ollama's stream, or in one of events.
pub(crate) const fn mark(is_ollamas: bool, mark: Mark) -> &'static [u8] {
    match (is_ollamas, mark) {
        (true, Mark::Continued) => b"{\"upright\":\"continued\",\"done\":false}\n",
        (true, Mark::Restarted) => b"{\"upright\":\"restarted\",\"done\":false}\n",
        (false, Mark::Continued) => b": upright continued\n\n",
        (false, Mark::Restarted) => b": upright restarted\n\n",
    }
}

/// Whether Ollama passes requests for a model on to its cloud: `qwen3:cloud`, `gpt-oss:120b-cloud`.
pub(crate) fn is_cloud(model: &str) -> bool {
    let Some((_, tag)) = model.rsplit_once(':') else { return false };
    let tag = tag.trim().to_ascii_lowercase();
    tag == "cloud" || tag.ends_with("-cloud") && !tag.contains('/')
}

#[cfg(test)]
mod tests {
    use super::is_cloud;

    #[test]
    fn models_of_the_cloud_are_known_by_their_tag() {
        for (model, expected) in [
            ("qwen3:cloud", true),
            ("gpt-oss:120b-cloud", true),
            ("gpt-oss:20b:CLOUD ", true),
            ("qwen3", false),
            ("my-cloud", false),
            ("my-cloud:8b", false),
            ("registry:5000/my-cloud", false),
            ("qwen3:cloud:local", false),
        ] {
            assert_eq!(is_cloud(model), expected, "{model}");
        }
    }
}
