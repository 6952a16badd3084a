//! Errors of calls to Ollama.

use crate::answer::ErrorBody;
use crate::exchange::Exchange;
use crate::judge::{Cut, Empty, Judge, Judgement, QuestionCut, Verdict};
use crate::options::OptionError;
use crate::refusal::Refusal;
use std::error::Error;
use std::fmt;
use std::time::Duration;
use upright_logic::recovery::Circumstances;
use upright_logic::types::{Endpoint, ErrorLabels, Fault, FaultKind};

/// A call to Ollama failed, or only looked successful.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OllamaError {
    /// An option has the wrong type; nothing was sent.
    #[error("nothing was sent to Ollama: {0}")]
    Option(OptionError),

    /// The connection failed or broke.
    #[error("the exchange with Ollama ({}) failed: {}", fault.endpoint, fault.message)]
    Transport {
        /// Facts of the error.
        fault: Box<Fault>,
        /// Error of the HTTP client.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The server answered with a status other than 2xx.
    #[error("{}", answered(fault, window.as_deref()))]
    Status {
        /// Status, message, requested delay, and address for the user.
        fault: Box<Fault>,
        /// The window, if too small or not loadable.
        window: Option<Box<Refusal>>,
    },

    /// The model lacks an ability; nothing was sent.
    #[error("nothing was sent to Ollama ({endpoint}): the model {model:?} does not support {capability}; choose one that does")]
    Incapable {
        /// Endpoint not called.
        endpoint: Endpoint,
        /// Name of the model.
        model: String,
        /// Missing ability, such as `vision`.
        capability: &'static str,
    },

    /// An error under status 200, mostly within a stream.
    #[error("Ollama ({endpoint}) failed in the middle of its answer: {message}")]
    InStream {
        /// Endpoint called.
        endpoint: Endpoint,
        /// Message of the server.
        message: String,
        /// Labels of the message.
        labels: Option<ErrorLabels>,
    },

    /// The answer ended too early.
    #[error("Ollama's answer ({endpoint}) is not whole after {} characters: {why}", exchange.judgement.characters())]
    Incomplete {
        /// Endpoint called.
        endpoint: Endpoint,
        /// How the answer ended.
        why: Cut,
        /// The request and what arrived.
        exchange: Box<Exchange>,
    },

    /// A question got an empty answer.
    #[error("Ollama's answer ({endpoint}) is empty: {why}{}", beside(&exchange.judgement))]
    EmptyAnswer {
        /// Endpoint called.
        endpoint: Endpoint,
        /// How the answer is empty.
        why: Empty,
        /// The request and the answer.
        exchange: Box<Exchange>,
    },

    /// The server dropped a part of the question despite `truncate: false`.
    #[error("Ollama ({endpoint}) dropped a part of the question: {how}")]
    QuestionCut {
        /// Endpoint called.
        endpoint: Endpoint,
        /// Evidence of the loss.
        how: QuestionCut,
        /// The request and the answer.
        exchange: Box<Exchange>,
    },

    /// The answer is not Ollama's; probably another server's.
    #[error("the answer ({endpoint}) is not Ollama's: expected {expected}, got {found:?}")]
    InvalidAnswer {
        /// Endpoint called.
        endpoint: Endpoint,
        /// Content expected.
        expected: &'static str,
        /// Start of the answer, or its kind.
        found: String,
    },

    /// A timeout ended the call.
    #[error("Ollama ({endpoint}) timed out: {timeout} took longer than {:.3} s", limit.as_secs_f64())]
    Timeout {
        /// Endpoint called.
        endpoint: Endpoint,
        /// Which timeout.
        timeout: Timeout,
        /// Length of the timeout.
        limit: Duration,
    },
}

/// Timeouts of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// Connecting.
    Connect,
    /// From request to headers: queueing and loading.
    Load,
    /// From headers to first token.
    FirstToken,
    /// From token to token.
    BetweenTokens,
    /// A whole short request.
    Whole,
}

impl fmt::Display for Timeout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "connecting",
            Self::Load => "loading the model",
            Self::FirstToken => "the first token",
            Self::BetweenTokens => "the next token",
            Self::Whole => "the answer",
        })
    }
}

impl OllamaError {
    /// Endpoint called.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Status { fault, .. } | Self::Transport { fault, .. } => fault.endpoint,
            Self::Option(_) => Endpoint::Chat,
            Self::InStream { endpoint, .. }
            | Self::Incapable { endpoint, .. }
            | Self::Incomplete { endpoint, .. }
            | Self::EmptyAnswer { endpoint, .. }
            | Self::QuestionCut { endpoint, .. }
            | Self::InvalidAnswer { endpoint, .. }
            | Self::Timeout { endpoint, .. } => *endpoint,
        }
    }

    /// Facts for a classifier; a server's message is unchanged.
    pub fn fault(&self) -> Fault {
        let endpoint = self.endpoint();
        let of_kind = |kind| Fault { endpoint, ..Fault::new(kind, self.to_string()) };
        match self {
            Self::Transport { fault, .. } | Self::Status { fault, .. } => (**fault).clone(),
            Self::Incapable { .. } => of_kind(FaultKind::Other),
            Self::InStream { message, labels, .. } => {
                Fault { endpoint, labels: labels.clone(), ..Fault::new(FaultKind::StreamError, message) }
            }
            // The text classifies it: the model failed, not the connection.
            Self::Incomplete { why: Cut::Repetition, .. } => of_kind(FaultKind::StreamError),
            Self::Incomplete { .. } => of_kind(FaultKind::IncompleteAnswer),
            Self::EmptyAnswer { .. } => of_kind(FaultKind::EmptyAnswer),
            Self::QuestionCut { .. } => of_kind(FaultKind::CutQuestion),
            Self::InvalidAnswer { .. } => of_kind(FaultKind::InvalidAnswer),
            Self::Option(_) => of_kind(FaultKind::InvalidInput),
            Self::Timeout { .. } => of_kind(FaultKind::Timeout),
        }
    }

    /// The exchange, if judged.
    pub fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Incomplete { exchange, .. } | Self::EmptyAnswer { exchange, .. } | Self::QuestionCut { exchange, .. } => Some(exchange),
            _ => None,
        }
    }

    /// The window, if too small or not loadable.
    pub fn window(&self) -> Option<&Refusal> {
        match self {
            Self::Status { window, .. } => window.as_deref(),
            _ => None,
        }
    }

    /// Further facts for a policy.
    #[doc(hidden)]
    pub fn circumstances(&self) -> Option<Circumstances> {
        self.exchange().map(Exchange::circumstances).or_else(|| self.window().map(Refusal::circumstances))
    }

    /// Returns the verdict; an error if cut or empty.
    #[doc(hidden)]
    pub fn judged(endpoint: Endpoint, judge: &Judge) -> Result<Verdict, Self> {
        let judgement = judge.judgement();
        match (judgement.verdict, judgement.empty) {
            (Verdict::Cut(_), _) => Err(Self::incomplete(endpoint, judge)),
            (_, Some(why)) => Err(Self::EmptyAnswer { endpoint, why, exchange: Exchange::of(judge) }),
            (verdict, None) => Ok(verdict),
        }
    }

    /// Error of an answer without an end.
    #[doc(hidden)]
    pub fn incomplete(endpoint: Endpoint, judge: &Judge) -> Self {
        Self::Incomplete { endpoint, why: judge.how_cut(), exchange: Exchange::of(judge) }
    }

    /// Error under status 200.
    #[doc(hidden)]
    pub fn in_stream(endpoint: Endpoint, said: ErrorBody) -> Self {
        Self::InStream { endpoint, message: said.message, labels: said.labels }
    }

    /// Error of an unparsable answer, with its beginning.
    #[doc(hidden)]
    pub fn invalid(endpoint: Endpoint, expected: &'static str, body: &[u8]) -> Self {
        const SHOWN: usize = 80;
        let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
        let found = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        Self::InvalidAnswer { endpoint, expected, found }
    }
}

fn beside(judgement: &Judgement) -> String {
    match &judgement.verdict {
        Verdict::QuestionCut(how) => format!(", and {how}"),
        _ if judgement.used_up_length => ", and its length is used up".to_owned(),
        _ => String::new(),
    }
}

fn answered(fault: &Fault, window: Option<&Refusal>) -> String {
    let mut sentence = format!("Ollama ({}) answered with status {}", fault.endpoint, fault.status.unwrap_or_default());
    if !fault.message.is_empty() {
        sentence = format!("{sentence}: {}", fault.message);
    }
    if let Some(known) = window.map(Refusal::to_string).filter(|known| !known.is_empty()) {
        sentence = format!("{sentence} ({known})");
    }
    match &fault.points_to {
        // A redirect's message names the address.
        Some(address) if !fault.message.contains(address.as_str()) => format!("{sentence}; sign in at {address}"),
        _ => sentence,
    }
}
