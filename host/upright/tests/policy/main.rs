//! WebAssembly policies: what is refused, what is contained, and their life from a candidate to a rollback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod component_is_fresh;
mod example_policies;
mod hostile;
mod policy;
mod policy_admission;
mod policy_life;
mod replay;
mod test_policy;
