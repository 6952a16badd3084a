//! Names a policy's stages, passed or failed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A stage of a policy, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// File read.
    Read,
    /// Signature valid, or not required.
    Signature,
    /// No imports; exports this contract version.
    Inspection,
    /// Compiled.
    Compilation,
    /// Answered the conformance probe, twice alike.
    Probe,
    /// Answers live questions, decides nothing.
    Shadow,
    /// Decides.
    Active,
    /// Passed probation: a target of rollbacks.
    Good,
    /// Replaced.
    Retired,
    /// Failed repeatedly; the last good one replaced it.
    RolledBack,
}

impl Stage {
    /// Name in JSON, logs and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Signature => "signature",
            Self::Inspection => "inspection",
            Self::Compilation => "compilation",
            Self::Probe => "probe",
            Self::Shadow => "shadow",
            Self::Active => "active",
            Self::Good => "good",
            Self::Retired => "retired",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
