//! Verifies who made a policy, so that nobody replaces a program's recovery logic.
//!
//! With trusted keys, only policies signed by their owners are admitted. The Ed25519 signature (`policy.wasm.sig`)
//! covers a [`Manifest`] with the component's digest. A lower revision than seen before is refused: it may have known
//! defects.

mod keys;

pub use keys::{KeyError, PublicKey, SecretKey};

use super::Policy;
use crate::types::Description;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Extension added to a component's file name.
pub const SIGNATURE_EXTENSION: &str = "sig";

const FILE_LIMIT: u64 = 16 << 10;

/// Content that a signature covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Policy name, by its own description.
    pub name: String,
    /// Policy version, by its own description.
    pub version: String,
    /// Contract version (`upright:policy`).
    pub contract: String,
    /// Number of the release.
    pub revision: u64,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
}

impl Manifest {
    pub(crate) fn of(policy: &Policy, revision: u64) -> Self {
        let Description { name, version, .. } = policy.description().clone();
        Self { name, version, contract: policy.contract_version().to_owned(), revision, digest: policy.digest().to_owned() }
    }

    /// Fields carry their lengths, so that no two manifests have equal bytes.
    fn signed_bytes(&self) -> Vec<u8> {
        let Self { name, version, contract, revision, digest } = self;
        let mut text = String::from("upright policy signature 1\n");
        for (field, value) in
            [("name", name), ("version", version), ("contract", contract), ("revision", &revision.to_string()), ("digest", digest)]
        {
            let _ = writeln!(text, "{field} {} {value}", value.len());
        }
        text.into_bytes()
    }
}

/// A signed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The manifest.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// The signer's key.
    pub key: PublicKey,
    /// Ed25519 over the manifest, hexadecimal.
    pub signature: String,
}

/// Why a signature does not admit a policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature is missing.
    #[error("the policy is not signed, and this loader only accepts policies signed by a trusted key; expected its signature in {}", path.as_ref().map_or_else(|| "a .sig file beside it".into(), |path| path.display().to_string()))]
    Missing {
        /// Expected path.
        path: Option<PathBuf>,
    },
    /// The file is not a signature.
    #[error("{} is not a signature: {detail}; expected a file written by `upright policy sign`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The key is not trusted.
    #[error("the policy is signed by {key}, which is not trusted; expected one of: {trusted}")]
    UnknownKey {
        /// Signer's key.
        key: PublicKey,
        /// Trusted keys.
        trusted: String,
    },
    /// The signature does not match its key and manifest.
    #[error("the signature does not match {key}: it or its manifest was changed; expected both as `upright policy sign` wrote them")]
    Forged {
        /// Claimed key.
        key: PublicKey,
    },
    /// The signature is for another component.
    #[error("the signature vouches for sha256:{signed}, but the policy is sha256:{found}; expected the signature of this component")]
    OtherComponent {
        /// Digest in the manifest.
        signed: String,
        /// Digest of the component.
        found: String,
    },
    /// Component and manifest differ.
    #[error("the signature's {field} is {signed:?}, but the policy's is {found:?}; expected equal values")]
    OtherPolicy {
        /// Field that differs.
        field: &'static str,
        /// Value in the manifest.
        signed: String,
        /// Value of the component.
        found: String,
    },
    /// The revision is lower than one accepted before.
    #[error("the policy's revision is {revision}, and {highest} was accepted before; expected {highest} or higher")]
    LowerRevision {
        /// Candidate's revision.
        revision: u64,
        /// Highest accepted revision.
        highest: u64,
    },
}

impl Signature {
    /// Signs a policy.
    pub fn sign(policy: &Policy, revision: u64, key: &SecretKey) -> Self {
        let manifest = Manifest::of(policy, revision);
        let signature = key.sign(&manifest.signed_bytes());
        Self { manifest, key: key.public(), signature }
    }

    /// Path of a component's signature.
    pub fn path_for(component: &Path) -> PathBuf {
        let mut path = component.as_os_str().to_owned();
        path.push(".");
        path.push(SIGNATURE_EXTENSION);
        path.into()
    }

    /// Reads a signature; `None` without a file.
    ///
    /// # Errors
    /// [`SignatureError::Unreadable`].
    pub fn read(path: &Path) -> Result<Option<Self>, SignatureError> {
        let unreadable = |detail: String| SignatureError::Unreadable { path: path.to_owned(), detail };
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        if !found.is_file() || found.len() > FILE_LIMIT {
            return Err(unreadable(format!("it is not a file of at most {FILE_LIMIT} bytes")));
        }
        let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_slice(&text).map(Some).map_err(|error| unreadable(error.to_string()))
    }

    /// Checks key, manifest and digest.
    ///
    /// # Errors
    /// [`SignatureError::Forged`], [`SignatureError::OtherComponent`].
    pub fn verify(&self, digest: &str) -> Result<(), SignatureError> {
        if !self.key.verifies(&self.manifest.signed_bytes(), &self.signature) {
            return Err(SignatureError::Forged { key: self.key });
        }
        if self.manifest.digest != digest {
            return Err(SignatureError::OtherComponent { signed: self.manifest.digest.clone(), found: digest.to_owned() });
        }
        Ok(())
    }

    pub(crate) fn names(&self, policy: &Policy) -> Result<(), SignatureError> {
        let Manifest { name, version, contract, .. } = &self.manifest;
        let description = policy.description();
        let pairs = [
            ("name", name, description.name.as_str()),
            ("version", version, description.version.as_str()),
            ("contract", contract, policy.contract_version()),
        ];
        match pairs.into_iter().find(|(_, signed, found)| signed != found) {
            Some((field, signed, found)) => Err(SignatureError::OtherPolicy { field, signed: signed.clone(), found: found.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Trusted keys. With none, every policy is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    keys: Vec<PublicKey>,
}

impl Trust {
    /// Trusts the owners of these keys alone.
    pub fn keys(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { keys: keys.into_iter().collect() }
    }

    /// Whether a signature is required.
    #[doc(hidden)]
    pub fn is_asked_for(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(crate) fn admits(&self, signature: Option<&Signature>, digest: &str, path: Option<PathBuf>) -> Result<(), SignatureError> {
        let Some(signature) = signature else {
            return if self.is_asked_for() { Err(SignatureError::Missing { path }) } else { Ok(()) };
        };
        if self.is_asked_for() && !self.keys.contains(&signature.key) {
            let trusted = self.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(SignatureError::UnknownKey { key: signature.key, trusted });
        }
        signature.verify(digest)
    }
}

#[cfg(test)]
mod tests;
