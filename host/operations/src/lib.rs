//! Operates the policies of running programs.
//!
//! A program that recovers needs the crate `upright` alone. This crate is for those who operate such programs:
//!
//! | you want | take |
//! |---|---|
//! | one policy in many programs | [`PolicyFleet`] |
//! | policies that outlive the process, and requests to a running program | [`PolicyHome`] |
//! | a policy that is swapped in when its file changes | `watch::swap_on_change`, with the feature `watch` |
//! | to ask a policy any function in JSON | [`eval`] |
//! | to put a journal's decisions to another policy | [`replay`] |
//! | to sign a policy | [`signature`] |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod fleet;
pub mod home;
mod seconds;
#[cfg(feature = "watch")]
pub mod watch;

pub use fleet::PolicyFleet;
pub use home::PolicyHome;
pub use upright_runtime::{eval, journal, replay, signature};
