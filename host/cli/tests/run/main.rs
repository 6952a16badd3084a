//! `upright run` and the other commands that ask a server, and every command with wrong input.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod field;
#[cfg(unix)]
mod newcomer;
mod real_model;
mod retry_after;
mod run;
#[cfg(unix)]
mod serve;
mod silent;
mod window;
mod wrong_input;
