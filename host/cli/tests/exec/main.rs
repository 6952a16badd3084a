//! `upright exec` with real processes, limits and signals.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod children;
mod exec;
mod exec_breaker;
#[cfg(target_os = "linux")]
mod exec_limits;
#[cfg(target_os = "linux")]
mod exec_nothing_left;
#[cfg(target_os = "linux")]
mod places;
mod scratch;
