//! Who this policy is (`wit/metadata.wit`).

use alloc::string::String;

/// A policy's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Description {
    /// Its name, kebab-case.
    pub name: String,
    /// Its version (semver).
    pub version: String,
    /// The layout of the breaker `memory` that it writes.
    pub state_layout: u32,
}

/// The description of the policy that this crate implements.
pub fn describe() -> Description {
    Description {
        name: String::from("upright-default"),
        version: String::from(env!("CARGO_PKG_VERSION")),
        state_layout: crate::breaker::STATE_LAYOUT,
    }
}
