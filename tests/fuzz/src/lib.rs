//! Looks for what the policy runtime does not bear.
//!
//! A policy may be anybody's, and what it is asked comes from errors that nobody foresaw. Tests hold the runtime against what somebody thought of; here
//! chance thinks. There are two targets, each a pure function of a seed and the corpus: [`components`](targets::components) that are not quite what they were, and
//! [`arguments`](targets::arguments) that nobody would write. `README.md` says what must hold, and how to run it.

pub mod campaign;
pub mod corpus;
pub mod dice;
pub mod finding;
pub mod mutate;
pub mod nasty;
pub mod question;
pub mod reach;
pub mod sense;
pub mod targets;
pub mod vary;

/// The hostile policies that the host's own tests are made of, from WebAssembly text.
#[path = "../../../host/upright/tests/support/mod.rs"]
mod support;
