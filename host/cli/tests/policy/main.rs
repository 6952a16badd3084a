//! `upright policy` and `upright replay`: policies are made, signed, tested, swapped and replayed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
mod policy_admission;
#[cfg(unix)]
mod policy_life;
#[cfg(unix)]
mod policy_workbench;
mod replay;
#[cfg(unix)]
mod walk;
