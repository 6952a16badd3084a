//! What is shared between threads without a lock: atomics, and the number of the thread.
//!
//! The gate and the budget take their atomics from here and not from the standard library, so that a model checker can put its own in their place
//! (`tests/interleavings`) and walk through every order in which threads can meet.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;

/// A small number that stays the same on this thread; threads that start after one another have different ones.
pub(crate) fn thread_number() -> usize {
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}
