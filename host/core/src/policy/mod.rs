//! Policies: what decides about failures.
//!
//! A [`PolicySlot`] holds the active policy, holds each of its answers against the question, and answers with the built-in logic where the policy fails.
//! The built-in logic is native code here; the same code is Upright's default policy as a WebAssembly component. A [`Decider`] is any other policy.

mod check;
mod decider;
mod question;
mod slot;

pub use decider::{Decider, PolicyFailure};
pub use question::{Answer, Ask, Function, Question};
pub use slot::{Active, ActivePolicy, By, Decision, DecisionCounts, PolicySlot, Recorder, SlotObserver};

#[doc(hidden)]
pub use slot::{bounded_message, label};
