//! How policies get in: what is asked of a component before it is a [`Policy`], and what it may use afterwards.

use super::error::PolicyError;
use super::limits::Allowance;
use super::loaded::Policy;
use std::path::Path;
use std::time::Duration;

/// A component's file is no longer than this, bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// What a policy may use by itself.
const PURE: Allowance = Allowance { decision: Duration::from_millis(5), start: Duration::from_millis(5), memory: 16 << 20 };

/// What one may use that brings a language's runtime along, which takes time to set up.
const WITH_WASI: Allowance = Allowance { decision: Duration::from_millis(50), start: Duration::from_secs(1), memory: 256 << 20 };

/// What a policy was given when it was loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) allowance: Allowance,
    pub(crate) wasi: bool,
}

/// Reads, inspects and compiles policies.
///
/// ```no_run
/// use std::time::Duration;
/// use upright::policy::PolicyLoader;
///
/// let policy = PolicyLoader::default().decision_limit(Duration::from_millis(2)).from_file("policy.wasm")?;
/// # Ok::<(), upright::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PolicyLoader {
    wasi: bool,
    memory: Option<usize>,
    decision: Option<Duration>,
}

impl PolicyLoader {
    /// Whether a policy may import WASI 0.2: off by default, as a policy may import nothing. It then finds a WASI in which there is nothing: no
    /// files, environment, arguments or network, a clock that stands still, the same random numbers at every decision. Needs the
    /// feature `wasi`.
    ///
    /// With it, limits that are not set are 256 MiB and 50 ms instead of 16 MiB and 5 ms, since such a policy brings a language's runtime along.
    #[must_use]
    pub fn allow_wasi(mut self, allowed: bool) -> Self {
        self.wasi = allowed;
        self
    }

    /// How much memory an instance may have: 64 KiB to 4 GiB, in bytes. Up to 16 idle instances are kept.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// How long a decision may take: 1 ms to 10 s of its thread's time on a processor, in steps of a millisecond. Setting an instance up may take
    /// as long, and with WASI at least a second.
    #[must_use]
    pub fn decision_limit(mut self, limit: Duration) -> Self {
        self.decision = Some(limit);
        self
    }

    /// Reads a component from a file.
    ///
    /// # Errors
    /// [`PolicyError::Read`], and all of [`PolicyLoader::from_bytes`].
    pub fn from_file(&self, path: impl AsRef<Path>) -> Result<Policy, PolicyError> {
        let path = path.as_ref();
        let bytes = read(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        self.from_bytes(&bytes)
    }

    /// Inspects and compiles a component.
    ///
    /// # Errors
    /// What is no component, imports what it may not, or does not export the contract's world in this version is refused by name.
    /// [`PolicyError::Limit`] where a limit is out of its range, and [`PolicyError::NoWasi`] where this build has none.
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Policy, PolicyError> {
        Policy::compile(bytes, self.given()?)
    }

    fn given(&self) -> Result<Given, PolicyError> {
        if self.wasi && !cfg!(feature = "wasi") {
            return Err(PolicyError::NoWasi);
        }
        let usual = if self.wasi { WITH_WASI } else { PURE };
        let memory = self.memory.unwrap_or(usual.memory);
        let decision = self.decision.unwrap_or(usual.decision);
        // 4 GiB is one more than a 32-bit number holds.
        if memory < 64 << 10 || memory as u64 > 4 << 30 {
            return Err(PolicyError::Limit { limit: "memory_limit", given: format!("{memory} bytes"), expected: "64 KiB to 4 GiB" });
        }
        if decision < Duration::from_millis(1) || decision > Duration::from_secs(10) {
            return Err(PolicyError::Limit { limit: "decision_limit", given: format!("{decision:?}"), expected: "1 ms to 10 s" });
        }
        let start = usual.start.max(decision);
        Ok(Given { allowance: Allowance { decision, start, memory }, wasi: self.wasi })
    }
}

/// The bytes of a file, if it is one and not endless.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let other = |what: String| Err(std::io::Error::other(what));
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return other("it is not a regular file".into());
    }
    if found.len() > FILE_LIMIT {
        return other(format!("it has {} bytes, and a policy at most {FILE_LIMIT}", found.len()));
    }
    std::fs::read(path)
}
