//! The attributes' demands on a function, each with the compiler's message where one is not met.

use crate::error::{ConfigurationError, Error};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use upright_core::fault::OperationError;

/// The return type of a guarded function: a `Result`.
#[diagnostic::on_unimplemented(
    message = "a guarded function must return a `Result`, and `{Self}` is none",
    label = "not a `Result`",
    note = "`#[with_retry]` and `#[with_circuit_breaker]` tell a failure from a success by the function's `Result`"
)]
pub trait Outcome: Sized {
    /// The value of a success.
    type Value;
    /// Its error.
    type Error: GuardedError;
    /// As a `Result`.
    ///
    /// # Errors
    /// If it is an error.
    fn into_result(self) -> Result<Self::Value, Self::Error>;
    /// The guard's outcome as the function's.
    fn ended(ended: Result<Self::Value, Error>) -> Self;
}

impl<T, E: GuardedError> Outcome for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }

    fn ended(ended: Result<T, Error>) -> Self {
        ended.map_err(E::from)
    }
}

/// The error of a guarded function: one that operations may return, and that can hold what the guard has to say.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a guarded function",
    label = "this function's error is `{Self}`",
    note = "the error must be `From<upright::Error>`, so that it can say how the guard ended, and `Into<Box<dyn Error + Send + Sync>>`, so that it can be classified",
    note = "these are: `anyhow::Error`, `Box<dyn Error + Send + Sync>`, `upright::Error`, and an enum with a case such as `Guarded(#[from] upright::Error)`"
)]
pub trait GuardedError: OperationError + From<Error> {}

#[diagnostic::do_not_recommend]
impl<E: OperationError + From<Error>> GuardedError for E {}

/// An argument of which each attempt, or the fallback, gets a clone.
#[diagnostic::on_unimplemented(
    message = "this argument is needed again, and `{Self}` cannot be cloned",
    label = "`{Self}` is not `Clone`",
    note = "each attempt of `#[with_retry]`, and a fallback, gets a clone of every argument that is passed by value: take it by reference, or make it `Clone`"
)]
pub trait Repeated: Clone {}

#[diagnostic::do_not_recommend]
impl<T: Clone> Repeated for T {}

/// Lets the compiler look at an argument; does nothing.
pub fn repeated<T: Repeated>(_argument: &T) {}

/// The argument again.
pub fn again<T: Clone>(argument: &T) -> T {
    argument.clone()
}

/// Nothing. Returning what might be in it, an async block tells the compiler what it returns.
pub fn returning<R>() -> Option<R> {
    None
}

/// A guard of type `G`, or something that holds one.
#[diagnostic::on_unimplemented(
    message = "expected a `{G}`, and `{Self}` is none",
    label = "not a `{G}`",
    note = "it may stand behind a reference, an `Arc` or a `LazyLock`, and be the `Result` of building it"
)]
pub trait Given<G> {
    /// A clone of it, which shares its state.
    ///
    /// # Errors
    /// It could not be built.
    fn given(&self) -> Result<G, ConfigurationError>;
}

impl Given<Self> for crate::RetryStrategy {
    fn given(&self) -> Result<Self, ConfigurationError> {
        Ok(self.clone())
    }
}

impl Given<Self> for crate::CircuitBreaker {
    fn given(&self) -> Result<Self, ConfigurationError> {
        Ok(self.clone())
    }
}

impl<G, S: Given<G>> Given<G> for Result<S, ConfigurationError> {
    fn given(&self) -> Result<G, ConfigurationError> {
        self.as_ref().map_err(Clone::clone)?.given()
    }
}

impl<G, S: Given<G> + ?Sized> Given<G> for &S {
    fn given(&self) -> Result<G, ConfigurationError> {
        (**self).given()
    }
}

impl<G, S: Given<G> + ?Sized> Given<G> for Arc<S> {
    fn given(&self) -> Result<G, ConfigurationError> {
        (**self).given()
    }
}

impl<G, S: Given<G>, F: FnOnce() -> S> Given<G> for LazyLock<S, F> {
    fn given(&self) -> Result<G, ConfigurationError> {
        self.deref().given()
    }
}

/// The guard that `existing` is or holds.
///
/// # Errors
/// It could not be built.
pub fn given<G>(existing: &impl Given<G>) -> Result<G, ConfigurationError> {
    existing.given()
}
