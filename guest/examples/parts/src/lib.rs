//! What more than one of the example policies needs to have a breaker of its own.
//!
//! A policy that only counts otherwise should not write the machine's transitions again, nor the choice of what to do next. Here the
//! default policy's do that work, and are told what the other breaker found.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod memory;
pub mod verdict;
pub mod window;
