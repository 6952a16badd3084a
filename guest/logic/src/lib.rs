//! Every decision of Upright, as pure functions.
//!
//! Time, random numbers and state are arguments, so the policy component and the host's native safe mode give equal
//! answers, to the bit.
//!
//! Each interface in `wit/` is a module.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
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
