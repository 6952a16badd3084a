//! The simulator over real HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod endings;
mod healthy;
mod rows;
