//! What is measured together: cases beside each other, and the targets that they must keep.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Makes so many calls, one after the other.
pub type Worker = Box<dyn FnMut(u64) + Send>;

/// One thing that is measured.
pub struct Case {
    /// Its name, unique in its group.
    pub name: &'static str,
    make: Box<dyn Fn() -> Worker + Send + Sync>,
    check: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Case {
    /// A case of which `make` makes one caller for each thread; a caller makes one call each time. Everything that is built once (layers,
    /// breakers) is built before and shared by the callers. `right` says whether an answer is the one that is to be measured.
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
                        // By reference: nobody copies an answer before looking at it.
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

    /// Whether a call answers what is to be measured: a breaker that has opened by mistake is fast, and no success.
    pub fn is_right(&self) -> bool {
        (self.check)()
    }
}

/// What a case must keep.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// It takes at most `at_most` times what `peer` takes.
    TimesOf {
        /// The case.
        case: &'static str,
        /// What it is held against.
        peer: &'static str,
        /// The factor.
        at_most: f64,
    },
    /// It takes at most so many nanoseconds.
    Nanoseconds {
        /// The case.
        case: &'static str,
        /// The limit.
        at_most: f64,
    },
    /// It allocates nothing.
    NoAllocation {
        /// The case.
        case: &'static str,
    },
}

/// Cases that are measured in the same rounds.
pub struct Group {
    /// Its short name, for choosing it.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What it shows and how the cases are made alike; one paragraph.
    pub note: &'static str,
    /// So many threads make calls at once.
    pub threads: usize,
    /// The case that all are held against in the table.
    pub reference: &'static str,
    /// The cases.
    pub cases: Vec<Case>,
    /// The targets.
    pub targets: Vec<Target>,
}

/// What a future answers that is ready at once: one poll, the same for all peers. A runtime's `block_on` costs more than what is measured here.
#[inline(always)]
pub fn ready<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Whether the answer is there and a success.
pub fn succeeded<T, E>(answer: &Poll<Result<T, E>>) -> bool {
    matches!(answer, Poll::Ready(Ok(_)))
}

/// Whether the answer is there and an error.
pub fn failed<T, E>(answer: &Poll<Result<T, E>>) -> bool {
    matches!(answer, Poll::Ready(Err(_)))
}
