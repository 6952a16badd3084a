//! What the whole-system suites need: the suites themselves are in `tests/`.

pub mod other_hosts;
pub mod rig;
