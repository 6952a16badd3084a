//! Wakes other processes after a write: each commit touches an empty file, which watchers watch. SQLite's own files
//! change before their contents can be read.

use super::failure::{Case, Failure};
use super::place;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Links are resolved: the bell lies beside the database itself.
pub(super) fn path_for(database: &Path) -> PathBuf {
    place::beside(&database.canonicalize().unwrap_or_else(|_| database.to_owned()), "-bell")
}

pub(super) struct Bell {
    path: PathBuf,
    file: Option<File>,
}

impl Bell {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// If this fails, others see the change with the next commit.
    pub(super) fn ring(&mut self, now: SystemTime) {
        if let Err(error) = self.touch(now) {
            self.file = None;
            tracing::debug!(target: "upright", path = %self.path.display(), %error, "other processes are not woken");
        }
    }

    fn touch(&mut self, now: SystemTime) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) if cfg!(unix) && is_at(&file, &self.path) => file,
            _ => place::private().open(&self.path)?,
        };
        self.file.insert(file).set_modified(now)
    }
}

/// Linux tells of a removal a moment before the name is gone, and never again. The links are counted before that.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(named), Ok(file)) = (std::fs::metadata(path), file.metadata()) else { return false };
    file.nlink() > 0 && (named.dev(), named.ino()) == (file.dev(), file.ino())
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

pub(super) struct Listener {
    _watcher: RecommendedWatcher,
}

/// Maximum number of attempts.
const TRIES: usize = 100;

impl Listener {
    /// `heard` learns whether the file is still in place.
    pub(super) fn new(path: &Path, heard: impl Fn(bool) + Send + Sync + 'static) -> Result<Self, Failure> {
        let heard = Arc::new(heard);
        for _ in 0..TRIES {
            let file = Arc::new(place::private().open(path)?);
            let listener = Self::of(path, &file, &heard);
            // Removed meanwhile, or replaced: then the watch is on nothing, or on another file.
            if is_at(&file, path) {
                return listener;
            }
        }
        Err(Failure::new(Case::Unavailable, format!("{} is replaced again and again", path.display())))
    }

    fn of(path: &Path, file: &Arc<File>, heard: &Arc<impl Fn(bool) + Send + Sync + 'static>) -> Result<Self, Failure> {
        let (file, heard, named) = (Arc::clone(file), Arc::clone(heard), path.to_owned());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Opening or closing is no ring; an unreadable event may be one.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                heard(is_at(&file, &named));
            }
        });
        let cannot = |error: notify::Error| Failure::new(Case::Unavailable, format!("{} cannot be watched: {error}", path.display()));
        let mut watcher = watcher.map_err(cannot)?;
        watcher.watch(path, RecursiveMode::NonRecursive).map_err(cannot)?;
        Ok(Self { _watcher: watcher })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use upright_test_kit::folder::Folder;

    #[test]
    fn a_file_without_a_link_is_not_in_place_though_its_name_is_still_found() {
        let folder = Folder::new("links");
        let path = folder.path("state.db-bell");
        let file = place::private().open(&path).unwrap();
        // Finds the file whether or not it has a link.
        let found = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        assert!(is_at(&file, &found));
        std::fs::remove_file(&path).unwrap();
        assert!(found.metadata().is_ok());
        assert!(!is_at(&file, &found));
    }
}
