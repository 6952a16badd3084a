//! Ollama's wire formats, and whether an answer is whole.
//!
//! Many failures of Ollama look like success: a stream that just ends, an empty answer, an answer to half a question. A
//! [`Judge`] finds them, on Ollama's routes and its OpenAI and Anthropic routes, streamed or not. Decisions are a
//! policy's.
//!
//! Programs that read answers pass each [`Piece`] to a [`Judge`]; programs with bytes use a [`Reader`].
//!
//! ```
//! use upright_protocol::{Asked, Cut, Reader, Route, Verdict};
//!
//! let asked = Asked::read(Route::Chat, br#"{"model":"qwen3","messages":[{"role":"user","content":"Hello?"}]}"#);
//! let mut reader = Reader::new(asked, 200);
//! reader.push(b"{\"message\":{\"role\":\"assistant\",\"content\":\"Hel\"},\"done\":false}\n");
//! let judgement = reader.end(true);
//! assert_eq!(judgement.verdict, Verdict::Cut(Cut::NoDone));
//! assert_eq!(judgement.received.text, 3);
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod answer;
mod asked;
mod authority;
mod card;
mod decode;
mod delivered;
mod error;
mod exchange;
mod judge;
mod lines;
mod options;
mod reader;
mod refusal;
mod retry_after;
mod route;
mod stream;
mod verdict;

pub use answer::{ErrorBody, fault_of_answer, fault_of_body};
pub use asked::Asked;
pub use authority::split_port;
pub use card::{CacheType, ModelCard};
pub use decode::{Ending, Piece, Unreadable, Usage, decode};
pub use error::{OllamaError, Timeout};
pub use exchange::Exchange;
pub use judge::{Cut, Empty, Failed, Judge, Judgement, QuestionCut, Received, Verdict};
pub use lines::{LINE_LIMIT, LineSplitter, LineTooLong};
pub use options::{OPTIONS, OptionError, OptionKind, check_options, option_kind, read_option};
pub use reader::{ANSWER_LIMIT, Reader};
pub use refusal::Refusal;
pub use retry_after::{of_headers, parse_retry_after};
pub use route::Route;
#[doc(hidden)]
pub use stream::{AnswerStream, Broken, Hold, WholeEnd};
#[doc(hidden)]
pub use verdict::{judged, unreadable};
