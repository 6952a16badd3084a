//! The policy runtime: where decisions are made.
//!
//! A [`Policy`] is a WebAssembly component that imports nothing and answers questions about failures. A [`PolicySlot`] holds the active one,
//! swaps it while the program runs, and answers natively where it fails.

mod bindings;
mod check;
mod engine;
mod error;
pub mod eval;
mod fuel;
mod inspect;
mod instance;
mod limits;
mod loaded;
mod loader;
mod question;
mod questions;
pub mod replay;
mod slot;

pub use error::PolicyError;
pub use inspect::{CONTRACT_VERSION, Surface};
pub use loaded::Policy;
pub use loader::PolicyLoader;
pub use question::{Answer, Function, Question};
pub(crate) use questions::Questions;
pub use slot::{PolicySlot, STRIKE_WINDOW, STRIKES, SlotCounts};
