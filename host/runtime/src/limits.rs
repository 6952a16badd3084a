//! Limits of one decision: time and memory.
//!
//! Time is CPU time, because threads stand still for milliseconds on a machine busy with a model; systems without it
//! use the clock. A timeout gets a second try ([`twice`]).

use super::engine::{Runtime, TICK};
use super::error::PolicyError;
use std::time::Duration;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) decision: Duration,
    pub(crate) start: Duration,
    pub(crate) memory: usize,
}

const TABLE_LIMIT: usize = 100_000;

/// Maximum numbers. A component of one module has a handful of each part, one of shared libraries a few per library.
const PARTS: [(&str, usize, &str); 3] = [("instance", 64, "core instances"), ("table", 16, "tables"), ("memory", 4, "memories")];

const START: &str = "the start of the component";

/// Number of ticks before CPU time is read; sound decisions end earlier.
const UNSEEN_TICKS: u32 = 2;

pub(crate) struct Limits {
    allowance: Allowance,
    time: Duration,
    /// Bytes refused. The guest can report a refusal only as `unreachable`.
    refused: Option<usize>,
    refused_table: Option<usize>,
    memory: usize,
    patience: Patience,
    #[cfg(feature = "wasi")]
    pub(super) sandbox: super::wasi::Sandbox,
}

impl Limits {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            time: allowance.decision,
            refused: None,
            refused_table: None,
            memory: 0,
            patience: Patience::default(),
            #[cfg(feature = "wasi")]
            sandbox: super::wasi::Sandbox::default(),
        }
    }
}

pub(crate) fn store(runtime: &Runtime, allowance: Allowance) -> Store<Limits> {
    let mut store = Store::new(&runtime.engine, Limits::new(allowance));
    store.limiter(|limits| limits);
    store.epoch_deadline_callback(|mut context| {
        let limits = context.data_mut();
        let goes_on = limits.patience.goes_on(time_of_this_thread(), limits.time);
        Ok(if goes_on { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
    });
    store
}

pub(crate) fn begin_start(store: &mut Store<Limits>) {
    let time = store.data().allowance.start;
    begin_within(store, time);
}

pub(crate) fn begin(store: &mut Store<Limits>) {
    let time = store.data().allowance.decision;
    begin_within(store, time);
}

fn begin_within(store: &mut Store<Limits>, time: Duration) {
    let limits = store.data_mut();
    limits.time = time;
    limits.patience = Patience::default();
    limits.refused = None;
    limits.refused_table = None;
    #[cfg(feature = "wasi")]
    limits.sandbox.begin();
    store.set_epoch_deadline(UNSEEN_TICKS.into());
}

pub(crate) fn failure(function: &'static str, store: &Store<Limits>, error: &wasmtime::Error) -> PolicyError {
    if let Some(wanted) = store.data().refused {
        return PolicyError::OutOfMemory { function, wanted, limit: store.data().allowance.memory };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => PolicyError::TimedOut { function, limit: store.data().time },
        Some(trap) => PolicyError::Trapped { function, trap: trap.to_string() },
        None => PolicyError::Trapped { function, trap: super::policy::one_line(error) },
    }
}

pub(crate) fn start_failure(store: &Store<Limits>, error: &wasmtime::Error) -> PolicyError {
    if error.is::<Trap>() {
        return failure(START, store, error);
    }
    let (limits, text) = (store.data(), super::policy::one_line(error));
    // wasmtime reports these counts only as text; a test pins it.
    let counted = text.split_once("resource limit exceeded: ").and_then(|(_, text)| text.split_once(" count too high at "));
    if let Some((part, count)) = counted
        && let Some((_, limit, what)) = PARTS.into_iter().find(|(known, ..)| *known == part)
        && let Ok(wanted) = count.parse()
    {
        return PolicyError::TooManyParts { what, wanted, limit };
    }
    // A refusal in a start function traps, so the component declares these sizes.
    match (limits.refused, limits.refused_table) {
        (Some(wanted), _) => PolicyError::FirstMemory { wanted, limit: limits.allowance.memory },
        (None, Some(wanted)) => PolicyError::TooManyParts { what: "elements in a table", wanted, limit: TABLE_LIMIT },
        (None, None) => PolicyError::NoInstance { detail: text },
    }
}

/// Retries a timeout once: virtual machines charge one decision in thousands with time in which they stood still. Two
/// in a row are no accident; other failures repeat.
#[inline]
pub(crate) fn twice<R>(mut attempt: impl FnMut() -> Result<R, PolicyError>) -> Result<R, PolicyError> {
    match attempt() {
        Err(error @ PolicyError::TimedOut { .. }) => {
            tracing::debug!(target: "upright", %error, "asked once more");
            attempt()
        }
        done => done,
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let all = self.memory.saturating_sub(current).saturating_add(desired);
        let fits = all <= self.allowance.memory;
        if fits {
            self.memory = all;
        } else {
            self.refused = Some(all);
        }
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= TABLE_LIMIT;
        if !fits {
            self.refused_table = Some(desired);
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        PARTS[0].1
    }

    fn tables(&self) -> usize {
        PARTS[1].1
    }

    fn memories(&self) -> usize {
        PARTS[2].1
    }
}

#[derive(Default)]
struct Patience {
    first: Option<Duration>,
}

impl Patience {
    fn goes_on(&mut self, time: Duration, limit: Duration) -> bool {
        let first = *self.first.get_or_insert(time);
        time.saturating_sub(first) < limit.saturating_sub(TICK * UNSEEN_TICKS)
    }
}

/// CPU time; only differences matter.
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
    const LIMIT: Duration = Duration::from_millis(5);

    #[test]
    fn a_decision_whose_thread_stands_still_is_not_blamed_for_it() {
        let mut patience = Patience::default();
        assert!((0..10_000).all(|_| patience.goes_on(70 * MILLISECOND, LIMIT)));
    }

    #[test]
    fn a_decision_that_keeps_its_thread_busy_is_ended_at_its_limit() {
        for limit in [LIMIT, 10 * LIMIT] {
            let mut patience = Patience::default();
            let ended = (0..).find(|millisecond| !patience.goes_on(MILLISECOND * *millisecond, limit));
            assert_eq!(ended.map(|millisecond| MILLISECOND * (millisecond + UNSEEN_TICKS)), Some(limit));
        }
    }

    #[test]
    fn only_a_decision_that_timed_out_is_tried_again_once() {
        let late = || PolicyError::TimedOut { function: "recovery.decide", limit: LIMIT };
        let trapped = || PolicyError::Trapped { function: "recovery.decide", trap: "unreachable".into() };
        let attempts = |outcomes: Vec<Result<u32, PolicyError>>| {
            let (mut outcomes, mut made) = (outcomes.into_iter(), 0);
            let done = twice(|| {
                made += 1;
                outcomes.next().unwrap()
            });
            (done.map_err(|error| error.to_string()), made)
        };
        assert_eq!(attempts(vec![Ok(7)]), (Ok(7), 1));
        assert_eq!(attempts(vec![Err(late()), Ok(7)]), (Ok(7), 2));
        assert_eq!(attempts(vec![Err(late()), Err(late())]), (Err(late().to_string()), 2));
        assert_eq!(attempts(vec![Err(trapped()), Ok(7)]), (Err(trapped().to_string()), 1));
        assert_eq!(attempts(vec![Err(late()), Err(trapped())]), (Err(trapped().to_string()), 2));
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
