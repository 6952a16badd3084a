//! Identity of a policy (`wit/metadata.wit`).

use alloc::string::String;

/// Self-description of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Description {
    /// Name, kebab-case.
    pub name: String,
    /// Version (semver).
    pub version: String,
    /// Layout number of its breaker `memory`.
    pub state_layout: u32,
}

/// Returns the description of the default policy.
pub fn describe() -> Description {
    Description {
        name: String::from("upright-default"),
        version: String::from(env!("CARGO_PKG_VERSION")),
        state_layout: crate::breaker::STATE_LAYOUT,
    }
}
