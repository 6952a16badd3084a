//! Shares state without locks.
//!
//! Gate and budget import atomics here, so that a model checker (`tests/interleavings`) can replace them and explore
//! threads' orders.

#[allow(unreachable_pub)]
pub use std::sync::atomic::{AtomicU64, Ordering};

use std::cell::{Cell, OnceCell};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ended threads' numbers; the next unused number.
static FREE: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));

fn free() -> MutexGuard<'static, (Vec<usize>, usize)> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

const UNKNOWN: usize = usize::MAX;
/// The thread is ending; another may have its number.
const GIVEN_BACK: usize = usize::MAX - 1;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static HELD: OnceCell<Held> = const { OnceCell::new() };
}

struct Held(usize);

impl Drop for Held {
    fn drop(&mut self) {
        NUMBER.set(GIVEN_BACK);
        free().0.push(self.0);
    }
}

/// A small number unique among living threads; `None` while ending. A later thread with it sees this one's writes.
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
    // Fails while the thread ends; it then keeps the number.
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
