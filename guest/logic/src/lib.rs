//! Every decision of Upright, as pure functions.
//!
//! What to do after a failure should not depend on where or when the question is asked. Nothing here reads a clock, draws a random
//! number, keeps state or touches the world: all of that is in the arguments. The same code runs inside the policy component and,
//! natively, as the host's safe mode, and gives the same answers to the bit.
//!
//! One module for each interface of `upright:policy` (see `wit/`), under the same names.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[macro_use]
mod named;

pub mod backoff;
pub mod breaker;
pub mod bridge;
pub mod classifier;
pub mod degradation;
pub mod health;
pub mod metadata;
pub mod recovery;
pub mod settings;
pub mod types;
