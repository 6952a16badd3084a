//! The policy runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
use upright::Policy;
#[test]
fn x() {
    Policy::built_in().unwrap();
}
