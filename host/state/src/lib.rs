//! Upright's durable stores: one SQLite file for all programs of a machine, and a server of NATS for many machines.
//!
//! [`StateAddress`] names a store in one line of text and opens it. What a store promises stands in [`upright_core::store`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod address;
#[cfg(feature = "sqlite")]
mod file;
#[cfg(feature = "nats")]
mod nats;

pub use address::StateAddress;
#[cfg(feature = "sqlite")]
pub use file::{FileStore, StoreFile, StoreInfo, StoredKind};
#[cfg(feature = "nats")]
pub use nats::{Connectivities, Connectivity, NatsCleaned, NatsOptions, NatsStore};

use upright_core::clock;
