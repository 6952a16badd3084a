//! Sends watchers every process's changes, each once, in version order.
//!
//! Changes of other processes are read from the table at a ring, and before a later own change.

use super::bell::{self, Listener};
use super::entries::last_version;
use super::failure::Failure;
use super::readers::Readers;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use upright_core::store::watch::Watchers;
use upright_core::store::{Change, ChangeKind, Changes};

const SINCE: &str = "SELECT version, key, deleted FROM changes WHERE version > ?1 ORDER BY version";

pub(super) struct Feed {
    bell: PathBuf,
    readers: Arc<Readers>,
    watchers: Watchers,
    /// Last version reported; meaningless without watchers.
    announced: Mutex<u64>,
    listener: Mutex<Option<Listener>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    pub(super) fn new(database: &Path, readers: Arc<Readers>) -> Self {
        Self {
            bell: bell::path_for(database),
            readers,
            watchers: Watchers::default(),
            announced: Mutex::default(),
            listener: Mutex::default(),
        }
    }

    pub(super) fn watch(self: &Arc<Self>, prefix: &str) -> Result<Changes, Failure> {
        // Before reading the version, so that no change is missed.
        let mut listener = locked(&self.listener);
        if listener.is_none() {
            *listener = Some(self.listen()?);
        }
        drop(listener);
        let mut announced = locked(&self.announced);
        if self.watchers.is_empty() {
            *announced = self.readers.with(last_version)?;
        } else {
            self.readers.with(|connection| self.catch_up(connection, &mut announced))?;
        }
        Ok(self.watchers.watch(prefix))
    }

    fn listen(self: &Arc<Self>) -> Result<Listener, Failure> {
        let feed = Arc::downgrade(self);
        Listener::new(&self.bell, move |is_there| Self::heard(&feed, is_there))
    }

    pub(super) fn end(&self) {
        drop(locked(&self.listener).take());
    }

    fn heard(feed: &Weak<Self>, is_there: bool) {
        let Some(feed) = feed.upgrade() else { return };
        if !is_there {
            // This thread is the old listener's.
            let again = Arc::clone(&feed);
            let _ = std::thread::Builder::new().name("upright-bell".into()).spawn(move || again.listen_again());
        }
        feed.look();
    }

    fn listen_again(self: &Arc<Self>) {
        let mut listener = locked(&self.listener);
        // `None`: the store was closed.
        if listener.is_some() {
            match self.listen() {
                Ok(new) => *listener = Some(new),
                Err(failure) => {
                    tracing::warn!(target: "upright", error = %failure.store_error(&self.bell), "other processes are not heard any more")
                }
            }
        }
        drop(listener);
        self.look();
    }

    fn look(&self) {
        let mut announced = locked(&self.announced);
        if self.watchers.is_empty() {
            return;
        }
        if let Err(failure) = self.readers.with(|connection| self.catch_up(connection, &mut announced)) {
            tracing::warn!(target: "upright", error = %failure.store_error(&self.bell), "changes of another process are seen with the next change");
        }
    }

    pub(super) fn committed(&self, connection: &Connection, before: u64, changes: &[Change]) {
        let mut announced = locked(&self.announced);
        if self.watchers.is_empty() {
            return;
        }
        if *announced == before {
            for change in changes {
                *announced = change.version;
                self.watchers.tell(change.clone());
            }
        } else if let Err(failure) = self.catch_up(connection, &mut announced) {
            tracing::warn!(target: "upright", error = %failure.store_error(&self.bell), "watchers hear of this with the next change");
        }
    }

    fn catch_up(&self, connection: &Connection, announced: &mut u64) -> Result<(), Failure> {
        let mut statement = connection.prepare_cached(SINCE)?;
        let mut rows = statement.query([*announced as i64])?;
        while let Some(row) = rows.next()? {
            let version = row.get::<_, i64>(0)? as u64;
            // A gap is changes removed before they were read.
            self.watchers.missed(version - *announced - 1);
            let kind = if row.get(2)? { ChangeKind::Deleted } else { ChangeKind::Put };
            *announced = version;
            self.watchers.tell(Change { key: row.get(1)?, version, kind });
        }
        Ok(())
    }
}
