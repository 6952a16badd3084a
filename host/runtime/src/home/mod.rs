//! Policies on disk: the last good one, the history, and requests.
//!
//! Policies must outlive the process. The last that passed its probation replaces a configured one that is refused.
//!
//! ```text
//! good/<digest>.wasm, .wasm.sig   the last good policy
//! last-good                       its digest, replaced atomically
//! revision                        the highest accepted revision of a signature
//! history.jsonl                   the history, an entry a line
//! requests/, replies/             requests of the `upright` command, and the program's replies
//! answering                       locked by the program that replies
//! ```

mod files;
mod keeper;
mod request;

pub(super) use keeper::Keeper;
pub(super) use request::swap_options;
pub use request::{Answering, Reply, Request, RequestError, ShadowRequest};

use super::error::PolicyError;
use super::lifecycle::{HistoryEntry, SwapOptions};
use super::loader::PolicyLoader;
use super::policy::Policy;
use super::signature::Signature;
use crate::label;
use crate::lifecycle::PolicyLifecycle;
use std::path::{Path, PathBuf};

const LONGEST_HISTORY: u64 = 1 << 20;
const KEPT_ENTRIES: usize = 1000;

/// A folder of policies.
#[derive(Clone, Debug)]
pub struct PolicyHome {
    directory: PathBuf,
}

/// Why a folder cannot be a home.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// A file or folder cannot be read or written.
    #[error("{}: {source}; expected a folder that this program may write to", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writing thread cannot be started.
    #[error("cannot start the thread that writes to {}: {detail}", path.display())]
    NoThread {
        /// The folder.
        path: PathBuf,
        /// Why.
        detail: String,
    },
}

/// Policy that a slot starts with.
#[derive(Debug)]
pub enum Start {
    /// The configured policy.
    Configured,
    /// The last good one: none was configured, or it was refused.
    LastGood {
        /// Why the configured one was refused.
        refused: Option<PolicyError>,
    },
    /// The slot's own: there was no other, or each was refused.
    AsItWas {
        /// Why each was refused.
        refused: Vec<PolicyError>,
    },
}

impl PolicyHome {
    /// Opens a home, or creates it for its owner alone.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, HomeError> {
        let home = Self { directory: directory.into() };
        for folder in [home.directory.clone(), home.good(), home.requests(), home.replies()] {
            files::make_folder(&folder).map_err(|source| HomeError::File { path: folder, source })?;
        }
        Ok(home)
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn good(&self) -> PathBuf {
        self.directory.join("good")
    }

    pub(super) fn requests(&self) -> PathBuf {
        self.directory.join("requests")
    }

    fn replies(&self) -> PathBuf {
        self.directory.join("replies")
    }

    fn history_file(&self) -> PathBuf {
        self.directory.join("history.jsonl")
    }

    fn last_good_file(&self) -> PathBuf {
        self.directory.join("last-good")
    }

    fn revision_file(&self) -> PathBuf {
        self.directory.join("revision")
    }

    /// Loads the last good policy, if any.
    ///
    /// # Errors
    /// Those of [`PolicyLoader::from_file`].
    pub fn last_good(&self, loader: &PolicyLoader) -> Result<Option<Policy>, PolicyError> {
        let pointer = self.last_good_file();
        let digest = match std::fs::read_to_string(&pointer) {
            Ok(digest) => digest,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PolicyError::Read { path: pointer, source }),
        };
        let digest = digest.trim();
        // A file name must not lead out of the folder.
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let source = std::io::Error::other("it holds no digest");
            return Err(PolicyError::Read { path: pointer, source });
        }
        loader.from_file(self.good().join(format!("{digest}.wasm"))).map(Some)
    }

    /// The history, newest last. Skips lines that a crash has cut.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn history(&self) -> Result<Vec<HistoryEntry>, HomeError> {
        let path = self.history_file();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(HomeError::File { path, source }),
        }
    }

    fn highest_revision(&self) -> Option<u64> {
        std::fs::read_to_string(self.revision_file()).ok()?.trim().parse().ok()
    }

    fn remember(&self, policy: &Policy) -> std::io::Result<()> {
        let file = self.good().join(format!("{}.wasm", policy.digest()));
        if let Some(signature) = policy.signature() {
            files::replace(&Signature::path_for(&file), &serde_json::to_vec(signature)?)?;
        }
        files::replace(&file, policy.bytes())?;
        files::replace(&self.last_good_file(), policy.digest().as_bytes())?;
        for entry in std::fs::read_dir(self.good())?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(policy.digest()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn append(&self, entry: &HistoryEntry) -> std::io::Result<()> {
        let path = self.history_file();
        if std::fs::metadata(&path).is_ok_and(|found| found.len() > LONGEST_HISTORY) {
            let text = std::fs::read_to_string(&path)?;
            let lines: Vec<_> = text.lines().collect();
            let kept = lines[lines.len().saturating_sub(KEPT_ENTRIES)..].join("\n") + "\n";
            files::replace(&path, kept.as_bytes())?;
        }
        files::append(&path, &[&serde_json::to_vec(entry)?[..], b"\n"].concat())
    }

    fn keep_revision(&self, revision: u64) -> std::io::Result<()> {
        files::replace(&self.revision_file(), revision.to_string().as_bytes())
    }
}

impl PolicyLifecycle {
    /// Starts with the configured policy, else the last good one. Keeps good policies and the history in this folder.
    ///
    /// # Errors
    /// [`HomeError::NoThread`]. [`Start`] reports refused policies.
    pub fn live_in(
        &self,
        home: &PolicyHome,
        configured: Option<&Path>,
        loader: &PolicyLoader,
        options: &SwapOptions,
    ) -> Result<Start, HomeError> {
        let keeper = Keeper::start(home.clone(), &self.shared)?;
        self.life().keeper = Some(keeper);
        if let Some(revision) = home.highest_revision() {
            self.saw_revision(revision);
        }
        let mut refused = Vec::new();
        if let Some(path) = configured {
            match self.swap_file(path, loader, options) {
                Ok(_) => return Ok(Start::Configured),
                Err(error) => refused.push(error),
            }
        }
        match home.last_good(loader) {
            Ok(Some(policy)) => match self.swap(policy, options) {
                Ok(_) => return Ok(Start::LastGood { refused: refused.pop() }),
                Err(error) => refused.push(error),
            },
            Ok(None) => {}
            Err(error) => {
                self.note_refusal("the last good policy", &error);
                refused.push(error);
            }
        }
        Ok(Start::AsItWas { refused })
    }

    /// Waits until everything so far is on disk, if there is a home.
    pub fn flush_home(&self) {
        let flushed = self.life().keeper.as_ref().map(Keeper::flush);
        if let Some(flushed) = flushed {
            flushed.wait();
        }
    }

    /// Returns the active policy's name and version.
    pub fn active_label(&self) -> String {
        label(&self.description())
    }
}
