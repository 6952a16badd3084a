//! Checks a component before it becomes a [`Policy`], and limits what it may use.
//!
//! The steps, each with its own error: read, signature, inspection, compilation, probe.

use super::error::PolicyError;
use super::limits::Allowance;
use super::policy::{Policy, hexadecimal};
use super::signature::{Signature, Trust};
use crate::events::Stage;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Maximum bytes of a component file.
const FILE_LIMIT: u64 = 64 << 20;

/// Number of compiled policies kept.
const KEPT: usize = 8;

/// Newest last.
static COMPILED: Mutex<VecDeque<Policy>> = Mutex::new(VecDeque::new());

const PURE: Allowance = Allowance { decision: Duration::from_millis(5), start: Duration::from_millis(5), memory: 16 << 20 };

/// For policies with a language runtime, which starts slowly.
const WITH_WASI: Allowance = Allowance { decision: Duration::from_millis(50), start: Duration::from_secs(1), memory: 256 << 20 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) allowance: Allowance,
    pub(crate) wasi: bool,
}

/// Reads, verifies, inspects, compiles and probes policies.
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
    trust: Trust,
    wasi: bool,
    memory: Option<usize>,
    decision: Option<Duration>,
    unprobed: bool,
}

impl PolicyLoader {
    /// Admits only policies signed by these keys.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Allows WASI 0.2 imports (feature `wasi`); off by default.
    ///
    /// This WASI is empty: no files, environment, arguments or network, a stopped clock, equal random numbers at every
    /// decision. Default limits become 256 MiB and 50 ms.
    #[must_use]
    pub fn allow_wasi(mut self, allowed: bool) -> Self {
        self.wasi = allowed;
        self
    }

    /// Maximum bytes of an instance, 64 KiB to 4 GiB; 16 MiB by default. Up to 16 idle instances are kept.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Maximum CPU time of a decision, 1 ms to 10 s in steps of 1 ms; 5 ms by default. Creating an instance may take as
    /// long, with WASI at least 1 s.
    #[must_use]
    pub fn decision_limit(mut self, limit: Duration) -> Self {
        self.decision = Some(limit);
        self
    }

    /// Requires the conformance probe; on by default. Turn it off to inspect or test a failing policy.
    #[must_use]
    pub fn probe(mut self, probed: bool) -> Self {
        self.unprobed = !probed;
        self
    }

    /// Loads a component, and its signature ([`Signature::path_for`]) if present.
    ///
    /// # Errors
    /// [`PolicyError::Read`] and those of [`PolicyLoader::from_signed_bytes`].
    pub fn from_file(&self, path: impl AsRef<Path>) -> Result<Policy, PolicyError> {
        self.probed(self.step_by_step(path.as_ref(), &mut |_| {})?)
    }

    /// Loads a component without a signature.
    ///
    /// # Errors
    /// Those of [`PolicyLoader::from_signed_bytes`].
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Policy, PolicyError> {
        self.from_signed_bytes(bytes, None)
    }

    /// Verifies, inspects, compiles (unless done recently) and probes a component.
    ///
    /// # Errors
    /// [`PolicyError::Limit`] and [`PolicyError::NoWasi`] for the loader's settings, [`PolicyError::Signature`], or an
    /// error of inspection, compilation or probe ([`PolicyError::stage`]).
    #[doc(hidden)]
    pub fn from_signed_bytes(&self, bytes: &[u8], signature: Option<&Signature>) -> Result<Policy, PolicyError> {
        self.probed(self.candidate(bytes, signature)?)
    }

    fn probed(&self, policy: Policy) -> Result<Policy, PolicyError> {
        if !self.unprobed {
            policy.probe()?;
        }
        Ok(policy)
    }

    /// Loads without the probe, which a slot runs itself.
    pub(super) fn candidate(&self, bytes: &[u8], signature: Option<&Signature>) -> Result<Policy, PolicyError> {
        self.admit(bytes, signature, None, &mut |_| {})
    }

    /// Loads without the probe; calls `passed` after each step.
    pub(super) fn step_by_step(&self, path: &Path, passed: &mut dyn FnMut(Stage)) -> Result<Policy, PolicyError> {
        let bytes = read(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        passed(Stage::Read);
        let beside = Signature::path_for(path);
        let signature = Signature::read(&beside)?;
        self.admit(&bytes, signature.as_ref(), Some(beside), passed)
    }

    fn admit(
        &self,
        bytes: &[u8],
        signature: Option<&Signature>,
        beside: Option<PathBuf>,
        passed: &mut dyn FnMut(Stage),
    ) -> Result<Policy, PolicyError> {
        let given = self.given()?;
        let digest = hexadecimal(&Sha256::digest(bytes));
        self.trust.admits(signature, &digest, beside)?;
        passed(Stage::Signature);
        let policy = match compiled(&digest, given) {
            Some(policy) => {
                passed(Stage::Inspection);
                passed(Stage::Compilation);
                policy
            }
            None => {
                let policy = Policy::compile(bytes, digest, given, passed)?;
                keep(&policy);
                policy
            }
        };
        if let Some(signature) = signature {
            signature.names(&policy)?;
        }
        Ok(policy.signed(signature.cloned()))
    }

    fn given(&self) -> Result<Given, PolicyError> {
        if self.wasi && !cfg!(feature = "wasi") {
            return Err(PolicyError::NoWasi);
        }
        let usual = if self.wasi { WITH_WASI } else { PURE };
        let memory = self.memory.unwrap_or(usual.memory);
        let decision = self.decision.unwrap_or(usual.decision);
        // 4 GiB does not fit into 32 bits.
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

fn compiled(digest: &str, given: Given) -> Option<Policy> {
    let kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().find(|policy| policy.digest() == digest && policy.given() == given).cloned()
}

fn keep(policy: &Policy) {
    let mut kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(policy.clone());
}

pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
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
