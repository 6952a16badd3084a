//! Drives a run: calls the operation, waits, and does what each step says.

use super::context::OperationContext;
use super::run::{Attempt, Run, Step};
use super::settings::{Runtime, Settings};
use crate::clock::{SharedClock, Sleep};
use crate::error::{AttemptTimeout, BoxError, Error, RejectedResult};
use crate::events::Event;
use crate::fault::OperationError;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tracing::Instrument;

/// How an operation ended, short of running what takes its place.
#[derive(Debug)]
pub enum Ending<T> {
    /// It succeeded.
    Live(T),
    /// A cached answer is to be served.
    Cached(Error),
    /// The fallback is to be run.
    Fallback(Error),
    /// Nothing can be done.
    Failed(Error),
}

/// How a driver waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Through the clock's timers. Attempts have time limits and hedge attempts, and wait in a bulkhead's queue.
    Async,
    /// By blocking the thread: the future of a drive never waits. Attempts cannot be stopped from outside and are not
    /// hedged, and a full bulkhead rejects at once.
    Blocking,
}

/// Drives a run to its end. It begins with `first`, where an attempt has failed already. Dropping the future ends the
/// operation; nothing stays counted.
pub async fn drive<T, E, F, C>(
    run: &mut Run<C>,
    first: Option<(Step, BoxError)>,
    operation: impl FnMut(Attempt) -> F,
    accept: impl Fn(&T) -> bool,
    mode: Mode,
) -> Ending<T>
where
    E: OperationError,
    F: Future<Output = Result<T, E>>,
    C: OperationContext,
{
    let span = tracing::info_span!("operation", operation = &*run.settings.name);
    let ending = steps(run, first, operation, accept, mode).instrument(span).await;
    #[cfg(feature = "metrics")]
    crate::events::metrics::ended(&run.settings.name, &ending, run.attempts(), run.elapsed());
    ending
}

async fn steps<T, E, F, C>(
    run: &mut Run<C>,
    first: Option<(Step, BoxError)>,
    mut operation: impl FnMut(Attempt) -> F,
    accept: impl Fn(&T) -> bool,
    mode: Mode,
) -> Ending<T>
where
    E: OperationError,
    F: Future<Output = Result<T, E>>,
    C: OperationContext,
{
    let (mut step, mut last) = match first {
        Some((step, error)) => (step, Some(error)),
        None => (next(run, mode).await, None),
    };
    loop {
        step = match step {
            Step::Attempt(attempt) => {
                let error = match make(run, attempt, &mut operation, mode).await {
                    Ok(value) if accept(&value) => {
                        run.succeeded();
                        return Ending::Live(value);
                    }
                    Ok(_) => RejectedResult.into(),
                    Err(error) => error,
                };
                let facts = run.facts(&*error);
                last = Some(error);
                run.failed(facts)
            }
            Step::Wait(delay) => {
                match mode {
                    Mode::Async => run.runtime.clock.sleep(delay).await,
                    Mode::Blocking => run.runtime.clock.sleep_blocking(delay),
                }
                next(run, mode).await
            }
            Step::Again => next(run, mode).await,
            Step::ServeCached(end) => return Ending::Cached(end.into_error(last)),
            Step::FallBack(end) => return Ending::Fallback(end.into_error(last)),
            Step::Fail(end) => return Ending::Failed(end.into_error(last)),
        };
    }
}

async fn next<C: OperationContext>(run: &mut Run<C>, mode: Mode) -> Step {
    match mode {
        Mode::Async => run.admit_in_turn().await,
        Mode::Blocking => run.admit(),
    }
}

/// Makes one attempt, with its hedge attempts.
async fn make<T, E, F, C>(run: &mut Run<C>, attempt: Attempt, operation: &mut impl FnMut(Attempt) -> F, mode: Mode) -> Result<T, BoxError>
where
    E: OperationError,
    F: Future<Output = Result<T, E>>,
    C: OperationContext,
{
    let span = attempt.span();
    if mode == Mode::Blocking {
        run.begun();
        // The call is over when the operation has given its future, which is ready.
        let made = span.in_scope(|| operation(attempt));
        return made.instrument(span).await.map_err(OperationError::into_boxed);
    }
    let Run { runtime, settings, began, .. } = run;
    let mut made = pin!(limited(runtime, settings, attempt, operation).instrument(span));
    poll_fn(|context| {
        let polled = made.as_mut().poll(context);
        // An operation that succeeds at once needs no clock.
        if polled.is_pending() && began.is_none() {
            *began = Some(runtime.clock.coarse());
        }
        polled
    })
    .await
}

async fn limited<T, E, F>(
    runtime: &Runtime,
    settings: &Settings,
    attempt: Attempt,
    operation: &mut impl FnMut(Attempt) -> F,
) -> Result<T, BoxError>
where
    E: OperationError,
    F: Future<Output = Result<T, E>>,
{
    let (clock, limit) = (&runtime.clock, attempt.time_left);
    let outcome = match &settings.hedge {
        None => within(limit, clock, operation(attempt)).await,
        Some(hedge) => {
            let number = attempt.number;
            let hedged = |hedge| {
                runtime.events.emit(|| Event::Hedged { operation: Arc::clone(&settings.name), attempt: number, hedge });
            };
            let call = |hedge| operation(Attempt { hedge, ..attempt.clone() });
            within(limit, clock, hedge.race(call, hedge.budget().or(settings.budget.as_ref()), clock, hedged)).await
        }
    };
    outcome.map_err(|error| outcome_error(error, limit))
}

/// The error of an attempt: its own, or that it ran out of time.
pub fn outcome_error<E: OperationError>(error: Option<E>, limit: Option<Duration>) -> BoxError {
    error.map_or_else(|| AttemptTimeout { limit: limit.unwrap_or_default() }.into(), OperationError::into_boxed)
}

/// The outcome of a future that keeps to its time limit; `Err(None)` where it did not.
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

/// Ready when the limit has passed since this was first polled. A future that is ready at once needs no timer.
#[inline]
pub fn poll_limit(limit: Option<Duration>, clock: &SharedClock, timer: &mut Option<Sleep>, context: &mut Context<'_>) -> Poll<()> {
    match limit {
        None => Poll::Pending,
        Some(limit) => timer.get_or_insert_with(|| clock.sleep(limit)).as_mut().poll(context),
    }
}
