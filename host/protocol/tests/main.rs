//! Model cards and recordings of a real Ollama.
#![allow(clippy::unwrap_used)]

mod card;
mod recordings;
mod streams;
