//! `upright checkpoint`, `upright state`, and a fleet: state that programs share.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod checkpoint;
mod fleet;
mod state;
