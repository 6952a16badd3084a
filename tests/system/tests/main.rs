//! A real model, other hosts, several programs on one store, and the documents that name tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod file_store_killed;
mod file_store_limit;
mod fleet_processes;
mod other_hosts;
mod processes;
mod rig;
mod traps;
