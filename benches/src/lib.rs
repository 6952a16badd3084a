//! Cost of Upright beside its peers, in one run. [`cases`] defines, [`measure`] measures, [`report`] compares with
//! targets. `README.md` explains.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod asked;
pub mod cases;
pub mod counts;
pub mod group;
pub mod machine;
pub mod measure;
pub mod report;
