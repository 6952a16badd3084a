//! Serves the attributes' expansions. Only they may rely on it: it changes with them.
//!
//! Expanded code has no reader, stands in a crate with unknown lints, and its errors reach somebody who did not write
//! it. So little is expanded, and the bounds here carry the compiler's messages.

mod bounds;
mod seen;
mod settings;

pub use crate::{CircuitBreaker, RetryStrategy};
pub use bounds::{Given, GuardedError, Outcome, Repeated, again, given, repeated, returning};
pub use seen::{Errors, Seen, SeenInside, SeenItself, Unseen};
pub use settings::{BreakerSettings, RetrySettings, Seconds};

use crate::error::{ConfigurationError, Error, Failure};
use crate::types::Reason;
use std::sync::LazyLock;
use upright_core::fault::OperationError;

/// A guard, or why its settings cannot be used.
pub type Guard<'a, G> = Result<&'a G, &'a ConfigurationError>;

/// The one guard of a function, made at its first call.
pub struct Shared<G>(LazyLock<Result<G, ConfigurationError>>);

impl<G> Shared<G> {
    /// One that is made like this.
    pub const fn new(make: fn() -> Result<G, ConfigurationError>) -> Self {
        Self(LazyLock::new(make))
    }

    /// The guard.
    ///
    /// # Errors
    /// Its settings cannot be used.
    pub fn get(&'static self) -> Guard<'static, G> {
        LazyLock::force(&self.0).as_ref()
    }
}

/// Attempts until one succeeds or the strategy gives up.
pub async fn retry<R, F>(strategy: Guard<'_, RetryStrategy>, attempt: impl FnOnce() -> F + Clone) -> R
where
    R: Outcome,
    F: Future<Output = R>,
{
    match strategy {
        // The closure owns the attempt: were it a reference, callers' futures could be sent to another thread only if
        // arguments were `Sync`.
        Ok(strategy) => R::ended(strategy.execute(move || result_of(attempt.clone()())).await),
        Err(unusable) => R::ended(Err(unusable.clone().into())),
    }
}

/// [`retry`] for a function that blocks.
pub fn retry_blocking<R: Outcome>(strategy: Guard<'_, RetryStrategy>, attempt: impl FnOnce() -> R + Clone) -> R {
    match strategy {
        Ok(strategy) => R::ended(strategy.execute_blocking(|| attempt.clone()().into_result())),
        Err(unusable) => R::ended(Err(unusable.clone().into())),
    }
}

/// [`retry`], and the fallback when the strategy has given up.
pub async fn retry_or_fallback<R, F, E, H>(
    strategy: Guard<'_, RetryStrategy>,
    attempt: impl FnOnce() -> F + Clone,
    fallback: impl FnOnce() -> H,
) -> R
where
    R: Outcome,
    F: Future<Output = R>,
    E: OperationError,
    H: Future<Output = Result<R::Value, E>>,
{
    match strategy {
        Ok(strategy) => R::ended(strategy.execute_with_fallback(move || result_of(attempt.clone()()), fallback).await),
        Err(unusable) => R::ended(Err(unusable.clone().into())),
    }
}

/// [`retry_or_fallback`] for functions that block.
pub fn retry_or_fallback_blocking<R: Outcome, E: OperationError>(
    strategy: Guard<'_, RetryStrategy>,
    attempt: impl FnOnce() -> R + Clone,
    fallback: impl FnOnce() -> Result<R::Value, E>,
) -> R {
    match strategy {
        Ok(strategy) => R::ended(strategy.execute_with_fallback_blocking(|| attempt.clone()().into_result(), fallback)),
        Err(unusable) => R::ended(Err(unusable.clone().into())),
    }
}

/// Calls if the breaker lets it. The function's own error comes out as it went in, where it can be seen without being
/// taken.
pub async fn call<R, F>(breaker: Guard<'_, CircuitBreaker>, seen: Seen<R>, attempt: impl FnOnce() -> F) -> R
where
    R: Outcome,
    F: Future<Output = R>,
{
    let breaker = match breaker {
        Ok(breaker) => breaker,
        Err(unusable) => return R::ended(Err(unusable.clone().into())),
    };
    let Some(error_of) = seen.0 else { return R::ended(breaker.call(|| result_of(attempt())).await) };
    let permit = match breaker.try_acquire() {
        Ok(permit) => permit,
        Err(open) => return R::ended(Err(open.into())),
    };
    let outcome = attempt().await;
    breaker.observe(permit, error_of(&outcome));
    outcome
}

/// [`call`] for a function that blocks.
pub fn call_blocking<R: Outcome>(breaker: Guard<'_, CircuitBreaker>, seen: Seen<R>, attempt: impl FnOnce() -> R) -> R {
    let breaker = match breaker {
        Ok(breaker) => breaker,
        Err(unusable) => return R::ended(Err(unusable.clone().into())),
    };
    let Some(error_of) = seen.0 else { return R::ended(breaker.call_blocking(|| attempt().into_result())) };
    let permit = match breaker.try_acquire() {
        Ok(permit) => permit,
        Err(open) => return R::ended(Err(open.into())),
    };
    let outcome = attempt();
    breaker.observe(permit, error_of(&outcome));
    outcome
}

/// Calls if the breaker lets it, and runs the fallback if it does not or the call fails.
pub async fn call_or_fallback<R, F, E, H>(
    breaker: Guard<'_, CircuitBreaker>,
    attempt: impl FnOnce() -> F,
    fallback: impl FnOnce() -> H,
) -> R
where
    R: Outcome,
    F: Future<Output = R>,
    E: OperationError,
    H: Future<Output = Result<R::Value, E>>,
{
    let breaker = match breaker {
        Ok(breaker) => breaker,
        Err(unusable) => return R::ended(Err(unusable.clone().into())),
    };
    let first = match breaker.call(|| result_of(attempt())).await {
        Err(first) if !was_cancelled(&first) => first,
        ended => return R::ended(ended),
    };
    R::ended(fallback().await.map_err(|failed| both(failed, first)))
}

/// [`call_or_fallback`] for functions that block.
pub fn call_or_fallback_blocking<R: Outcome, E: OperationError>(
    breaker: Guard<'_, CircuitBreaker>,
    attempt: impl FnOnce() -> R,
    fallback: impl FnOnce() -> Result<R::Value, E>,
) -> R {
    let breaker = match breaker {
        Ok(breaker) => breaker,
        Err(unusable) => return R::ended(Err(unusable.clone().into())),
    };
    let first = match breaker.call_blocking(|| attempt().into_result()) {
        Err(first) if !was_cancelled(&first) => first,
        ended => return R::ended(ended),
    };
    R::ended(fallback().map_err(|failed| both(failed, first)))
}

async fn result_of<R: Outcome>(outcome: impl Future<Output = R>) -> Result<R::Value, R::Error> {
    outcome.await.into_result()
}

/// Nobody waits for the answer any more; the policy runs no fallback then either.
fn was_cancelled(error: &Error) -> bool {
    error.failure().is_some_and(|failure: &Failure| failure.reason == Reason::Cancelled)
}

fn both(failed: impl OperationError, first: Error) -> Error {
    Error::FallbackFailed { fallback: failed.into_boxed(), first: Box::new(first) }
}
