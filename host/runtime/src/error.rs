//! Errors of loading and asking a policy.

use super::signature::SignatureError;
use crate::events::Stage;
use std::path::PathBuf;
use std::time::Duration;
use upright_core::policy::PolicyFailure;

/// Why a policy cannot be used, or gave no valid answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the policy {}: {source}; expected a WebAssembly component", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },

    /// The signature is not accepted.
    #[error(transparent)]
    Signature(#[from] SignatureError),

    /// The bytes are not a component.
    #[error("not a policy: {found}; expected a WebAssembly component (the world upright:policy/policy)")]
    NotAComponent {
        /// Kind of bytes.
        found: String,
    },

    /// The policy has imports; decisions are pure.
    #[error("the policy imports {import}; a policy may import nothing")]
    Imports {
        /// First import.
        import: String,
    },

    /// The policy imports more than WASI 0.2.
    #[error(
        "the policy imports {import}; with WASI allowed, it may import only wasi:cli, clocks, filesystem, io, random and sockets of version 0.2"
    )]
    ImportsBeyondWasi {
        /// First such import.
        import: String,
    },

    /// This build cannot allow WASI.
    #[error("cannot allow WASI: this build lacks it; expected upright with the feature `wasi`")]
    NoWasi,

    /// A limit of the loader is out of range.
    #[error("{limit}: {given}; expected {expected}")]
    Limit {
        /// Name of the limit.
        limit: &'static str,
        /// Value found.
        given: String,
        /// Valid range.
        expected: &'static str,
    },

    /// An export of the contract is missing.
    #[error("the policy does not export {missing}; expected the world upright:policy/policy of version {version}", version = super::CONTRACT_VERSION)]
    MissingExport {
        /// Interface or function.
        missing: String,
    },

    /// The contract's version is incompatible: another minor version, from 1.0 on another major one.
    #[error(
        "the policy exports {found}: {why}; this host speaks {version} and its patches: rebuild the policy with the wit/ of this version",
        why = super::inspect::why_not(found, super::CONTRACT_VERSION), version = super::CONTRACT_VERSION
    )]
    WrongVersion {
        /// Interface with version.
        found: String,
    },

    /// The interfaces have different versions.
    #[error("the policy exports {one} and {other}; expected all interfaces of one version: rebuild the policy with one wit/")]
    MixedVersions {
        /// Interface with version.
        one: String,
        /// Interface of another version.
        other: String,
    },

    /// An export's type differs from the contract.
    #[error("the policy's exports do not have the contract's types: {detail}")]
    WrongType {
        /// The difference.
        detail: String,
    },

    /// The policy cannot be compiled.
    #[error("the policy cannot be compiled: {detail}; expected a whole and valid component")]
    Compile {
        /// Why.
        detail: String,
    },

    /// The initial memory is too large.
    #[error("the policy begins with {wanted} bytes of memory, but an instance may have {limit}; {}", more_memory(*wanted))]
    FirstMemory {
        /// Initial bytes.
        wanted: usize,
        /// Maximum bytes.
        limit: usize,
    },

    /// The component has too many parts.
    #[error(
        "the policy begins with {wanted} {what} or more, but an instance may have {limit}; no setting raises this limit: build the policy of fewer and smaller parts"
    )]
    TooManyParts {
        /// Kind of part.
        what: &'static str,
        /// Minimum number found.
        wanted: usize,
        /// Maximum number.
        limit: usize,
    },

    /// No instance can be created.
    #[error(
        "cannot create an instance of the policy: {detail}; expected a component that starts without help of the host, and free memory and address space"
    )]
    NoInstance {
        /// Why.
        detail: String,
    },

    /// The policy trapped.
    #[error("the policy trapped in {function}: {trap}")]
    Trapped {
        /// Function asked.
        function: &'static str,
        /// The trap.
        trap: String,
    },

    /// The policy exceeded its time twice.
    #[error("the policy took longer than {:.0} ms in {function}", limit.as_secs_f64() * 1e3)]
    TimedOut {
        /// Function asked.
        function: &'static str,
        /// Maximum time.
        limit: Duration,
    },

    /// The policy requested too much memory.
    #[error("the policy wanted {wanted} bytes of memory in {function}; it may have {limit}")]
    OutOfMemory {
        /// Function asked.
        function: &'static str,
        /// Requested bytes.
        wanted: usize,
        /// Maximum bytes.
        limit: usize,
    },

    /// A shadow's sample is out of range.
    #[error("the shadow's sample is {value}; expected a share above 0 and at most 1")]
    Sample {
        /// Share found.
        value: f64,
    },

    /// No thread can be started.
    #[error("cannot start a thread: {detail}")]
    NoThread {
        /// Why.
        detail: String,
    },

    /// Equal questions got different answers.
    #[error(
        "the policy answered the same question in {function} twice, and differently the second time; expected equal answers to equal arguments"
    )]
    Unequal {
        /// Function asked.
        function: &'static str,
    },

    /// The answer is invalid.
    #[error("the policy answered nonsense in {function}: {answer}; expected {expected}")]
    Nonsense {
        /// Function asked.
        function: &'static str,
        /// Invalid answer.
        answer: String,
        /// Valid answers.
        expected: &'static str,
    },
}

fn more_memory(wanted: usize) -> String {
    const MEBIBYTE: usize = 1 << 20;
    let limit = wanted.div_ceil(MEBIBYTE);
    if limit > 4096 {
        return "no setting gives it more than 4294967296: build it with less".to_owned();
    }
    format!("build it with less, or give it more: --memory-limit {limit}, in a program PolicyLoader::memory_limit({limit} << 20)")
}

impl PolicyError {
    /// Stage at which a candidate fails with this error; [`Stage::Probe`] for failures of an active policy.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Read { .. } | Self::Limit { .. } => Stage::Read,
            Self::Signature(_) => Stage::Signature,
            Self::ImportsBeyondWasi { .. }
            | Self::NoWasi
            | Self::NotAComponent { .. }
            | Self::Imports { .. }
            | Self::MissingExport { .. }
            | Self::WrongVersion { .. }
            | Self::MixedVersions { .. } => Stage::Inspection,
            Self::WrongType { .. }
            | Self::Compile { .. }
            | Self::FirstMemory { .. }
            | Self::TooManyParts { .. }
            | Self::NoInstance { .. } => Stage::Compilation,
            Self::Sample { .. } | Self::NoThread { .. } => Stage::Shadow,
            Self::Trapped { .. } | Self::TimedOut { .. } | Self::OutOfMemory { .. } | Self::Unequal { .. } | Self::Nonsense { .. } => {
                Stage::Probe
            }
        }
    }
}

impl From<PolicyError> for PolicyFailure {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Nonsense { function, answer, expected } => Self::Nonsense { function, answer, expected },
            error => Self::NoAnswer(error.into()),
        }
    }
}

impl From<PolicyFailure> for PolicyError {
    fn from(failure: PolicyFailure) -> Self {
        match failure {
            PolicyFailure::Nonsense { function, answer, expected } => Self::Nonsense { function, answer, expected },
            PolicyFailure::NoAnswer(error) => match error.downcast() {
                Ok(error) => *error,
                Err(error) => Self::NoInstance { detail: error.to_string() },
            },
            other => Self::NoInstance { detail: other.to_string() },
        }
    }
}
