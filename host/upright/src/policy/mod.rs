//! The policy runtime: where decisions are made.
//!
//! A [`Policy`] is a WebAssembly component that imports nothing and answers questions about failures. A [`PolicySlot`] holds the active one,
//! swaps it while the program runs, and answers natively where it fails.

mod bindings;
mod check;
mod engine;
mod error;
pub mod eval;
mod inspect;
mod instance;
mod limits;
mod link;
mod loaded;
mod loader;
mod nothing;
mod question;
mod questions;
mod slot;
#[cfg(feature = "wasi")]
mod wasi;

pub use error::PolicyError;
pub use inspect::{CONTRACT_VERSION, Surface};
pub use loaded::Policy;
pub use loader::PolicyLoader;
pub use nothing::EmptyCall;
pub use question::{Answer, Question};
pub(crate) use questions::Questions;
pub use slot::{PolicySlot, STRIKE_WINDOW, STRIKES, SlotCounts};
