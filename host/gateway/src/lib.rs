//! A gateway for Ollama: any client of Ollama or of an OpenAI-style server changes one address.
//!
//! The gateway returns a whole answer, or says what is missing. It retries, takes another host, a larger window or
//! another model before the first content reaches the client. A client never takes an answer without its end for whole.
#![forbid(unsafe_code)]
// The error of a refused request is its answer, and is moved once.
#![allow(clippy::result_large_err)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod access;
pub mod config;
mod front;
mod hosts;
mod relay;
#[doc(hidden)]
pub mod scan;
pub mod serve;
#[doc(hidden)]
pub mod tls;
#[doc(hidden)]
pub mod upstream;
