//! Helpers of the whole-system tests in `tests/`.

pub mod other_hosts;
pub mod rig;
