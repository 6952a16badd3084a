//! Plans injections for certain calls.

use super::failure::InjectedFailure;
use crate::types::Fault;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

/// An effect on one call. Failing and hanging calls do not run.
pub enum Injection<E> {
    /// Runs unchanged.
    Pass,
    /// Fails; see [`Injection::fail`] and [`Injection::fail_with`].
    Fail(Failing<E>),
    /// Runs after this delay.
    Delay(Duration),
    /// Never ends, until its future is dropped.
    Hang,
}

/// Makes the error of an [`Injection::Fail`].
pub struct Failing<E>(pub(super) Arc<dyn Fn(u64) -> E + Send + Sync>);

impl<E> Injection<E> {
    /// Fails with your error.
    pub fn fail(error: impl Fn() -> E + Send + Sync + 'static) -> Self {
        Self::Fail(Failing(Arc::new(move |_| error())))
    }

    /// Fails with an [`InjectedFailure`].
    pub fn fail_with(fault: Fault) -> Self
    where
        E: From<InjectedFailure> + 'static,
    {
        Self::Fail(Failing(Arc::new(move |call| InjectedFailure { call, known: fault.clone().into() }.into())))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Delay(_) => "delay",
            Self::Hang => "hang",
        }
    }
}

impl<E> Clone for Injection<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Pass => Self::Pass,
            Self::Fail(failing) => Self::Fail(Failing(Arc::clone(&failing.0))),
            Self::Delay(span) => Self::Delay(*span),
            Self::Hang => Self::Hang,
        }
    }
}

impl<E> fmt::Debug for Injection<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(span) => write!(formatter, "delay by {span:?}"),
            _ => formatter.write_str(self.name()),
        }
    }
}

/// Injections by call number, from 1. The first entry for a call wins.
///
/// ```
/// use std::time::Duration;
/// use upright::chaos::{Chaos, Injection, Plan, transient};
///
/// # fn main() -> Result<(), upright::error::ConfigurationError> {
/// // Down for calls 3 to 5, slow for the one after it, and the first two are spared whatever the probabilities say.
/// let plan = Plan::new()
///     .calls(..3, Injection::Pass)
///     .calls(3..6, Injection::fail_with(transient()))
///     .call(6, Injection::Delay(Duration::from_secs(2)));
/// let chaos = Chaos::<std::io::Error>::builder().seed(42).fail_with(0.1, transient()).plan(plan).build()?;
/// # Ok(()) }
/// ```
///
/// Ranges of one type fit in an array: `.plan([(3..6, Injection::Hang), (8..9, Injection::Pass)])`.
pub struct Plan<E> {
    entries: Vec<Entry<E>>,
}

struct Entry<E> {
    first: u64,
    last: u64,
    injection: Injection<E>,
}

impl<E> Default for Plan<E> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<E> fmt::Debug for Plan<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.entries.iter().map(|entry| (entry.first..=entry.last, &entry.injection))).finish()
    }
}

impl<E> Plan<E> {
    /// An empty plan.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plans for one call number, from 1.
    #[must_use]
    pub fn call(self, number: u64, injection: Injection<E>) -> Self {
        self.calls(number..=number, injection)
    }

    /// Plans for call numbers, from 1. Building refuses a range without calls.
    #[must_use]
    pub fn calls(mut self, numbers: impl RangeBounds<u64>, injection: Injection<E>) -> Self {
        let first = match numbers.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 1,
        };
        let last = match numbers.end_bound() {
            Bound::Included(last) => *last,
            Bound::Excluded(after) => after.saturating_sub(1),
            Bound::Unbounded => u64::MAX,
        };
        self.entries.push(Entry { first, last, injection });
        self
    }

    pub(super) fn at(&self, call: u64) -> Option<&Injection<E>> {
        self.entries.iter().find(|entry| (entry.first..=entry.last).contains(&call)).map(|entry| &entry.injection)
    }

    pub(super) fn append(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    pub(super) fn without_calls(&self) -> Option<(u64, u64)> {
        let numbers = |entry: &Entry<E>| (entry.first, entry.last);
        self.entries.iter().map(numbers).find(|(first, last)| *first == 0 || first > last)
    }

    pub(super) fn injections(&self) -> impl Iterator<Item = &Injection<E>> {
        self.entries.iter().map(|entry| &entry.injection)
    }
}

impl<E, R: RangeBounds<u64>, const N: usize> From<[(R, Injection<E>); N]> for Plan<E> {
    fn from(entries: [(R, Injection<E>); N]) -> Self {
        entries.into_iter().fold(Self::new(), |plan, (numbers, injection)| plan.calls(numbers, injection))
    }
}
