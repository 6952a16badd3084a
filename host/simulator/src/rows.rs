//! One row of the table of failures.

/// A failure of Ollama and its meaning for a client.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Unique name in kebab-case.
    pub name: &'static str,
    /// Event on the server, in one sentence.
    pub about: &'static str,
    /// Paths that show it, the most typical first.
    pub endpoints: &'static [&'static str],
    /// HTTP status; 200 for answers that begin well.
    pub status: u16,
    /// Body, or text of the error line in a stream.
    pub body: Body,
    /// Further response headers.
    pub headers: &'static [(&'static str, Header)],
    /// How the answer is sent.
    pub behaviour: Behaviour,
    /// Meaning for a client.
    pub expect: Expect,
}

impl Row {
    /// Finds a row by name.
    pub fn find(name: &str) -> Option<&'static Row> {
        crate::ROWS.iter().find(|row| row.name == name)
    }
}

/// Body of an answer sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `{"error":"text"}`; on `/v1/…` in OpenAI's shape.
    NativeJson(&'static str),
    /// `{"error":"text"}` with further fields; on `/v1/…` in OpenAI's shape.
    NativeJsonWith(&'static str, &'static [(&'static str, &'static str)]),
    /// An error whose text is JSON, as by llama.cpp's server.
    InnerJson(&'static str),
    /// Plain text.
    Plain(&'static str),
    /// HTML page.
    Html(&'static str),
    /// Empty body.
    Empty,
}

impl Body {
    /// Error text as a client reads it; may be empty.
    pub fn text(&self) -> &'static str {
        match self {
            Body::NativeJson(text) | Body::NativeJsonWith(text, _) | Body::InnerJson(text) | Body::Plain(text) | Body::Html(text) => text,
            Body::Empty => "",
        }
    }
}

/// Value of a response header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// Fixed text.
    Fixed(&'static str),
    /// HTTP date this many seconds ahead, in whole seconds, so a client may read up to one less.
    HttpDateIn(u64),
}

/// How an answer is sent.
///
/// `StreamThen…` sends `after_tokens` tokens of a good answer first. Without streaming it sends half of the JSON body,
/// except that `StreamThenErrorLine` answers status 500 and `StreamThenCleanEnd` `done: false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Status and body at once.
    Answer,
    /// Status 200, tokens, a line `{"error":"…"}`, a proper end. `/v1/…` hides the error:
    /// [`Behaviour::OpenAiSwallowedError`].
    StreamThenErrorLine {
        /// Tokens before the line.
        after_tokens: usize,
    },
    /// Proper end of the stream, without `done: true`.
    StreamThenCleanEnd {
        /// Tokens before the end.
        after_tokens: usize,
    },
    /// Without streaming: status 200 and `done: false`. Streaming: the whole text without `done: true`.
    DoneFalse,
    /// TCP reset (RST) in the middle.
    StreamThenReset {
        /// Tokens before the reset.
        after_tokens: usize,
    },
    /// TCP close (FIN) without the last chunk.
    StreamThenAbort {
        /// Tokens before the close.
        after_tokens: usize,
    },
    /// Silence in the middle until the client leaves; after [`crate::FaultServer::release`] the rest follows.
    StreamThenStall {
        /// Tokens before the silence.
        after_tokens: usize,
    },
    /// Silence before the headers until the client leaves, which aborts the load; after [`crate::FaultServer::release`]
    /// a healthy answer.
    HangBeforeHeaders,
    /// Loads the model first: no headers until [`crate::FaultServer::release_loads`] or the end of
    /// [`crate::FaultServer::set_load_time`]. A client that leaves aborts the load.
    ColdLoad,
    /// TCP reset (RST) after the request, without an answer.
    ResetBeforeHeaders,
    /// Headers, then one flushed space after another until the client leaves.
    SlowDrip,
    /// OpenAI's stream: tokens, an empty chunk, a proper end; no `finish_reason`, no `[DONE]`.
    OpenAiSwallowedError {
        /// Tokens before the empty chunk.
        after_tokens: usize,
    },
    /// No content; `done_reason` is `load`.
    LoadReason,
    /// No content; `done_reason` is `unload`.
    UnloadReason,
}

/// Meaning of a failure for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// `transient`, `permanent`, `resource`, `connection` or `timeout`.
    pub category: &'static str,
    /// Whether a repeated call can succeed.
    pub retryable: bool,
}
