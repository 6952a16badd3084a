//! Helpers that the tests of several crates share.
//!
//! A helper that fails panics, and so fails its test. Only the [`rig`] and the [other hosts](other_hosts) return
//! errors: a machine may lack them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod command;
pub mod driven;
pub mod folder;
pub mod full_store;
pub mod gate;
pub mod model_host;
pub mod nats_server;
pub mod other_hosts;
pub mod patient;
pub mod policies;
pub mod rig;
pub mod scripted;
pub mod wait;

use std::fmt::Display;
use std::io::{self, Write};

/// Error of a connection that nobody accepts: `ECONNREFUSED` of Linux, by its number.
pub fn refused() -> io::Error {
    io::Error::from_raw_os_error(111)
}

/// Reports a test that does not run on this machine. The line appears although the test passes.
pub fn skipped(test: &str, why: impl Display) {
    // The harness hides `eprintln!` of a test that passes. Without a standard error nobody reads it.
    let _ = io::stderr().write_all(format!("\nSKIPPED {test}: {why}\n").as_bytes());
}
