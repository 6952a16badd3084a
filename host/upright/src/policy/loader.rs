//! How policies get in: what is asked of a component before it is a [`Policy`].

use super::error::PolicyError;
use super::loaded::Policy;
use std::path::Path;

/// A component's file is no longer than this, bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// Reads, inspects and compiles policies.
#[derive(Clone, Debug, Default)]
pub struct PolicyLoader {}

impl PolicyLoader {
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
    /// What is no component, imports anything, or does not export the contract's world in this version is refused by name.
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Policy, PolicyError> {
        Policy::compile(bytes)
    }
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
