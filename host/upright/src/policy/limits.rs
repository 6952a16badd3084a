//! What one decision may use: time and memory.
//!
//! Time means time of its thread on a processor. A machine that runs a model has no idle core: a thread can stand still for many milliseconds
//! in the middle of a decision, and a policy must not be blamed for that. Where the system cannot tell, time on the clock counts.

use super::engine::{Runtime, TICK};
use super::error::PolicyError;
use std::time::Duration;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

/// How long a decision may take.
pub(crate) const DECISION_LIMIT: Duration = Duration::from_millis(5);

/// How much memory an instance may have, in bytes.
pub(crate) const MEMORY_LIMIT: usize = 16 << 20;

/// How many elements a table may have.
const TABLE_LIMIT: usize = 100_000;

/// So many ticks pass unseen: all decisions of a sound policy end within them, and the processor's time is not asked for.
const UNSEEN_TICKS: u32 = 2;

/// What a store's decisions have used.
#[derive(Default)]
pub(crate) struct Limits {
    /// What the guest was refused, since it can only show that as `unreachable`.
    refused: Option<usize>,
    /// Bytes of all its memories.
    memory: usize,
    patience: Patience,
}

/// A store in which decisions can be made, one after the other.
pub(crate) fn store(runtime: &Runtime) -> Store<Limits> {
    let mut store = Store::new(&runtime.engine, Limits::default());
    store.limiter(|limits| limits);
    store.epoch_deadline_callback(|mut context| {
        let goes_on = context.data_mut().patience.goes_on(time_of_this_thread());
        Ok(if goes_on { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
    });
    store
}

/// Begins a decision.
pub(crate) fn begin(store: &mut Store<Limits>) {
    let limits = store.data_mut();
    limits.patience = Patience::default();
    limits.refused = None;
    store.set_epoch_deadline(UNSEEN_TICKS.into());
}

/// Why a decision failed.
pub(crate) fn failure(function: &'static str, store: &Store<Limits>, error: &wasmtime::Error) -> PolicyError {
    if let Some(wanted) = store.data().refused {
        return PolicyError::OutOfMemory { function, wanted, limit: MEMORY_LIMIT };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => PolicyError::TimedOut { function, limit: DECISION_LIMIT },
        Some(trap) => PolicyError::Trapped { function, trap: trap.to_string() },
        None => PolicyError::Trapped { function, trap: super::loaded::one_line(error) },
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let all = self.memory.saturating_sub(current).saturating_add(desired);
        let fits = all <= MEMORY_LIMIT;
        if fits {
            self.memory = all;
        } else {
            self.refused = Some(all);
        }
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_LIMIT)
    }

    // A component of one module has a handful of each, with the adapters around it.
    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        4
    }
}

/// How much longer a decision may go on.
#[derive(Default)]
struct Patience {
    /// The thread's time when it was first looked at, within the decision.
    first: Option<Duration>,
}

impl Patience {
    /// Whether a decision may go on, now that its thread has had so much time.
    fn goes_on(&mut self, time: Duration) -> bool {
        let first = *self.first.get_or_insert(time);
        time.saturating_sub(first) < DECISION_LIMIT.saturating_sub(TICK * UNSEEN_TICKS)
    }
}

/// Time that this thread was given by a processor; only differences mean anything.
#[cfg(unix)]
fn time_of_this_thread() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(unix))]
fn time_of_this_thread() -> Duration {
    Duration::from_nanos(crate::clock::Clock::now(&crate::clock::SystemClock))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_decision_whose_thread_stands_still_is_not_blamed_for_it() {
        let mut patience = Patience::default();
        assert!((0..10_000).all(|_| patience.goes_on(70 * MILLISECOND)));
    }

    #[test]
    fn a_decision_that_keeps_its_thread_busy_is_ended_at_its_limit() {
        let mut patience = Patience::default();
        let ended = (0..).find(|millisecond| !patience.goes_on(MILLISECOND * *millisecond));
        assert_eq!(ended.map(|millisecond| MILLISECOND * (millisecond + UNSEEN_TICKS)), Some(DECISION_LIMIT));
    }

    #[test]
    fn the_time_of_a_thread_goes_on_while_it_works() {
        let before = time_of_this_thread();
        while time_of_this_thread() == before {
            std::hint::black_box(0);
        }
        assert!(time_of_this_thread() > before);
    }
}
