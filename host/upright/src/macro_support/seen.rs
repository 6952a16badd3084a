//! Looks at a function's error without taking it.
//!
//! A breaker must see the error to classify it, and the caller is to get it as the function returned it, so it cannot
//! go into a box. How it is seen depends on its type: most are a [`std::error::Error`]; `anyhow::Error` and `Box<dyn
//! Error + Send + Sync>` are none but hold one. No bound says "either", but method lookup does: it takes the first of
//! the traits below, in the order of references, that the type has.

use std::error::Error;
use std::marker::PhantomData;
use std::ops::Deref;

type Look<R> = fn(&R) -> Option<&(dyn Error + 'static)>;

/// How the error in an `R` is seen; nothing if it cannot be.
pub struct Seen<R>(pub(super) Option<Look<R>>);

/// The error type of `R`.
pub struct Errors<R>(PhantomData<fn() -> R>);

impl<R> Errors<R> {
    /// Of `R`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// The error is one.
pub trait SeenItself<R> {
    /// How it is seen.
    fn view(&self) -> Seen<R>;
}

impl<T, E: Error + 'static> SeenItself<Result<T, E>> for &&Errors<Result<T, E>> {
    fn view(&self) -> Seen<Result<T, E>> {
        Seen(Some(|outcome| outcome.as_ref().err().map(|error| error as _)))
    }
}

/// The error holds one.
pub trait SeenInside<R> {
    /// How it is seen.
    fn view(&self) -> Seen<R>;
}

impl<T, E: Deref<Target = dyn Error + Send + Sync + 'static>> SeenInside<Result<T, E>> for &Errors<Result<T, E>> {
    fn view(&self) -> Seen<Result<T, E>> {
        Seen(Some(|outcome| outcome.as_ref().err().map(|error| &**error as _)))
    }
}

/// Neither is known.
pub trait Unseen<R> {
    /// Nothing.
    fn view(&self) -> Seen<R>;
}

impl<R> Unseen<R> for Errors<R> {
    fn view(&self) -> Seen<R> {
        Seen(None)
    }
}
