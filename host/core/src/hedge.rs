//! Repeats slow calls; the first success wins.
//!
//! A few calls are slow by accident (a busy worker, a lost packet) and make up users' worst times. A [`Hedge`] repeats
//! them; the first success cancels the others. Hedge attempts are load: they take retry-budget tokens.
//!
//! Hedge only what may run twice at once, on services with capacity: one model on one machine answers two requests more
//! slowly.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use upright::Hedge;
//!
//! # async fn search() -> Result<Vec<u32>, std::io::Error> { Ok(vec![7]) }
//! let hedge = Hedge::builder("search").delay(Duration::from_millis(200)).max_hedges(1).build()?;
//! assert_eq!(hedge.execute(search).await?, [7]);
//! # Ok(()) }
//! ```

use crate::budget::{RetryBudget, Token};
use crate::clock::{SharedClock, Sleep, SystemClock};
use crate::configuration;
use crate::error::ConfigurationError;
use crate::events::{Event, Events};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Hedges slow calls. Clones share it.
#[derive(Clone)]
pub struct Hedge {
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    name: Arc<str>,
    delay: Duration,
    max_hedges: u32,
    budget: Option<RetryBudget>,
    clock: SharedClock,
    events: Events,
}

impl std::fmt::Debug for Hedge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Settings { name, delay, max_hedges, .. } = &*self.settings;
        write!(formatter, "Hedge({name:?}, at most {max_hedges}, each {delay:?} after the one before)")
    }
}

/// Builds a [`Hedge`]. Defaults: one hedge attempt, 2 s (like Polly), no budget.
#[derive(Clone)]
#[must_use]
pub struct HedgeBuilder {
    settings: Settings,
}

impl HedgeBuilder {
    /// Delay before each hedge attempt; above 0. Good: the 95th percentile of call times.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.settings.delay = delay;
        self
    }

    /// Maximum number of hedge attempts, 1 to 10.
    pub fn max_hedges(mut self, hedges: u32) -> Self {
        self.settings.max_hedges = hedges;
        self
    }

    /// Retry budget; if empty, no hedge attempt starts.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.settings.budget = Some(budget);
        self
    }

    /// Clock; strategies and managers use theirs.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Events; strategies and managers use theirs.
    pub fn events(mut self, events: Events) -> Self {
        self.settings.events = events;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn build(self) -> Result<Hedge, ConfigurationError> {
        let Settings { delay, max_hedges, .. } = &self.settings;
        configuration::limit("hedge delay", *delay)?;
        ConfigurationError::unless((1..=10).contains(max_hedges), "max_hedges", max_hedges, "expected a whole number from 1 to 10")?;
        Ok(Hedge { settings: Arc::new(self.settings) })
    }
}

impl Hedge {
    /// Builds a hedge. `name` appears in events.
    pub fn builder(name: impl Into<Arc<str>>) -> HedgeBuilder {
        HedgeBuilder {
            settings: Settings {
                name: name.into(),
                delay: Duration::from_secs(2),
                max_hedges: 1,
                budget: None,
                clock: SystemClock::shared(),
                events: Events::default(),
            },
        }
    }

    /// Runs an operation and hedges it. Fails only when no attempt is in flight; never retries. A call ready at once
    /// starts no timer and allocates nothing.
    ///
    /// # Errors
    /// The operation's last error.
    pub async fn execute<T, E, F>(&self, mut operation: impl FnMut() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Settings { name, budget, clock, events, .. } = &*self.settings;
        let tell = |hedge| events.emit(|| Event::Hedged { operation: Arc::clone(name), attempt: 1, hedge });
        self.race(|_| operation(), budget.as_ref(), clock, tell).await
    }

    pub(crate) fn budget(&self) -> Option<&RetryBudget> {
        self.settings.budget.as_ref()
    }

    /// Attempt 0 is the operation, later ones hedges; `tell` gets their numbers.
    pub(crate) async fn race<T, E, F>(
        &self,
        mut operation: impl FnMut(u32) -> F,
        budget: Option<&RetryBudget>,
        clock: &SharedClock,
        tell: impl Fn(u32),
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Settings { delay, max_hedges, .. } = &*self.settings;
        let mut race = Race { first: Some(pin!(operation(0))), hedge_attempts: Vec::new(), failed: None, timer: Timer::ToBeSet };
        let mut hedge = 0;
        loop {
            match poll_fn(|context| race.poll(context, || clock.sleep(*delay))).await {
                Lap::Over(outcome) => return outcome,
                Lap::Slow if budget.is_none_or(|budget| budget.take().map(Token::spend).is_some()) => {
                    hedge += 1;
                    tell(hedge);
                    race.hedge_attempts.push(Box::pin(operation(hedge)));
                    race.timer = if hedge < *max_hedges { Timer::ToBeSet } else { Timer::NotWanted };
                }
                Lap::Slow => race.timer = Timer::NotWanted,
            }
        }
    }
}

/// Dropping cancels all calls.
struct Race<'a, F, E> {
    first: Option<Pin<&'a mut F>>,
    hedge_attempts: Vec<Pin<Box<F>>>,
    failed: Option<E>,
    timer: Timer,
}

enum Timer {
    /// Starts when all calls wait.
    ToBeSet,
    Running(Sleep),
    NotWanted,
}

enum Lap<T, E> {
    Over(Result<T, E>),
    /// All calls in flight are slow.
    Slow,
}

impl<T, E, F: Future<Output = Result<T, E>>> Race<'_, F, E> {
    fn poll(&mut self, context: &mut Context<'_>, sleep: impl FnOnce() -> Sleep) -> Poll<Lap<T, E>> {
        if let Some(first) = &mut self.first
            && let Poll::Ready(outcome) = first.as_mut().poll(context)
        {
            match outcome {
                Ok(value) => return Poll::Ready(Lap::Over(Ok(value))),
                Err(error) => self.failed = Some(error),
            }
            self.first = None;
        }
        let mut at = 0;
        while let Some(hedge_attempt) = self.hedge_attempts.get_mut(at) {
            match hedge_attempt.as_mut().poll(context) {
                Poll::Ready(Ok(value)) => return Poll::Ready(Lap::Over(Ok(value))),
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error);
                    drop(self.hedge_attempts.remove(at));
                }
                Poll::Pending => at += 1,
            }
        }
        if self.first.is_none()
            && self.hedge_attempts.is_empty()
            && let Some(error) = self.failed.take()
        {
            return Poll::Ready(Lap::Over(Err(error)));
        }
        if matches!(self.timer, Timer::ToBeSet) {
            self.timer = Timer::Running(sleep());
        }
        match &mut self.timer {
            Timer::Running(timer) => timer.as_mut().poll(context).map(|()| Lap::Slow),
            Timer::ToBeSet | Timer::NotWanted => Poll::Pending,
        }
    }
}
