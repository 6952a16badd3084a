//! Drives a session: calls the operation, waits, and does what the session says.

use super::{Attempt, Ending, Guarding, Next, Session, Terms};
use crate::breaker::{CircuitBreaker, Permit};
use crate::bulkhead::{Bulkhead, BulkheadPermit};
use crate::clock::{SharedClock, Sleep};
use crate::error::{AttemptTimeout, BoxError, BulkheadFull, RejectedResult};
use crate::events::Event;
use crate::fault::OperationError;
use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tracing::Instrument;

impl Session<'_> {
    /// Runs the operation, asynchronously, beginning with what is `next` if the first attempt was made already. Dropping the future ends it; nothing stays counted.
    pub async fn run<T, E, F>(
        &mut self,
        breaker: Option<Cow<'_, CircuitBreaker>>,
        operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
        next: Option<Next>,
    ) -> Ending<T>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        let span = self.span();
        let ending = self.drive(breaker, operation, accept, next).instrument(span).await;
        self.count(&ending);
        ending
    }

    /// Counts how the operation ended, where metrics are wanted.
    #[cfg_attr(not(feature = "metrics"), expect(clippy::unused_self, reason = "nothing is counted without the feature"))]
    fn count<T>(&self, _ending: &Ending<T>) {
        #[cfg(feature = "metrics")]
        crate::events::metrics::ended(&self.terms.name, _ending, self.attempts, self.elapsed());
    }

    /// What happens in an operation is traced within this.
    fn span(&self) -> tracing::Span {
        tracing::info_span!("operation", operation = &*self.terms.name)
    }

    async fn drive<T, E, F>(
        &mut self,
        mut breaker: Option<Cow<'_, CircuitBreaker>>,
        mut operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
        mut next: Option<Next>,
    ) -> Ending<T>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        let terms = self.terms;
        loop {
            let next = match next.take() {
                Some(next) => next,
                None => match breaker.as_deref().map(CircuitBreaker::try_acquire).transpose() {
                    Err(open) => self.rejected(open),
                    Ok(mut permit) => match room(terms, self.time_left()).await {
                        Err(full) => {
                            drop(permit);
                            self.no_room(full)
                        }
                        Ok(room) => {
                            // To wait for room is no fault of the service.
                            if let (Some(permit), Some(_)) = (&mut permit, &room) {
                                permit.begins();
                            }
                            let limit = self.limit();
                            let attempt = self.attempt(limit);
                            let span = attempt.span();
                            let mut made = pin!(make(self.guarding, terms, attempt, limit, &mut operation).instrument(span));
                            let outcome = poll_fn(|context| {
                                let polled = made.as_mut().poll(context);
                                if polled.is_pending() {
                                    self.begun();
                                }
                                polled
                            })
                            .await;
                            match self.outcome(outcome, permit, &accept) {
                                Ok(value) => return Ending::Live(value),
                                Err(next) => next,
                            }
                        }
                    },
                },
            };
            match next {
                Next::Wait(delay) => self.guarding.clock.sleep(delay).await,
                Next::Switch(other) => breaker = other.map(Cow::Owned),
                Next::Again => {}
                Next::Cached(error) => return Ending::Cached(error),
                Next::Fallback(error) => return Ending::Fallback(error),
                Next::Failed(error) => return Ending::Failed(error),
            }
        }
    }

    /// Runs the operation on this thread. A limit of time is told to the attempt, which cannot be stopped from outside; there are no rivals, and no
    /// waiting for room in a bulkhead.
    pub fn run_blocking<T, E: OperationError>(
        &mut self,
        breaker: Option<Cow<'_, CircuitBreaker>>,
        operation: impl FnMut(Attempt) -> Result<T, E>,
        accept: impl Fn(&T) -> bool,
    ) -> Ending<T> {
        let ending = self.span().in_scope(|| self.drive_blocking(breaker, operation, accept));
        self.count(&ending);
        ending
    }

    fn drive_blocking<T, E: OperationError>(
        &mut self,
        mut breaker: Option<Cow<'_, CircuitBreaker>>,
        mut operation: impl FnMut(Attempt) -> Result<T, E>,
        accept: impl Fn(&T) -> bool,
    ) -> Ending<T> {
        let terms = self.terms;
        loop {
            let next = match breaker.as_deref().map(CircuitBreaker::try_acquire).transpose() {
                Err(open) => self.rejected(open),
                Ok(permit) => match terms.bulkhead.as_ref().map(Bulkhead::try_acquire).transpose() {
                    Err(full) => {
                        drop(permit);
                        self.no_room(full)
                    }
                    Ok(_room) => {
                        self.begun();
                        let attempt = self.attempt(self.limit());
                        let outcome = attempt.span().in_scope(|| operation(attempt)).map_err(OperationError::into_boxed);
                        match self.outcome(outcome, permit, &accept) {
                            Ok(value) => return Ending::Live(value),
                            Err(next) => next,
                        }
                    }
                },
            };
            match next {
                Next::Wait(delay) => self.guarding.clock.sleep_blocking(delay),
                Next::Switch(other) => breaker = other.map(Cow::Owned),
                Next::Again => {}
                Next::Cached(error) => return Ending::Cached(error),
                Next::Fallback(error) => return Ending::Fallback(error),
                Next::Failed(error) => return Ending::Failed(error),
            }
        }
    }

    fn outcome<T>(&mut self, outcome: Result<T, BoxError>, permit: Option<Permit<'_>>, accept: impl Fn(&T) -> bool) -> Result<T, Next> {
        match outcome {
            Ok(value) if accept(&value) => {
                if let Some(permit) = permit {
                    permit.success();
                }
                Ok(value)
            }
            Ok(_) => Err(self.failed(RejectedResult.into(), permit)),
            Err(error) => Err(self.failed(error, permit)),
        }
    }
}

/// Room in the bulkhead, if there is one; waiting for it ends with the deadline.
async fn room(terms: &Terms, time_left: Option<Duration>) -> Result<Option<BulkheadPermit<'_>>, BulkheadFull> {
    match &terms.bulkhead {
        None => Ok(None),
        Some(bulkhead) => bulkhead.acquire_within(time_left).await.map(Some),
    }
}

/// Makes one attempt, with its rivals where it is hedged.
async fn make<T, E, F>(
    guarding: &Guarding,
    terms: &Terms,
    attempt: Attempt,
    limit: Option<Duration>,
    operation: &mut impl FnMut(Attempt) -> F,
) -> Result<T, BoxError>
where
    E: OperationError,
    F: Future<Output = Result<T, E>>,
{
    let clock = &guarding.clock;
    let outcome = match &terms.hedge {
        None => within(limit, clock, operation(attempt)).await,
        Some(hedge) => {
            let number = attempt.number;
            let tell = |hedge| {
                let operation = || Arc::clone(&terms.name);
                guarding.events.emit(|| Event::Hedged { operation: operation(), attempt: number, hedge });
            };
            let rival = |hedge| operation(Attempt { hedge, ..attempt.clone() });
            within(limit, clock, hedge.race(rival, hedge.budget().or(terms.budget.as_ref()), clock, tell)).await
        }
    };
    outcome.map_err(|error| outcome_error(error, limit))
}

/// The error of an attempt: its own, or that it ran out of time.
pub fn outcome_error<E: OperationError>(error: Option<E>, limit: Option<Duration>) -> BoxError {
    error.map_or_else(|| AttemptTimeout { limit: limit.unwrap_or_default() }.into(), OperationError::into_boxed)
}

/// The outcome of an attempt that keeps to its limit of time; an error without a word where it did not.
pub async fn within<T, E>(
    limit: Option<Duration>,
    clock: &SharedClock,
    attempt: impl Future<Output = Result<T, E>>,
) -> Result<T, Option<E>> {
    let mut attempt = pin!(attempt);
    let mut timer = None;
    poll_fn(|context| match attempt.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(outcome.map_err(Some)),
        Poll::Pending => poll_limit(limit, clock, &mut timer, context).map(|()| Err(None)),
    })
    .await
}

/// Ready when the limit has passed since this was first asked. An attempt that is ready at once needs no timer, so it is made by then.
#[inline]
pub fn poll_limit(limit: Option<Duration>, clock: &SharedClock, timer: &mut Option<Sleep>, context: &mut Context<'_>) -> Poll<()> {
    match limit {
        None => Poll::Pending,
        Some(limit) => timer.get_or_insert_with(|| clock.sleep(limit)).as_mut().poll(context),
    }
}
