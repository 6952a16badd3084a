//! What one row of the table of failures says.

/// One failure of Ollama: what it sends, and what a client should make of it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name, kebab-case, unique in the table.
    pub name: &'static str,
    /// What happened on the server, in one sentence.
    pub about: &'static str,
    /// The paths on which Ollama sends it; the first is the most typical.
    pub endpoints: &'static [&'static str],
    /// The HTTP status of the answer; 200 for those that begin well.
    pub status: u16,
    /// The answer's body, or the text of the error line in a stream.
    pub body: Body,
    /// Further response headers.
    pub headers: &'static [(&'static str, Header)],
    /// How the answer is sent.
    pub behaviour: Behaviour,
    /// What a client should make of it.
    pub expect: Expect,
}

impl Row {
    /// The row of that name.
    pub fn find(name: &str) -> Option<&'static Row> {
        crate::ROWS.iter().find(|row| row.name == name)
    }
}

/// The body of an answer that is sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `{"error":"text"}`; on `/v1/…` the text in OpenAI's shape.
    NativeJson(&'static str),
    /// The same, with these further fields beside `error`.
    NativeJsonWith(&'static str, &'static [(&'static str, &'static str)]),
    /// An error whose text is itself JSON, as llama.cpp's server wrote it.
    InnerJson(&'static str),
    /// Plain text, not JSON.
    Plain(&'static str),
    /// An HTML page.
    Html(&'static str),
    /// Nothing.
    Empty,
}

impl Body {
    /// The text of the error as a client reads it; empty where there is none.
    pub fn text(&self) -> &'static str {
        match self {
            Body::NativeJson(text) | Body::NativeJsonWith(text, _) | Body::InnerJson(text) | Body::Plain(text) | Body::Html(text) => text,
            Body::Empty => "",
        }
    }
}

/// The value of a response header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// Always this text.
    Fixed(&'static str),
    /// An HTTP date so many seconds after the moment of the answer. HTTP dates have whole seconds, so a client may
    /// read up to one second less.
    HttpDateIn(u64),
}

/// How an answer is sent.
///
/// Those named `StreamThen…` send `after_tokens` tokens of a good answer first. Asked without streaming, they send half
/// of the JSON body instead; `StreamThenErrorLine` then answers with status 500, `StreamThenCleanEnd` with `done: false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Status and body at once.
    Answer,
    /// Status 200, tokens, then a line `{"error":"…"}`, then the proper end of the body. `/v1/…` swallows the error:
    /// there it is [`Behaviour::OpenAiSwallowedError`].
    StreamThenErrorLine {
        /// Tokens before the line.
        after_tokens: usize,
    },
    /// The stream ends properly, but without `done: true`.
    StreamThenCleanEnd {
        /// Tokens before the end.
        after_tokens: usize,
    },
    /// Without streaming: status 200 with `done: false`. With streaming: the whole text, and no `done: true`.
    DoneFalse,
    /// The connection is reset (TCP RST) in the middle.
    StreamThenReset {
        /// Tokens before the reset.
        after_tokens: usize,
    },
    /// The connection is closed (TCP FIN) without the chunk that ends a chunked body.
    StreamThenAbort {
        /// Tokens before the close.
        after_tokens: usize,
    },
    /// Silence in the middle, until the client leaves or [`crate::FaultServer::release`], which lets the rest follow.
    StreamThenStall {
        /// Tokens before the silence.
        after_tokens: usize,
    },
    /// Nothing, not even headers, until the client leaves (which aborts the load) or [`crate::FaultServer::release`],
    /// after which the answer is healthy.
    HangBeforeHeaders,
    /// The model has to be loaded first: no headers until [`crate::FaultServer::release_loads`] or until the time set by
    /// [`crate::FaultServer::set_load_time`] has passed. A client that leaves aborts the load; the next one starts over.
    ColdLoad,
    /// The request is read, then the connection is reset (TCP RST) without a byte of answer.
    ResetBeforeHeaders,
    /// Headers at once, then one space at a time, each flushed before the next, until the client leaves.
    SlowDrip,
    /// OpenAI's streaming: tokens, one empty chunk, the proper end of the body; no `finish_reason`, no `[DONE]`.
    OpenAiSwallowedError {
        /// Tokens before the empty chunk.
        after_tokens: usize,
    },
    /// An answer without content whose `done_reason` is `load`.
    LoadReason,
    /// An answer without content whose `done_reason` is `unload`.
    UnloadReason,
}

/// What a client should make of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// `transient`, `permanent`, `resource`, `connection` or `timeout`.
    pub category: &'static str,
    /// Whether the same call can succeed when tried again.
    pub retryable: bool,
}
