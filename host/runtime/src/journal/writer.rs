//! The thread that takes a journal to its file.
//!
//! A caller must not pay for the disk, nor for waking somebody up: a system call costs more than a decision. So the thread wakes itself every few
//! milliseconds while there is work. Where there has been none for a while it sleeps, and the next decision wakes it, once.

use super::Shared;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// So often there is a look at the queue while there is work.
const ROUND: Duration = Duration::from_millis(5);
/// After so many rounds without work it sleeps.
const IDLE_ROUNDS: u32 = 64;

/// The thread; dropping this ends it, when all is written.
pub(super) struct Writer {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
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
        Ok(Self { state, thread: Some(thread) })
    }

    /// Sees to it that what was just queued is written. While the thread is awake this is two loads.
    pub(super) fn wake(&self) {
        // Either the thread sees what was queued before it sleeps, or this sees that it sleeps.
        fence(Ordering::SeqCst);
        if self.state.asleep.load(Ordering::Relaxed) && self.state.asleep.swap(false, Ordering::Relaxed) {
            self.unpark();
        }
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
        self.state.ends.store(true, Ordering::SeqCst);
        self.unpark();
        if let Some(thread) = self.thread.take() {
            // It does not panic; should it have, there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

fn write(shared: &Shared, state: &State) {
    let mut idle = 0;
    loop {
        // Nobody queues anything once the writer is dropped.
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
