//! Shared parts of example policies with their own breakers.
//!
//! Transitions and verdicts stay the default policy's, so a policy only has to count differently.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod memory;
pub mod verdict;
pub mod window;
