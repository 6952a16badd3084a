//! Hands incidents to the shadow's thread without slowing decisions of two microseconds.
//!
//! A shared queue makes threads contend for cache lines and free each other's memory. So each thread fills a lane of
//! its own, exchanged for an empty one every few milliseconds. Incidents reuse older ones' memory.

use crate::types::{Guard, Incident, ModelChoice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use upright_core::sync::thread_number;

/// Number of threads that never share a lane.
const LANES: usize = 16;
/// Maximum incidents of a lane; more are dropped.
const ROOM: usize = 256;

#[derive(Default)]
pub(super) struct Lanes {
    lanes: [Lane; LANES],
    spare: Mutex<Vec<Batch>>,
    /// Dropped because another thread held the lane.
    crowded: AtomicU64,
    /// Dropped from full lanes, as far as taken.
    full: AtomicU64,
}

#[derive(Default)]
#[repr(align(128))]
struct Lane(Mutex<Batch>);

#[derive(Default)]
struct Batch {
    incidents: Vec<Incident>,
    used: usize,
    dropped: u64,
}

impl Lanes {
    /// Copies an incident, or drops it.
    pub(super) fn put(&self, incident: &Incident) {
        let Ok(mut batch) = self.lanes[thread_number().unwrap_or_default() % LANES].0.try_lock() else {
            self.crowded.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let used = batch.used;
        if used == ROOM {
            batch.dropped += 1;
            return;
        }
        match batch.incidents.get_mut(used) {
            Some(older) => copy(incident, older),
            None => batch.incidents.push(incident.clone()),
        }
        batch.used += 1;
    }

    pub(super) fn take(&self, mut look: impl FnMut(&Incident)) {
        for lane in &self.lanes {
            let mut batch = self.spare().pop().unwrap_or_default();
            std::mem::swap(&mut *lane.0.lock().unwrap_or_else(PoisonError::into_inner), &mut batch);
            batch.incidents[..batch.used].iter().for_each(&mut look);
            self.full.fetch_add(batch.dropped, Ordering::Relaxed);
            (batch.used, batch.dropped) = (0, 0);
            self.spare().push(batch);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed) + self.full.load(Ordering::Relaxed)
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Batch>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reuses the memory of the older incident.
fn copy(from: &Incident, to: &mut Incident) {
    let Incident { failure, attempt, elapsed, deadline, idempotent, retry_budget, retry, random, now, guard, models, .. } = &mut *to;
    let mut message = std::mem::take(&mut failure.message);
    message.clone_from(&from.failure.message);
    *failure = crate::types::Fault { message, ..without_message(&from.failure) };
    (*attempt, *elapsed, *deadline, *idempotent) = (from.attempt, from.elapsed, from.deadline, from.idempotent);
    (*retry_budget, *retry, *random, *now) = (from.retry_budget, from.retry, from.random, from.now);
    match (guard, &from.guard) {
        (Some(to), Some(from)) => copy_guard(from, to),
        (to, from) => to.clone_from(from),
    }
    match (models, &from.models) {
        (Some(ModelChoice { current, chain, known }), Some(from)) => {
            current.clone_from(&from.current);
            chain.clone_from(&from.chain);
            known.clone_from(&from.known);
        }
        (to, from) => to.clone_from(from),
    }
    let Incident { at_hand, resources, circumstances, .. } = to;
    (*at_hand, *resources) = (from.at_hand, from.resources);
    circumstances.clone_from(&from.circumstances);
}

fn without_message(fault: &crate::types::Fault) -> crate::types::Fault {
    let crate::types::Fault { kind, status, errno, endpoint, message: _, labels, retry_after, should_retry, points_to } = fault;
    crate::types::Fault {
        kind: *kind,
        status: *status,
        errno: *errno,
        endpoint: *endpoint,
        message: String::new(),
        labels: labels.clone(),
        retry_after: *retry_after,
        should_retry: *should_retry,
        points_to: points_to.clone(),
    }
}

fn copy_guard(from: &Guard, to: &mut Guard) {
    let mut memory = std::mem::take(&mut to.state.memory);
    memory.clone_from(&from.state.memory);
    let crate::types::BreakerState { phase, consecutive_failures, half_open_successes, since, generation, memory: _ } = from.state;
    let state = crate::types::BreakerState { phase, consecutive_failures, half_open_successes, since, generation, memory };
    *to = Guard { config: from.config, state, generation: from.generation, successes: from.successes, took: from.took };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::*;

    fn incident(text: &str, with_more: bool) -> Incident {
        let state = BreakerState {
            phase: Phase::HalfOpen,
            consecutive_failures: 3,
            half_open_successes: 1,
            since: 9,
            generation: 2,
            memory: text.as_bytes().to_vec(),
        };
        Incident {
            attempt: text.len() as u32,
            elapsed: 0.5,
            deadline: with_more.then_some(3.0),
            idempotent: with_more,
            retry_budget: with_more.then_some(4),
            retry: RetryConfig { max_retries: text.len() as u32, ..RetryConfig::default() },
            random: 0.25,
            now: 77,
            guard: with_more.then(|| Guard { config: BreakerConfig::default(), state, generation: 2, successes: 5, took: 1.5 }),
            models: with_more.then(|| ModelChoice { current: text.into(), chain: vec![text.into(); 3], known: None }),
            at_hand: Alternatives { fallback: with_more, ..Alternatives::default() },
            ..Incident::of(Fault { status: Some(500), ..Fault::new(FaultKind::HttpStatus, text) })
        }
    }

    #[test]
    fn copying_an_incident_over_an_older_one_leaves_nothing_of_it() {
        let all = [("a", true), ("longer than before", false), ("", true), ("b", true), ("longer again", true)]
            .map(|(text, more)| incident(text, more));
        for from in &all {
            for older in &all {
                let mut to = older.clone();
                copy(from, &mut to);
                assert_eq!(&to, from);
            }
        }
    }

    #[test]
    fn a_shadow_lane_delivers_each_incident_once_and_counts_those_it_drops() {
        let lanes = Lanes::default();
        for round in 0..3 {
            for number in 0..ROOM + 10 {
                lanes.put(&incident(&number.to_string(), number % 2 == 0));
            }
            let mut seen = Vec::new();
            lanes.take(|incident| seen.push(incident.failure.message.clone()));
            assert_eq!(seen, (0..ROOM).map(|number| number.to_string()).collect::<Vec<_>>());
            assert_eq!(lanes.dropped(), 10 * (round + 1));
            lanes.take(|_| panic!("twice"));
        }
    }
}
