//! Who a policy is from.
//!
//! A policy decides how a program recovers, so whoever can replace its file can make the program give up, hammer a server or wait for ever. With a
//! trusted key, only policies that its owner has signed get in: a detached Ed25519 signature beside the component (`policy.wasm.sig`) over a small
//! [`Manifest`], which holds the component's digest. A signed policy can still be an old one, with a defect that was mended since; so each
//! signature has a revision, and a lower one than was seen is refused.

mod keys;

pub use keys::{KeyError, PublicKey, SecretKey};

use super::Policy;
use crate::types::Description;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What is appended to a component's file name for its signature's.
pub const SIGNATURE_EXTENSION: &str = "sig";

/// A signature's file is no longer than this, bytes.
const FILE_LIMIT: u64 = 16 << 10;

/// What a signature vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The policy's name, as it describes itself.
    pub name: String,
    /// The policy's version, as it describes itself.
    pub version: String,
    /// The version of the contract (`upright:policy`) that it speaks.
    pub contract: String,
    /// Counts the signer's releases: a host refuses a lower one than it has seen.
    pub revision: u64,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
}

impl Manifest {
    /// The manifest of a component.
    pub(crate) fn of(policy: &Policy, revision: u64) -> Self {
        let Description { name, version, .. } = policy.description().clone();
        Self { name, version, contract: policy.contract_version().to_owned(), revision, digest: policy.digest().to_owned() }
    }

    /// The bytes that are signed: one field a line, each with its length, so that no two manifests have the same.
    fn signed_bytes(&self) -> Vec<u8> {
        let Self { name, version, contract, revision, digest } = self;
        let mut text = String::from("upright policy signature 1\n");
        for (field, value) in
            [("name", name), ("version", version), ("contract", contract), ("revision", &revision.to_string()), ("digest", digest)]
        {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{field} {} {value}", value.len());
        }
        text.into_bytes()
    }
}

/// A manifest, and the signature over it by the owner of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// What is signed.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// Whose signature it is.
    pub key: PublicKey,
    /// Ed25519 over the manifest, hexadecimal.
    pub signature: String,
}

/// Why a signature does not let a policy in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is none, or it was taken away.
    #[error("the policy is not signed, and a key is trusted; expected its signature in {}", path.as_ref().map_or_else(|| "a .sig file beside it".into(), |path| path.display().to_string()))]
    Missing {
        /// Where it was looked for.
        path: Option<PathBuf>,
    },
    /// The file is no signature.
    #[error("{} is no signature: {detail}; expected what `upright policy sign` writes", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// It is by a key that nobody trusts.
    #[error("the policy is signed by {key}, which is not trusted; expected one of: {trusted}")]
    UnknownKey {
        /// The signer.
        key: PublicKey,
        /// The trusted keys.
        trusted: String,
    },
    /// It is not that key's signature over that manifest.
    #[error("the signature is not by {key}: it or what it vouches for was changed")]
    Forged {
        /// Whose it claims to be.
        key: PublicKey,
    },
    /// It vouches for another component.
    #[error("the signature vouches for sha256:{signed}, and the policy is sha256:{found}")]
    OtherComponent {
        /// The digest in the manifest.
        signed: String,
        /// The component's.
        found: String,
    },
    /// The component calls itself otherwise than the manifest does.
    #[error("the signature's {field} is {signed:?}, and the policy's {found:?}")]
    OtherPolicy {
        /// What differs.
        field: &'static str,
        /// The manifest's.
        signed: String,
        /// The component's.
        found: String,
    },
    /// It is older than one that was accepted before.
    #[error("the policy's revision is {revision}, and {highest} was accepted before; expected at least that")]
    LowerRevision {
        /// The candidate's.
        revision: u64,
        /// The highest that was accepted.
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

    /// Where the signature of a component's file lies.
    pub fn path_for(component: &Path) -> PathBuf {
        let mut path = component.as_os_str().to_owned();
        path.push(".");
        path.push(SIGNATURE_EXTENSION);
        path.into()
    }

    /// Reads a signature; none where there is no such file.
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

    /// Whether it is its key's signature over its manifest, and that manifest this component's.
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

    /// Whether the component calls itself what the manifest calls it.
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

/// Whose policies get in. With no key, everybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    keys: Vec<PublicKey>,
}

impl Trust {
    /// Trusts the owners of these keys alone.
    pub fn keys(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { keys: keys.into_iter().collect() }
    }

    /// Whether a signature is asked for.
    pub fn is_asked_for(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether this signature, looked for at `path`, lets a component of this digest in.
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
