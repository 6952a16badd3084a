//! What Upright costs, beside its peers, in the same run.
//!
//! [`cases`] has what is measured, [`measure`] measures it fairly, [`report`] holds it against targets and writes it down.
//! `README.md` says how to run and how to read it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod asked;
pub mod cases;
pub mod counts;
pub mod group;
pub mod machine;
pub mod measure;
pub mod report;
