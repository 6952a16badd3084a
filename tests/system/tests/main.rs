//! A real model, other hosts, hosts that are killed, several programs on one store, and the documents that name tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod file_store_killed;
mod file_store_limit;
mod fleet_processes;
mod killed;
mod other_hosts;
mod processes;
mod rig;
mod traps;
