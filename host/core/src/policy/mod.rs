//! Decides about failures by an exchangeable policy.
//!
//! A [`PolicySlot`] asks the active [`Decider`], checks its answers, and answers by the native built-in logic if it
//! fails. Upright's default component is that logic in WebAssembly.

mod check;
mod decider;
mod question;
mod slot;

pub use decider::{Decider, PolicyFailure};
pub use question::{Answer, Ask, Function, Question};
pub use slot::{Active, ActivePolicy, By, Decision, DecisionCounts, PolicySlot, Recorder, SlotObserver};

#[doc(hidden)]
pub use slot::{bounded_message, label};
