//! Upright's durable stores: one SQLite file for one machine, NATS for many.
//!
//! [`StateAddress`] names and opens a store. [`upright_core::store`] lists the guarantees.
#![cfg_attr(docsrs, feature(doc_cfg))]
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
