//! Explores the orders in which threads can meet in the breaker's gate and in the retry bucket.
//!
//! Both are lock-free atomics, where a test may miss the one wrong order. loom compiles these files and runs each model
//! in each order, with each value that a load may see.

#[path = "../../../host/core/src/budget/bucket.rs"]
mod bucket;
#[expect(dead_code, reason = "what needs no model")]
#[path = "../../../host/core/src/breaker/gate.rs"]
mod gate;

pub mod models;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

    loom::thread_local! {
        static NUMBER: std::cell::Cell<Option<usize>> = std::cell::Cell::new(None);
    }

    /// The model's number of this thread. Each thread has its own cell, except while it ends.
    pub(crate) fn thread_number() -> Option<usize> {
        NUMBER.with(std::cell::Cell::get)
    }

    pub(crate) fn number_thread(number: usize) {
        NUMBER.with(|own| own.set(Some(number)));
    }
}

mod clock {
    pub(crate) type Instant = u64;

    pub(crate) trait Clock {
        fn now(&self) -> Instant;
        fn coarse(&self) -> Instant;
    }
}

mod types {
    pub(crate) use upright_logic::breaker::Admission;
}
