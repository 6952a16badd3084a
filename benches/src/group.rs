//! Groups of cases measured together, with their targets.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Makes this many calls in a row.
pub type Worker = Box<dyn FnMut(u64) + Send>;

/// A measured case.
pub struct Case {
    /// Unique name in its group.
    pub name: &'static str,
    make: Box<dyn Fn() -> Worker + Send + Sync>,
    check: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Case {
    /// `make` makes a caller for each thread; layers and breakers are built before and shared. `right` checks an
    /// answer.
    pub fn new<C, R>(
        name: &'static str,
        make: impl Fn() -> C + Clone + Send + Sync + 'static,
        right: impl Fn(&R) -> bool + Send + Sync + 'static,
    ) -> Self
    where
        C: FnMut() -> R + Send + 'static,
    {
        let make_worker = make.clone();
        Self {
            name,
            make: Box::new(move || {
                let mut call = make_worker();
                Box::new(move |calls| {
                    for _ in 0..calls {
                        // By reference, so that nothing is copied.
                        black_box(&call());
                    }
                })
            }),
            check: Box::new(move || right(&make()())),
        }
    }

    /// A worker for one thread.
    pub fn worker(&self) -> Worker {
        (self.make)()
    }

    /// Whether a call gives the right answer: a breaker opened by mistake is fast.
    pub fn is_right(&self) -> bool {
        (self.check)()
    }
}

/// Limit for a case.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At most `at_most` times the peer's time.
    TimesOf {
        /// The case.
        case: &'static str,
        /// The peer.
        peer: &'static str,
        /// The factor.
        at_most: f64,
    },
    /// Maximum nanoseconds.
    Nanoseconds {
        /// The case.
        case: &'static str,
        /// The limit.
        at_most: f64,
    },
    /// No allocation.
    NoAllocation {
        /// The case.
        case: &'static str,
    },
}

/// Cases measured in common rounds.
pub struct Group {
    /// Short name.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Purpose and method, in one paragraph.
    pub note: &'static str,
    /// Number of calling threads.
    pub threads: usize,
    /// Case that the table compares with.
    pub reference: &'static str,
    /// The cases.
    pub cases: Vec<Case>,
    /// The targets.
    pub targets: Vec<Target>,
}

/// Polls a ready future once. A runtime's `block_on` would cost more than the case.
#[inline(always)]
pub fn ready<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Whether it succeeded.
pub fn succeeded<T, E>(answer: &Poll<Result<T, E>>) -> bool {
    matches!(answer, Poll::Ready(Ok(_)))
}

/// Whether it failed.
pub fn failed<T, E>(answer: &Poll<Result<T, E>>) -> bool {
    matches!(answer, Poll::Ready(Err(_)))
}
