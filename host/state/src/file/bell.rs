//! How a process wakes others when it has written.
//!
//! A file beside the database is touched after each commit, and who watches the store watches that file. A watch of SQLite's own files would not do: it fires
//! when the log is written, before what is in it can be read. Nothing is in the file, and whoever finds it gone makes another.

use super::failure::{Case, Failure};
use super::place;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Beside the database itself, where that was asked for by way of a link.
pub(super) fn path_for(database: &Path) -> PathBuf {
    place::beside(&database.canonicalize().unwrap_or_else(|_| database.to_owned()), "-bell")
}

/// The end that is pulled.
pub(super) struct Bell {
    path: PathBuf,
    file: Option<File>,
}

impl Bell {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Wakes those who listen. Where that fails they hear of it with the next commit.
    pub(super) fn ring(&mut self, now: SystemTime) {
        if let Err(error) = self.touch(now) {
            self.file = None;
            tracing::debug!(target: "upright", path = %self.path.display(), %error, "other processes are not woken");
        }
    }

    fn touch(&mut self, now: SystemTime) -> io::Result<()> {
        let file = match self.file.take() {
            // Elsewhere nothing says whether it still has its name.
            Some(file) if cfg!(unix) && is_at(&file, &self.path) => file,
            _ => place::private().open(&self.path)?,
        };
        self.file.insert(file).set_modified(now)
    }
}

/// Whether the file is still the one of this path, and was not removed or replaced.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |file: io::Result<std::fs::Metadata>| file.map(|file| (file.dev(), file.ino())).ok();
    let named = identity(std::fs::metadata(path));
    named.is_some() && named == identity(file.metadata())
}

/// Nothing says here whether it is another one of that name.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// The end that is heard, on a thread of its own that sleeps in between.
pub(super) struct Listener {
    _watcher: RecommendedWatcher,
}

/// The bell may be replaced while a listener is made, and again. Nobody has a reason to go on with that.
const TRIES: usize = 100;

impl Listener {
    /// Calls this each time that the bell is rung, with whether it is still the one that is listened to.
    pub(super) fn new(path: &Path, heard: impl Fn(bool) + Send + Sync + 'static) -> Result<Self, Failure> {
        let heard = Arc::new(heard);
        for _ in 0..TRIES {
            let file = Arc::new(place::private().open(path)?);
            let listener = Self::of(path, &file, &heard)?;
            if is_at(&file, path) {
                return Ok(listener);
            }
        }
        Err(Failure::new(Case::Unavailable, format!("{} is replaced again and again", path.display())))
    }

    fn of(path: &Path, file: &Arc<File>, heard: &Arc<impl Fn(bool) + Send + Sync + 'static>) -> Result<Self, Failure> {
        let (file, heard, named) = (Arc::clone(file), Arc::clone(heard), path.to_owned());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // One that was opened or closed was not rung; what could not be said may have been a ring.
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
