//! How policies get in: what is asked of a component before it is a [`Policy`].
//!
//! Each step has its own refusal, and the cheap ones come first: read, signature, inspection, compilation. Asking it what it is is the first time that any
//! of it runs; [`super::PolicySlot::swap`] then probes it.

use super::error::PolicyError;
use super::loaded::{Policy, hexadecimal};
use super::signature::{Signature, Trust};
use super::stage::Stage;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A component's file is no longer than this, bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// So many compiled policies are kept, so that going back and forth between a few compiles nothing.
const KEPT: usize = 8;

/// The policies that were compiled last, the latest at the end.
static COMPILED: Mutex<VecDeque<Policy>> = Mutex::new(VecDeque::new());

/// Reads, verifies, inspects and compiles policies.
#[derive(Clone, Debug, Default)]
pub struct PolicyLoader {
    trust: Trust,
}

impl PolicyLoader {
    /// Lets in only what these keys signed.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Reads a component from a file, with its signature from the file beside it ([`Signature::path_for`]), if there is one.
    ///
    /// # Errors
    /// [`PolicyError::Read`], and all of [`PolicyLoader::from_signed_bytes`].
    pub fn from_file(&self, path: impl AsRef<Path>) -> Result<Policy, PolicyError> {
        self.step_by_step(path.as_ref(), &mut |_| {})
    }

    /// Inspects and compiles a component that has no signature.
    ///
    /// # Errors
    /// As [`PolicyLoader::from_signed_bytes`].
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Policy, PolicyError> {
        self.from_signed_bytes(bytes, None)
    }

    /// Verifies, inspects and compiles a component. A policy that was compiled lately is not compiled again.
    ///
    /// # Errors
    /// [`PolicyError::Signature`] where a key is trusted and the signature is not by it, or where there is one that does not hold.
    /// What is no component, imports anything, or does not export the contract's world in this version is refused by name.
    pub fn from_signed_bytes(&self, bytes: &[u8], signature: Option<&Signature>) -> Result<Policy, PolicyError> {
        self.admit(bytes, signature, None, &mut |_| {})
    }

    /// [`PolicyLoader::from_file`] that tells each step once it is passed.
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
        let digest = hexadecimal(&Sha256::digest(bytes));
        self.trust.admits(signature, &digest, beside)?;
        passed(Stage::Signature);
        let policy = match compiled(&digest) {
            Some(policy) => {
                passed(Stage::Inspection);
                passed(Stage::Compilation);
                policy
            }
            None => {
                let policy = Policy::compile(bytes, digest, passed)?;
                keep(&policy);
                policy
            }
        };
        if let Some(signature) = signature {
            signature.names(policy.description())?;
        }
        Ok(policy.signed(signature.cloned()))
    }
}

fn compiled(digest: &str) -> Option<Policy> {
    let kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().find(|policy| policy.digest() == digest).cloned()
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
