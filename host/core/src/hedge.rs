//! Hedged calls: a slow call gets a rival, and the first success wins.
//!
//! Most calls are quick and a few are slow for no reason of their own: a busy worker, a lost packet. Waiting for those makes up most of the worst times that users
//! see. A [`Hedge`] sends the same call once more when it has taken longer than usual. Whoever succeeds first wins; the others are
//! cancelled by dropping them. Each rival is more load, so rivals are taken from a budget, the same that retries are taken from.
//!
//! Hedge only what may run twice at the same time without harm, and where the service has room: a single model on a single machine answers two equal
//! requests more slowly than one.
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

/// Sends rivals after slow calls. Cloning shares it.
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

/// Builds a [`Hedge`]. What is not set: one rival, after 2 s (as Polly has it), from no budget.
#[derive(Clone)]
#[must_use]
pub struct HedgeBuilder {
    settings: Settings,
}

impl HedgeBuilder {
    /// How long a call may take before a rival is sent after it, and that rival before the next. Above 0; a good value is a time that 19 of 20 calls
    /// keep to.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.settings.delay = delay;
        self
    }

    /// At most so many rivals, 1 to 10.
    pub fn max_hedges(mut self, hedges: u32) -> Self {
        self.settings.max_hedges = hedges;
        self
    }

    /// The budget that rivals are taken from. When it is empty none are sent, and the call that runs goes on.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.settings.budget = Some(budget);
        self
    }

    /// Where time comes from. Within a strategy or a manager it comes from theirs.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Where events are sent to. Within a strategy or a manager they go to theirs.
    pub fn events(mut self, events: Events) -> Self {
        self.settings.events = events;
        self
    }

    /// The hedge.
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    pub fn build(self) -> Result<Hedge, ConfigurationError> {
        let Settings { delay, max_hedges, .. } = &self.settings;
        configuration::limit("hedge delay", *delay)?;
        ConfigurationError::unless((1..=10).contains(max_hedges), "max_hedges", max_hedges, "expected a whole number from 1 to 10")?;
        Ok(Hedge { settings: Arc::new(self.settings) })
    }
}

impl Hedge {
    /// Builds a hedge. The name stands in events.
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

    /// Runs an operation, and rivals of it when it is slow. A failure ends the call only when no rival is in flight any more; trying again after failures is the
    /// business of retries. A call that is ready at once starts no timer and allocates nothing.
    ///
    /// # Errors
    /// The operation's own: the one that came last.
    pub async fn execute<T, E, F>(&self, mut operation: impl FnMut() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Settings { name, budget, clock, events, .. } = &*self.settings;
        let tell = |hedge| events.emit(|| Event::Hedged { operation: Arc::clone(name), attempt: 1, hedge });
        self.race(|_| operation(), budget.as_ref(), clock, tell).await
    }

    /// The budget of its own, if it has one.
    pub(crate) fn budget(&self) -> Option<&RetryBudget> {
        self.settings.budget.as_ref()
    }

    /// Runs `operation(0)`, and `operation(1)` and so on as rivals. `tell` is called with the number of each rival that is sent.
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
        let mut race = Race { first: Some(pin!(operation(0))), rivals: Vec::new(), failed: None, timer: Timer::ToBeSet };
        let mut hedge = 0;
        loop {
            match poll_fn(|context| race.poll(context, || clock.sleep(*delay))).await {
                Lap::Over(outcome) => return outcome,
                Lap::Slow if budget.is_none_or(|budget| budget.take().map(Token::spend).is_some()) => {
                    hedge += 1;
                    tell(hedge);
                    race.rivals.push(Box::pin(operation(hedge)));
                    race.timer = if hedge < *max_hedges { Timer::ToBeSet } else { Timer::NotWanted };
                }
                Lap::Slow => race.timer = Timer::NotWanted,
            }
        }
    }
}

/// The calls in flight. Dropping it cancels them.
struct Race<'a, F, E> {
    first: Option<Pin<&'a mut F>>,
    rivals: Vec<Pin<Box<F>>>,
    /// The failure that came last.
    failed: Option<E>,
    timer: Timer,
}

/// What tells when the next rival is due.
enum Timer {
    /// It runs from the next moment that all calls in flight wait.
    ToBeSet,
    Running(Sleep),
    NotWanted,
}

/// What a race has come to.
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
        while let Some(rival) = self.rivals.get_mut(at) {
            match rival.as_mut().poll(context) {
                Poll::Ready(Ok(value)) => return Poll::Ready(Lap::Over(Ok(value))),
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error);
                    drop(self.rivals.remove(at));
                }
                Poll::Pending => at += 1,
            }
        }
        if self.first.is_none()
            && self.rivals.is_empty()
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
