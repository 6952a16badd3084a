//! Futures that a test polls by hand, to control the order of events.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use upright::testing::DrivenClock;

/// A span of whole seconds.
pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A future, and whether something has woken it since it was last polled.
pub struct Driven<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<'a, T> Driven<'a, T> {
    /// A future that has not been polled.
    pub fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self { future: Box::pin(future), woken: Arc::default() }
    }

    /// A future that has been polled once.
    pub fn begun(future: impl Future<Output = T> + 'a) -> Self {
        let mut driven = Self::new(future);
        assert!(driven.poll().is_none(), "it ended at once");
        driven
    }

    /// Polls it once, woken or not. `None` while it waits.
    pub fn poll(&mut self) -> Option<T> {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// Polls it as long as it is woken. `None` while it waits.
    pub fn run(&mut self) -> Option<T> {
        while self.woken.0.load(Ordering::SeqCst) {
            if let Some(value) = self.poll() {
                return Some(value);
            }
        }
        None
    }

    /// Advances the clock, then runs it.
    pub fn after(&mut self, span: Duration, clock: &DrivenClock) -> Option<T> {
        clock.advance(span);
        self.run()
    }

    /// Its outcome after this span of the clock.
    pub fn ended_after(&mut self, span: Duration, clock: &DrivenClock) -> T {
        self.after(span, clock).expect("it has not ended")
    }
}
