//! What is shared between threads without a lock: atomics, and numbers for threads.
//!
//! The gate and the budget take their atomics from here and not from the standard library, so that a model checker can put its own in their place
//! (`tests/interleavings`) and walk through the orders in which threads can meet.

#[allow(unreachable_pub)]
pub use std::sync::atomic::{AtomicU64, Ordering};

use std::cell::{Cell, OnceCell};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Numbers that no living thread has, and the next that none ever had.
static FREE: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));

fn free() -> MutexGuard<'static, (Vec<usize>, usize)> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not asked for yet.
const UNKNOWN: usize = usize::MAX;
/// The thread is ending, and its number may be another's already.
const GIVEN_BACK: usize = usize::MAX - 1;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static HELD: OnceCell<Held> = const { OnceCell::new() };
}

/// Gives the number back when the thread ends.
struct Held(usize);

impl Drop for Held {
    fn drop(&mut self) {
        NUMBER.set(GIVEN_BACK);
        free().0.push(self.0);
    }
}

/// A small number that is this thread's alone while it lives; a later thread that gets it sees all that this one did. None while the thread ends.
#[inline]
pub fn thread_number() -> Option<usize> {
    let number = NUMBER.get();
    if number < GIVEN_BACK { Some(number) } else { first_number(number) }
}

#[cold]
fn first_number(seen: usize) -> Option<usize> {
    if seen == GIVEN_BACK {
        return None;
    }
    let number = {
        let mut free = free();
        let next = free.1;
        free.0.pop().unwrap_or_else(|| {
            free.1 += 1;
            next
        })
    };
    NUMBER.set(number);
    // Where it cannot be held any more, the thread is ending and keeps it for ever.
    let _ = HELD.try_with(|held| held.set(Held(number)).is_ok());
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn living_threads_have_different_numbers_and_each_keeps_its_own() {
        let barrier = std::sync::Barrier::new(8);
        let number = || {
            barrier.wait();
            let number = thread_number();
            barrier.wait();
            assert_eq!(thread_number(), number);
            number
        };
        let mut numbers = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(number)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect::<Vec<_>>()
        });
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 8);
    }

    #[test]
    fn the_numbers_of_ended_threads_are_used_again() {
        let most = (0..1000).filter_map(|_| std::thread::spawn(thread_number).join().unwrap()).max();
        assert!(most < Some(500), "{most:?}");
    }
}
