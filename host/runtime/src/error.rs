//! How a policy can fail: when it is loaded, and when it is asked.

use super::signature::SignatureError;
use crate::events::Stage;
use std::path::PathBuf;
use std::time::Duration;
use upright_core::policy::PolicyFailure;

/// A policy that cannot be used, or an answer that could not be had from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file could not be read.
    #[error("cannot read the policy {}: {source}; expected a WebAssembly component", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },

    /// Its signature does not let it in.
    #[error(transparent)]
    Signature(#[from] SignatureError),

    /// The bytes are no component.
    #[error("not a policy: {found}; expected a WebAssembly component (the world upright:policy/policy)")]
    NotAComponent {
        /// What they are instead.
        found: String,
    },

    /// It wants something from the world. Decisions are pure, so there is nothing to give.
    #[error("the policy imports {import}; a policy may import nothing")]
    Imports {
        /// The first thing that it imports.
        import: String,
    },

    /// It wants something from the world that is not WASI 0.2, which is all that a policy can be allowed.
    #[error(
        "the policy imports {import}; one that is allowed WASI may import wasi:cli, clocks, filesystem, io, random and sockets of version 0.2"
    )]
    ImportsBeyondWasi {
        /// The first such import.
        import: String,
    },

    /// A policy shall be allowed WASI, and this build has none to give.
    #[error("a policy cannot be allowed WASI in this build; expected upright's feature `wasi`")]
    NoWasi,

    /// A limit that a policy cannot be given.
    #[error("{limit}: {given}; expected {expected}")]
    Limit {
        /// Which limit.
        limit: &'static str,
        /// What was given.
        given: String,
        /// What would be right.
        expected: &'static str,
    },

    /// It does not export what a policy must.
    #[error("the policy does not export {missing}; expected the world upright:policy/policy of version {version}", version = super::CONTRACT_VERSION)]
    MissingExport {
        /// An interface, or a function of one.
        missing: String,
    },

    /// It was built against a version of the contract that this host does not speak: another minor version, and from 1.0 on another major
    /// one.
    #[error(
        "the policy exports {found}: {why}; this host speaks {version} and its patches: rebuild the policy with the wit/ of this version",
        why = super::inspect::why_not(found, super::CONTRACT_VERSION), version = super::CONTRACT_VERSION
    )]
    WrongVersion {
        /// An interface with its version.
        found: String,
    },

    /// Its interfaces are of several versions of the contract.
    #[error("the policy exports {one} and {other}; expected all interfaces of one version: rebuild the policy with one wit/")]
    MixedVersions {
        /// An interface with its version.
        one: String,
        /// One of another version.
        other: String,
    },

    /// An export does not have the type that the contract gives it.
    #[error("the policy's exports do not have the contract's types: {detail}")]
    WrongType {
        /// Which, and how they differ.
        detail: String,
    },

    /// It could not be compiled or set up.
    #[error("the policy cannot be compiled: {detail}; expected a whole and valid component")]
    Compile {
        /// Why.
        detail: String,
    },

    /// The memory that it begins with is more than an instance may have.
    #[error("the policy begins with {wanted} bytes of memory, and an instance may have {limit}; {}", more_memory(*wanted))]
    FirstMemory {
        /// The bytes of all its memories.
        wanted: usize,
        /// What they may have.
        limit: usize,
    },

    /// It consists of more parts than an instance may have.
    #[error(
        "the policy begins with {wanted} {what} or more, and an instance may have {limit}; no setting gives it more: build it of fewer and smaller parts"
    )]
    TooManyParts {
        /// What there are too many of.
        what: &'static str,
        /// How many there are at least.
        wanted: usize,
        /// How many there may be.
        limit: usize,
    },

    /// No instance of it can be set up.
    #[error(
        "no instance of the policy can be set up: {detail}; expected one that needs nobody for it, and a system with memory and address space for it"
    )]
    NoInstance {
        /// Why.
        detail: String,
    },

    /// It trapped while deciding.
    #[error("the policy trapped in {function}: {trap}")]
    Trapped {
        /// The function that was asked.
        function: &'static str,
        /// The trap.
        trap: String,
    },

    /// It took too long to decide, and again when it was asked once more.
    #[error("the policy took longer than {:.0} ms in {function}", limit.as_secs_f64() * 1e3)]
    TimedOut {
        /// The function that was asked.
        function: &'static str,
        /// How long it may take.
        limit: Duration,
    },

    /// It wanted more memory than a decision may have.
    #[error("the policy wanted {wanted} bytes of memory in {function}; it may have {limit}")]
    OutOfMemory {
        /// The function that was asked.
        function: &'static str,
        /// How much it wanted.
        wanted: usize,
        /// How much it may have.
        limit: usize,
    },

    /// A shadow's sample is no share.
    #[error("a shadow's sample of {value}; expected a share above 0 and at most 1")]
    Sample {
        /// What was asked for.
        value: f64,
    },

    /// The system gives no thread for what is done beside decisions.
    #[error("the system gives no thread: {detail}")]
    NoThread {
        /// Why.
        detail: String,
    },

    /// Asked the same twice, it answered otherwise.
    #[error(
        "the policy answered the same question in {function} twice, and otherwise the second time; expected equal answers to equal arguments"
    )]
    Unequal {
        /// The function that was asked.
        function: &'static str,
    },

    /// It answered, but the answer makes no sense.
    #[error("the policy answered nonsense in {function}: {answer}; expected {expected}")]
    Nonsense {
        /// The function that was asked.
        function: &'static str,
        /// What it answered.
        answer: String,
        /// What would have been right.
        expected: &'static str,
    },
}

/// How a policy is given so much memory.
fn more_memory(wanted: usize) -> String {
    const MEBIBYTE: usize = 1 << 20;
    let limit = wanted.div_ceil(MEBIBYTE);
    if limit > 4096 {
        return "no setting gives it more than 4294967296: build it with less".to_owned();
    }
    format!("build it with less, or give it more: --memory-limit {limit}, in a program PolicyLoader::memory_limit({limit} << 20)")
}

impl PolicyError {
    /// The stage of a candidate's life that ends so. An active policy that fails is [`Stage::Active`] and fails as in [`Stage::Probe`].
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
