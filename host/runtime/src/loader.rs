//! How policies get in: what is asked of a component before it is a [`Policy`], and what it may use afterwards.
//!
//! Each step has its own refusal, and the cheap ones come first: read, signature, inspection, compilation, probe. All that decides comes
//! through here, so what comes out has passed the probe, unless somebody asks for what has not. A slot that is to swap it in probes it
//! itself, and tells of it.

use super::error::PolicyError;
use super::limits::Allowance;
use super::loaded::{Policy, hexadecimal};
use super::signature::{Signature, Trust};
use crate::events::Stage;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A component's file is no longer than this, bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// So many compiled policies are kept, so that going back and forth between a few compiles nothing.
const KEPT: usize = 8;

/// The policies that were compiled last, the latest at the end.
static COMPILED: Mutex<VecDeque<Policy>> = Mutex::new(VecDeque::new());

/// What a policy may use by itself.
const PURE: Allowance = Allowance { decision: Duration::from_millis(5), start: Duration::from_millis(5), memory: 16 << 20 };

/// What one may use that brings a language's runtime along, which takes time to set up.
const WITH_WASI: Allowance = Allowance { decision: Duration::from_millis(50), start: Duration::from_secs(1), memory: 256 << 20 };

/// What a policy was given when it was loaded.
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
    /// Lets in only what these keys signed.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

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

    /// Whether a policy must pass the conformance probe: answers that make sense, and the same to the same question. On by default, and a
    /// policy that has passed once is not asked again; off to look at one that would not pass, and for tests of what it would do.
    #[must_use]
    pub fn probe(mut self, probed: bool) -> Self {
        self.unprobed = !probed;
        self
    }

    /// Reads a component from a file, with its signature from the file beside it ([`Signature::path_for`]), if there is one.
    ///
    /// # Errors
    /// [`PolicyError::Read`], and all of [`PolicyLoader::from_signed_bytes`].
    pub fn from_file(&self, path: impl AsRef<Path>) -> Result<Policy, PolicyError> {
        self.probed(self.step_by_step(path.as_ref(), &mut |_| {})?)
    }

    /// Inspects, compiles and probes a component that has no signature.
    ///
    /// # Errors
    /// As [`PolicyLoader::from_signed_bytes`].
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Policy, PolicyError> {
        self.from_signed_bytes(bytes, None)
    }

    /// Verifies, inspects, compiles and probes a component. A policy that was compiled lately is not compiled again.
    ///
    /// # Errors
    /// [`PolicyError::Signature`] where a key is trusted and the signature is not by it, or where there is one that does not hold.
    /// What is no component, imports what it may not, or does not export the contract's world in this version is refused by name.
    /// What keeps something between calls, fails or answers nonsense is refused by the function that did it.
    /// [`PolicyError::Limit`] where a limit is out of its range, and [`PolicyError::NoWasi`] where this build has none.
    pub fn from_signed_bytes(&self, bytes: &[u8], signature: Option<&Signature>) -> Result<Policy, PolicyError> {
        self.probed(self.candidate(bytes, signature)?)
    }

    fn probed(&self, policy: Policy) -> Result<Policy, PolicyError> {
        if !self.unprobed {
            policy.probe()?;
        }
        Ok(policy)
    }

    /// [`PolicyLoader::from_signed_bytes`] for a slot, which probes what is swapped in.
    pub(super) fn candidate(&self, bytes: &[u8], signature: Option<&Signature>) -> Result<Policy, PolicyError> {
        self.admit(bytes, signature, None, &mut |_| {})
    }

    /// [`PolicyLoader::from_file`] for a slot, which probes what is swapped in; tells each step once it is passed.
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

/// The bytes of a file, if it is one and not endless.
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
