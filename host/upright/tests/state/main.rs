//! Durable state: the store in a file and in a NATS server, and the checkpoints, breakers and cached answers in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod durable_cache;
#[cfg(feature = "sqlite")]
mod file_store;
#[cfg(feature = "sqlite")]
mod file_store_damage;
#[cfg(feature = "nats")]
mod nats;
mod resuming;
mod shared_breakers;
