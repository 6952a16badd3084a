//! Walks through the orders in which threads can meet in the breaker's gate and in the bucket of retries.
//!
//! Both are a few atomics without a lock, and both are wrong in ways that no run of a test shows if one order is forgotten. So loom compiles the
//! same files with atomics of its own and runs each model once for each order of its steps, with every value that a load may see by the memory
//! model. A model is small, two or three threads with a step or two each, since orders multiply.

#[path = "../../../host/core/src/budget/bucket.rs"]
mod bucket;
#[expect(dead_code, reason = "what needs no model")]
#[path = "../../../host/core/src/breaker/gate.rs"]
mod gate;

pub mod models;

/// What the library has in its `sync`.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

    loom::thread_local! {
        static NUMBER: std::cell::Cell<Option<usize>> = std::cell::Cell::new(None);
    }

    /// The number that the model gave this thread; none shares a cell with others, as a thread that is ending does.
    pub(crate) fn thread_number() -> Option<usize> {
        NUMBER.with(std::cell::Cell::get)
    }

    /// Numbers this thread.
    pub(crate) fn number_thread(number: usize) {
        NUMBER.with(|own| own.set(Some(number)));
    }
}

/// As much of the library's `clock` as the gate needs.
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
