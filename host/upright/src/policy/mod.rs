//! The policy runtime: where decisions are made.
//!
//! A [`Policy`] is a WebAssembly component that imports nothing and answers questions about failures. A [`PolicySlot`] holds the active one,
//! swaps it while the program runs, and answers natively where it fails.

mod bindings;
mod check;
mod engine;
mod error;
pub mod eval;
pub mod fleet;
mod fuel;
pub mod home;
mod inspect;
mod instance;
mod life;
mod limits;
mod link;
mod loaded;
mod loader;
mod nothing;
mod probe;
mod question;
mod questions;
pub mod replay;
pub mod shadow;
pub mod signature;
mod slot;
mod stage;
#[cfg(feature = "wasi")]
mod wasi;
#[cfg(feature = "watch")]
pub mod watch;

pub use error::PolicyError;
pub use fleet::PolicyFleet;
pub use home::PolicyHome;
pub use inspect::{CONTRACT_VERSION, Surface};
pub use life::{HistoryEntry, PROBATION, STRIKE_WINDOW, STRIKES, SwapOptions};
pub use loaded::Policy;
pub use loader::PolicyLoader;
pub use nothing::EmptyCall;
pub use question::{Answer, Function, Question};
pub(crate) use questions::Questions;
pub use slot::{PolicySlot, SlotCounts};
pub use stage::Stage;
