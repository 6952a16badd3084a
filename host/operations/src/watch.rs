//! Swaps in a changed policy file, and answers requests to a home (feature `watch`).
//!
//! Editors write files in pieces or replace them. So the folder is watched, and read after a quiet moment. A partial
//! component is refused; the active policy stays.

use crate::home::{Answering, HomeError, PolicyHome};
use notify_debouncer_mini::notify::{self, RecommendedWatcher, RecursiveMode};
use notify_debouncer_mini::{DebounceEventResult, Debouncer, new_debouncer};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use upright_runtime::{PolicyLifecycle, PolicyLoader, SwapOptions};

/// Time without changes before a file is read.
pub const QUIET: Duration = Duration::from_millis(100);

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}: {detail}; expected an existing folder of this program's user", path.display())]
pub struct WatchError {
    /// The folder.
    pub path: PathBuf,
    /// Why.
    pub detail: String,
}

/// An active watch; dropping it ends it.
#[must_use = "watching ends when this is dropped"]
pub struct Watch {
    _debouncer: Debouncer<RecommendedWatcher>,
    /// For a home.
    answering: Option<Answering>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Watch")
    }
}

/// Swaps this file's policy into a slot whenever the file changes. A refusal is an event; the active policy stays.
///
/// The folder must exist, the file need not. The slot may be dropped first.
///
/// # Errors
/// [`WatchError`].
pub fn swap_on_change(
    slot: &PolicyLifecycle,
    path: impl Into<PathBuf>,
    loader: &PolicyLoader,
    options: &SwapOptions,
) -> Result<Watch, WatchError> {
    let path = path.into();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let (slot, loader, options) = (slot.downgrade(), loader.clone(), options.clone());
    let (name, mut seen) = (path.file_name().map(ToOwned::to_owned), Fingerprint::of(&path));
    watch_folder(&folder, move |changed| {
        if !changed.iter().any(|changed| changed.file_name() == name.as_deref()) {
            return;
        }
        let now = Fingerprint::of(&path);
        if now.is_some()
            && now != std::mem::replace(&mut seen, now)
            && let Some(slot) = slot.upgrade()
        {
            // A refusal was an event.
            let _ = slot.swap_file(&path, &loader, &options);
        }
    })
}

/// Answers requests that other processes make with [`PolicyHome::ask`].
///
/// # Errors
/// [`WatchError`].
pub fn answer_requests(slot: &PolicyLifecycle, home: &PolicyHome, loader: &PolicyLoader) -> Result<Watch, WatchError> {
    let (weak, of_watch, loader_of_watch) = (slot.downgrade(), home.clone(), loader.clone());
    let mut watch = watch_folder(&home.requests(), move |changed| {
        if changed.iter().any(|changed| changed.is_file())
            && let Some(slot) = weak.upgrade()
        {
            of_watch.answer_all(&slot, &loader_of_watch);
        }
    })?;
    let cannot = |error: HomeError| WatchError { path: home.directory().to_owned(), detail: error.to_string() };
    watch.answering = Some(home.answering().map_err(cannot)?);
    // Requests from before the watch.
    home.answer_all(slot, loader);
    Ok(watch)
}

/// Shows a change without opening the file, which is itself an event.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: found.modified().ok(),
            length: found.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(&found),
        })
    }
}

fn watch_folder(folder: &Path, mut changed: impl FnMut(Vec<PathBuf>) + Send + 'static) -> Result<Watch, WatchError> {
    let failed = |error: notify::Error| WatchError { path: folder.to_owned(), detail: error.to_string() };
    let handler = move |events: DebounceEventResult| match events {
        Ok(events) => changed(events.into_iter().map(|event| event.path).collect()),
        Err(error) => tracing::error!(target: "upright", %error, "watching failed"),
    };
    let mut debouncer = new_debouncer(QUIET, handler).map_err(failed)?;
    debouncer.watcher().watch(folder, RecursiveMode::NonRecursive).map_err(failed)?;
    Ok(Watch { _debouncer: debouncer, answering: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_a_file_is_no_news_of_it_and_writing_or_replacing_it_is() {
        let folder = upright_test_kit::folder::Folder::new("fingerprint");
        let (path, other) = (folder.path("policy.wasm"), folder.path("other"));
        assert!(Fingerprint::of(&path).is_none());
        std::fs::write(&path, "one").unwrap();
        let first = Fingerprint::of(&path);
        std::fs::read(&path).unwrap();
        assert!(first.is_some() && Fingerprint::of(&path) == first);
        std::fs::write(&path, "longer").unwrap();
        let second = Fingerprint::of(&path);
        assert!(second != first);
        std::fs::write(&other, "longer").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(Fingerprint::of(&path) != second);
    }
}
