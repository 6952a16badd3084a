//! Samples the processor's load in the background: a load is the difference between two readings. A thread takes one
//! each second while somebody asks, then parks. It uses real time, whatever clock the program uses.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) type ReadLoad = Box<dyn FnMut() -> Option<f64> + Send>;

const INTERVAL: Duration = Duration::from_secs(1);
const FIRST_INTERVAL: Duration = sysinfo::MINIMUM_CPU_UPDATE_INTERVAL;
/// Number of samples taken for one question: half a minute.
const SAMPLES_A_QUESTION: u32 = 30;

pub(super) struct CpuSampler {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    unstarted: Option<ReadLoad>,
    load: Option<f64>,
    /// Samples still wanted. At 0 the thread parks.
    wanted: u32,
    stopped: bool,
    intervals: Option<[Duration; 2]>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CpuSampler {
    pub(super) fn new(read: ReadLoad) -> Self {
        let state = State { unstarted: Some(read), intervals: Some([FIRST_INTERVAL, INTERVAL]), ..State::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) }
    }

    pub(super) fn load(&self) -> Option<f64> {
        let mut state = self.shared.state();
        state.wanted = SAMPLES_A_QUESTION;
        if let Some(read) = state.unstarted.take() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("upright-cpu".into()).spawn(move || shared.sample(read));
            if let Err(error) = thread {
                tracing::warn!(%error, "the processor's load cannot be sampled: no thread for it");
            }
        }
        self.shared.changed.notify_all();
        state.load
    }
}

impl Drop for CpuSampler {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn sample(&self, mut read: ReadLoad) {
        while self.wait_until_wanted() {
            // Starts the interval, so that the load excludes the time parked.
            read();
            let [first, further] = self.state().intervals.unwrap_or_default();
            let mut interval = first;
            while self.pause(interval) {
                let load = read().filter(|load| load.is_finite());
                let mut state = self.state();
                state.load = load;
                state.wanted = state.wanted.saturating_sub(1);
                interval = further;
            }
        }
    }

    fn wait_until_wanted(&self) -> bool {
        let mut state = self.state();
        if state.wanted == 0 {
            state.load = None;
        }
        self.changed.notify_all();
        while state.wanted == 0 && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.stopped
    }

    fn pause(&self, interval: Duration) -> bool {
        let wait = self.changed.wait_timeout_while(self.state(), interval, |state| !state.stopped && state.wanted > 0);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        !state.stopped && state.wanted > 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    fn quick(mut read: impl FnMut(u32) -> Option<f64> + Send + 'static) -> (CpuSampler, Receiver<u32>) {
        let (noted, notes): (Sender<u32>, _) = channel();
        let mut count = 0;
        let sampler = CpuSampler::new(Box::new(move || {
            count += 1;
            let _ = noted.send(count);
            read(count)
        }));
        sampler.shared.state().intervals = Some([Duration::ZERO; 2]);
        (sampler, notes)
    }

    fn wait_until_parked(sampler: &CpuSampler) {
        let mut state = sampler.shared.state();
        while state.wanted > 0 || state.load.is_some() {
            state = sampler.shared.changed.wait(state).unwrap();
        }
    }

    #[test]
    fn asking_for_the_load_does_not_wait_for_a_sample() {
        let (release, held) = channel::<()>();
        let (sampler, notes) = quick(move |_| {
            let _ = held.recv();
            Some(50.0)
        });
        assert_eq!(sampler.load(), None);
        notes.recv().unwrap();
        assert_eq!(sampler.load(), None);
        drop(release);
    }

    #[test]
    fn the_first_reading_is_compared_with_nothing_and_so_is_no_sample() {
        let (release, held) = channel::<()>();
        let (sampler, notes) = quick(move |count| {
            if count == 3 {
                let _ = held.recv();
            }
            Some(f64::from(count))
        });
        sampler.load();
        assert_eq!(notes.iter().take(3).count(), 3);
        assert_eq!(sampler.load(), Some(2.0));
        drop(release);
    }

    #[test]
    fn a_load_that_cannot_be_read_is_none() {
        for odd in [None, Some(f64::NAN)] {
            let (release, held) = channel::<()>();
            let (sampler, notes) = quick(move |count| {
                if count == 3 {
                    let _ = held.recv();
                }
                odd
            });
            sampler.load();
            assert_eq!(notes.iter().take(3).count(), 3);
            assert_eq!(sampler.load(), None);
            drop(release);
        }
    }

    #[test]
    fn the_sampler_parks_when_nobody_asks_and_wakes_when_somebody_does() {
        let (sampler, notes) = quick(|_| Some(1.0));
        sampler.load();
        wait_until_parked(&sampler);
        assert_eq!(notes.try_iter().last(), Some(1 + SAMPLES_A_QUESTION));
        assert_eq!(sampler.load(), None, "an old sample says nothing about now");
        notes.recv().unwrap();
    }

    #[test]
    fn the_thread_ends_when_the_sampler_is_dropped() {
        let (sampler, notes) = quick(|_| Some(1.0));
        sampler.shared.state().intervals = Some([Duration::from_secs(3600); 2]);
        sampler.load();
        notes.recv().unwrap();
        drop(sampler);
        assert!(notes.recv().is_err());

        let (sampler, notes) = quick(|_| Some(1.0));
        sampler.load();
        wait_until_parked(&sampler);
        drop(sampler);
        assert_eq!(notes.iter().count(), 1 + SAMPLES_A_QUESTION as usize);
    }
}
