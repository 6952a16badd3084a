//! Drives time by hand.

use crate::clock::{Clock, Instant, SharedClock, Sleep, nanoseconds};
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

/// A clock moved by hand.
///
/// [`DrivenClock::new`] waits for [`DrivenClock::advance`]; [`DrivenClock::skipping`] skips waits. Both record waits.
///
/// ```
/// use std::time::Duration;
/// use upright::clock::Clock;
/// use upright::testing::DrivenClock;
///
/// let clock = DrivenClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now() - before, 60_000_000_000);
/// ```
#[derive(Clone, Default)]
pub struct DrivenClock {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    now: Instant,
    wall_step: Duration,
    skipping: bool,
    waits: Vec<Duration>,
    wakers: Vec<Waker>,
}

impl DrivenClock {
    /// A clock at zero that only advances by hand.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock at zero that skips to the end of waits.
    pub fn skipping() -> Self {
        let clock = Self::default();
        clock.state().skipping = true;
        clock
    }

    /// Shares this clock.
    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }

    /// Advances by `span`; due waits end.
    pub fn advance(&self, span: Duration) {
        let mut state = self.state();
        state.now = state.now.saturating_add(nanoseconds(span));
        state.wakers.drain(..).for_each(Waker::wake);
        self.shared.changed.notify_all();
    }

    /// Steps only the wall clock, like NTP.
    pub fn step_wall(&self, span: Duration) {
        self.state().wall_step += span;
    }

    /// The waits, in order.
    pub fn waits(&self) -> Vec<Duration> {
        self.state().waits.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, span: Duration) -> Option<Instant> {
        let mut state = self.state();
        state.waits.push(span);
        let end = state.now.saturating_add(nanoseconds(span));
        if state.skipping {
            state.now = end;
            state.wakers.drain(..).for_each(Waker::wake);
        }
        (end > state.now).then_some(end)
    }
}

impl Clock for DrivenClock {
    fn now(&self) -> Instant {
        self.state().now
    }

    fn wall(&self) -> SystemTime {
        let state = self.state();
        // Ten years after 1970: earlier dates exist.
        SystemTime::UNIX_EPOCH + Duration::from_secs(315_360_000) + Duration::from_nanos(state.now) + state.wall_step
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let clock = self.clone();
        let mut end = None;
        Box::pin(poll_fn(move |context| {
            let until = *end.get_or_insert_with(|| clock.begin(span).unwrap_or(0));
            let mut state = clock.state();
            if state.now >= until {
                return Poll::Ready(());
            }
            state.wakers.push(context.waker().clone());
            Poll::Pending
        }))
    }

    fn sleep_blocking(&self, span: Duration) {
        let Some(end) = self.begin(span) else { return };
        let mut state = self.state();
        while state.now < end {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
