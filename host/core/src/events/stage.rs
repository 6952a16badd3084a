//! The life of a policy, as its stages: each that a candidate passes, and each that it can fail in, has a name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A stage in the life of a policy, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Its file was read.
    Read,
    /// Its signature holds, or none is asked for.
    Signature,
    /// It imports nothing, and exports the contract in this version.
    Inspection,
    /// It is machine code now.
    Compilation,
    /// It answered the questions of the conformance probe, sensibly and the same twice.
    Probe,
    /// It answers live questions beside the active policy, and decides nothing.
    Shadow,
    /// It decides.
    Active,
    /// It has decided for the length of its probation without being struck out: from now on it is what others are rolled back to.
    Good,
    /// Another took its place.
    Retired,
    /// It failed repeatedly, and the last good one took its place.
    RolledBack,
}

impl Stage {
    /// The name in JSON, logs and on the command line.
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
