//! The thread that writes a journal to its file.
//!
//! A system call costs more than a decision, so the thread wakes itself every few milliseconds. Only an idle one is
//! woken, once.

use super::Shared;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const ROUND: Duration = Duration::from_millis(5);
const IDLE_ROUNDS: u32 = 64;

/// Dropping this writes everything and ends the thread.
pub(super) struct Writer {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
    /// Number of the process that has the thread.
    process: u32,
}

#[derive(Default)]
struct State {
    asleep: AtomicBool,
    ends: AtomicBool,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let for_thread = Arc::clone(&state);
        let thread = thread::Builder::new().name("upright-journal".into()).spawn(move || write(&shared, &for_thread))?;
        Ok(Self { state, thread: Some(thread), process: std::process::id() })
    }

    /// Costs two loads while the thread is awake.
    pub(super) fn wake(&self) {
        // Either the thread sees the decision, or this sees it asleep.
        fence(Ordering::SeqCst);
        if self.state.asleep.load(Ordering::Relaxed) && self.state.asleep.swap(false, Ordering::Relaxed) {
            self.unpark();
        }
    }

    /// Whether this process was forked from the one that writes.
    pub(super) fn is_anothers(&self) -> bool {
        self.process != std::process::id()
    }

    #[cfg(test)]
    pub(super) fn sleeps(&self) -> bool {
        self.state.asleep.load(Ordering::SeqCst)
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_anothers() {
            // The thread is the parent's: to wait for it would take for ever.
            std::mem::forget(self.thread.take());
            return;
        }
        self.state.ends.store(true, Ordering::SeqCst);
        self.unpark();
        if let Some(thread) = self.thread.take() {
            // After a panic there is nothing to wait for.
            let _ = thread.join();
        }
    }
}

fn write(shared: &Shared, state: &State) {
    let mut idle = 0;
    loop {
        // Nothing is queued once the writer is dropped.
        let ends = state.ends.load(Ordering::SeqCst);
        let count = shared.empty_queue(&mut shared.kept());
        idle = if count == 0 { idle + 1 } else { 0 };
        if ends {
            if count == 0 {
                return;
            }
        } else if idle < IDLE_ROUNDS {
            thread::park_timeout(ROUND);
        } else {
            state.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            while shared.queue.is_empty() && state.asleep.load(Ordering::Relaxed) && !state.ends.load(Ordering::SeqCst) {
                thread::park();
            }
            state.asleep.store(false, Ordering::Relaxed);
            idle = 0;
        }
    }
}
