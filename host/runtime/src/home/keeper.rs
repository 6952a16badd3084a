//! Writes to a home on its own thread: nothing else waits for a disk.

use super::{HomeError, PolicyHome};
use crate::lifecycle::HistoryEntry;
use crate::lifecycle::{PolicyLifecycle, Shared};
use crate::policy::Policy;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

enum Note {
    Entry(Box<HistoryEntry>),
    Good(Policy),
    Revision(u64),
    Probation(Duration),
    Flush(Sender<()>),
}

/// Dropping this writes everything and ends the thread.
pub(crate) struct Keeper {
    notes: Sender<Note>,
}

pub(crate) struct Flushed(Receiver<()>);

impl Flushed {
    pub(crate) fn wait(self) {
        // An error means that the thread has ended.
        let _ = self.0.recv();
    }
}

impl Keeper {
    pub(super) fn start(home: PolicyHome, slot: &Arc<Shared>) -> Result<Self, HomeError> {
        let (notes, received) = mpsc::channel();
        let (slot, path) = (Arc::downgrade(slot), home.directory.clone());
        let thread = std::thread::Builder::new().name("upright-home".into()).spawn(move || keep(&home, &slot, &received));
        thread.map_err(|error| HomeError::NoThread { path, detail: error.to_string() })?;
        Ok(Self { notes })
    }

    fn send(&self, note: Note) {
        // The thread outlives this keeper.
        let _ = self.notes.send(note);
    }

    pub(crate) fn write_down(&self, entry: HistoryEntry) {
        self.send(Note::Entry(Box::new(entry)));
    }

    pub(crate) fn remember(&self, policy: Policy) {
        self.send(Note::Good(policy));
    }

    pub(crate) fn saw_revision(&self, revision: u64) {
        self.send(Note::Revision(revision));
    }

    pub(crate) fn wake_in(&self, probation: Duration) {
        self.send(Note::Probation(probation));
    }

    pub(crate) fn flush(&self) -> Flushed {
        let (done, flushed) = mpsc::channel();
        self.send(Note::Flush(done));
        Flushed(flushed)
    }
}

fn keep(home: &PolicyHome, slot: &Weak<Shared>, notes: &Receiver<Note>) {
    let mut look_at: Option<Instant> = None;
    let mut is_logged = false;
    loop {
        let received = match look_at {
            Some(instant) => notes.recv_timeout(instant.saturating_duration_since(Instant::now())),
            None => notes.recv().map_err(RecvTimeoutError::from),
        };
        let written = match received {
            Ok(Note::Entry(entry)) => home.append(&entry),
            Ok(Note::Good(policy)) => home.remember(&policy),
            Ok(Note::Revision(revision)) => home.keep_revision(revision),
            Ok(Note::Probation(probation)) => {
                look_at = Instant::now().checked_add(probation);
                Ok(())
            }
            Ok(Note::Flush(done)) => {
                // The caller may have stopped waiting.
                let _ = done.send(());
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => {
                look_at = None;
                if let Some(shared) = slot.upgrade() {
                    let slot = PolicyLifecycle::of(shared);
                    slot.settle();
                    // A test clock or recent strikes prolong the probation.
                    look_at = slot.is_on_probation().then(|| Instant::now() + Duration::from_secs(1));
                }
                Ok(())
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // Logged once: a full disk stays full.
        if let Err(error) = written
            && !std::mem::replace(&mut is_logged, true)
        {
            tracing::error!(target: "upright", home = %home.directory.display(), %error, "the home of the policies cannot be written to");
        }
    }
}
