//! The client of Ollama: its calls, its windows, and health checks.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod health;
mod ollama_client;
mod window;
