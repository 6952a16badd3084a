//! A small client of Ollama, and the only module that knows its protocol.
//!
//! Ollama's failures often look like success: an answer that just ends, an error line under status 200, an end without
//! `done`. While it loads a model it is silent, and hanging up aborts the load. So each failure is a case of
//! [`OllamaError`], and each silence has a time limit ([`Timeouts`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::ollama::{BaseUrl, ChatRequest, OllamaClient};
//!
//! let client = OllamaClient::new(BaseUrl::from_environment()?)?;
//! let answer = client.chat(ChatRequest::ask("qwen3:8b", "Why is the sky blue?")).await?;
//! println!("{}", answer.message.content);
//! # Ok(()) }
//! ```

mod address;
mod client;
mod finished;
mod learned;
mod messages;
mod question;
mod setup;
mod stream;
mod window;

pub use address::{AddressError, BaseUrl, ENVIRONMENT_VARIABLE};
pub use client::{OllamaClient, OllamaClientBuilder, Timeouts};
pub use learned::Notice;
pub use messages::{ChatAnswer, ChatChunk, ChatRequest, EmbedRequest, Embeddings, LoadedModel, Message, ModelDetails, ModelInfo, Timings};
pub use setup::SetupError;
pub use upright_protocol::{
    Asked, CacheType, Cut, Empty, Exchange, Judgement, ModelCard, OllamaError, OptionError, QuestionCut, Received, Refusal, Timeout, Usage,
    Verdict,
};
