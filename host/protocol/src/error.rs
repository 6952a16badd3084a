//! How a call to Ollama fails.

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

/// A call to Ollama that failed, or that only looked like success.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OllamaError {
    /// An option has a value of the wrong type; nothing was sent.
    #[error("nothing was asked of Ollama: {0}")]
    Option(OptionError),

    /// No exchange, or one that broke off.
    #[error("the exchange with Ollama ({}) failed: {}", fault.endpoint, fault.message)]
    Transport {
        /// What the HTTP client's error and its causes say.
        fault: Box<Fault>,
        /// The HTTP client's error.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The server answered with a status that is not 2xx.
    #[error("{}", answered(fault, window.as_deref()))]
    Status {
        /// What the answer says: its status, the server's own words without the JSON around them, how long it asked to be left alone, and
        /// where it sends its user.
        fault: Box<Fault>,
        /// The facts of the window, where the question did not fit it or the model could not be loaded with it.
        window: Option<Box<Refusal>>,
    },

    /// The model cannot do what is asked of it, as its server says; nothing was sent.
    #[error("nothing was asked of Ollama ({endpoint}): {model:?} does not support {capability}")]
    Incapable {
        /// The endpoint that was to be called.
        endpoint: Endpoint,
        /// The model.
        model: String,
        /// The ability that it lacks, such as `vision`.
        capability: &'static str,
    },

    /// An error under status 200, mostly in the middle of a stream.
    #[error("Ollama ({endpoint}) failed in the middle of its answer: {message}")]
    InStream {
        /// What was called.
        endpoint: Endpoint,
        /// The server's own words.
        message: String,
        /// How it labels them.
        labels: Option<ErrorLabels>,
    },

    /// The answer ended before it was whole.
    #[error("Ollama's answer ({endpoint}) is not whole after {} characters: {why}", exchange.judgement.characters())]
    Incomplete {
        /// What was called.
        endpoint: Endpoint,
        /// How it ended.
        why: Cut,
        /// What was asked, and what had come.
        exchange: Box<Exchange>,
    },

    /// The answer came whole and says nothing, where something was asked for.
    #[error("Ollama's answer ({endpoint}) is empty: {why}{}", beside(&exchange.judgement))]
    EmptyAnswer {
        /// What was called.
        endpoint: Endpoint,
        /// How it says nothing.
        why: Empty,
        /// What was asked, and what came.
        exchange: Box<Exchange>,
    },

    /// The server had dropped a part of what it was asked, although it was asked not to.
    #[error("Ollama ({endpoint}) dropped a part of the question: {how}")]
    QuestionCut {
        /// What was called.
        endpoint: Endpoint,
        /// How it shows.
        how: QuestionCut,
        /// What was asked, and what came.
        exchange: Box<Exchange>,
    },

    /// What came does not parse as Ollama's protocol: most likely something else answers there.
    #[error("the answer ({endpoint}) is not Ollama's: expected {expected}, got {found:?}")]
    InvalidAnswer {
        /// What was called.
        endpoint: Endpoint,
        /// What would be right.
        expected: &'static str,
        /// How that which came begins, or what it is.
        found: String,
    },

    /// A budget of time ran out.
    #[error("Ollama ({endpoint}) timed out: {budget} took longer than {:.3} s", limit.as_secs_f64())]
    Timeout {
        /// What was called.
        endpoint: Endpoint,
        /// Which budget.
        budget: Budget,
        /// How much there was.
        limit: Duration,
    },
}

/// A budget of time; the client is given one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Budget {
    /// Connecting.
    Connect,
    /// From the request to the headers of the answer: queueing and loading.
    Load,
    /// From the headers to the first token.
    FirstToken,
    /// From one token to the next.
    BetweenTokens,
    /// The whole of a short request.
    Whole,
}

impl fmt::Display for Budget {
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
    /// What was called.
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

    /// The facts, for a classifier. Where the server spoke, the message is what it said and no more.
    pub fn fault(&self) -> Fault {
        let endpoint = self.endpoint();
        let told = |kind| Fault { endpoint, ..Fault::new(kind, self.to_string()) };
        match self {
            Self::Transport { fault, .. } | Self::Status { fault, .. } => (**fault).clone(),
            // Its text says it, as the server's own would.
            Self::Incapable { .. } => told(FaultKind::Other),
            Self::InStream { message, labels, .. } => {
                Fault { endpoint, labels: labels.clone(), ..Fault::new(FaultKind::StreamError, message) }
            }
            // The model's own words, and not the connection's: text tells.
            Self::Incomplete { why: Cut::Repetition, .. } => told(FaultKind::StreamError),
            Self::Incomplete { .. } => told(FaultKind::IncompleteAnswer),
            Self::EmptyAnswer { .. } => told(FaultKind::EmptyAnswer),
            Self::QuestionCut { .. } => told(FaultKind::CutQuestion),
            Self::InvalidAnswer { .. } => told(FaultKind::InvalidAnswer),
            Self::Option(_) => told(FaultKind::InvalidInput),
            Self::Timeout { .. } => told(FaultKind::Timeout),
        }
    }

    /// What was asked and what came of it, where an answer was judged.
    pub fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Incomplete { exchange, .. } | Self::EmptyAnswer { exchange, .. } | Self::QuestionCut { exchange, .. } => Some(exchange),
            _ => None,
        }
    }

    /// The facts of the window, where the question did not fit it or the model could not be loaded with it.
    pub fn window(&self) -> Option<&Refusal> {
        match self {
            Self::Status { window, .. } => window.as_deref(),
            _ => None,
        }
    }

    /// The facts for a policy beside the fault.
    pub fn circumstances(&self) -> Option<Circumstances> {
        self.exchange().map(Exchange::circumstances).or_else(|| self.window().map(Refusal::circumstances))
    }

    /// What a judge says, as an error where it is no answer.
    pub fn judged(endpoint: Endpoint, judge: &Judge) -> Result<Verdict, Self> {
        let judgement = judge.judgement();
        match (judgement.verdict, judgement.empty) {
            (Verdict::Cut(_), _) => Err(Self::incomplete(endpoint, judge)),
            (_, Some(why)) => Err(Self::EmptyAnswer { endpoint, why, exchange: Exchange::of(judge) }),
            (verdict, None) => Ok(verdict),
        }
    }

    /// An answer whose end has not come.
    pub fn incomplete(endpoint: Endpoint, judge: &Judge) -> Self {
        Self::Incomplete { endpoint, why: judge.how_cut(), exchange: Exchange::of(judge) }
    }

    /// An error under status 200.
    pub fn in_stream(endpoint: Endpoint, said: ErrorBody) -> Self {
        Self::InStream { endpoint, message: said.message, labels: said.labels }
    }

    /// What does not parse, with its beginning.
    pub fn invalid(endpoint: Endpoint, expected: &'static str, body: &[u8]) -> Self {
        const SHOWN: usize = 80;
        let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
        let found = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        Self::InvalidAnswer { endpoint, expected, found }
    }
}

/// What else there is to say of an empty answer.
fn beside(judgement: &Judgement) -> String {
    match &judgement.verdict {
        Verdict::QuestionCut(how) => format!(", and {how}"),
        _ if judgement.used_up_length => ", and its length is used up".to_owned(),
        _ => String::new(),
    }
}

/// What an answer with an error status says, in a sentence.
fn answered(fault: &Fault, window: Option<&Refusal>) -> String {
    let mut sentence = format!("Ollama ({}) answered with status {}", fault.endpoint, fault.status.unwrap_or_default());
    if !fault.message.is_empty() {
        sentence = format!("{sentence}: {}", fault.message);
    }
    if let Some(known) = window.map(Refusal::to_string).filter(|known| !known.is_empty()) {
        sentence = format!("{sentence} ({known})");
    }
    match &fault.points_to {
        // Of a redirect the message names it.
        Some(address) if !fault.message.contains(address.as_str()) => format!("{sentence}; sign in at {address}"),
        _ => sentence,
    }
}
