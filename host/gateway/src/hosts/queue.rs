//! Limits the calls of one model on one host, and keeps the surplus in order in the gateway.
//!
//! Ollama's own queue shows no length, and a call in it cannot go to another host. A call that waits here leaves by
//! dropping its [`Waiting`]. It may wait for several hosts at once, and takes the first place that becomes free.
//!
//! [`Bulkhead`](upright_core::Bulkhead) lends its permits, but an answer outlives the function that began it.

use super::names::ModelName;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use upright_core::error::BulkheadFull;

/// Limits of the calls of one model on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Maximum number of calls in flight; `None` for no limit and no queue.
    pub concurrent: Option<u32>,
    /// Maximum number of waiting calls.
    pub queued: u32,
}

/// Queue of one model on one host.
#[derive(Debug)]
pub(crate) struct Queue {
    name: Arc<str>,
    concurrent: u32,
    queued: u32,
    free: Arc<Semaphore>,
    waiting: Arc<AtomicU32>,
}

/// A place among the calls in flight. Dropping it lets the next call in.
#[derive(Debug)]
#[must_use = "dropping it lets the next call in"]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    /// The queue lives as long as its calls.
    queue: Arc<Queue>,
}

impl Place {
    /// Whether it is a place of this queue.
    pub(crate) fn is_in(&self, queue: &Arc<Queue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }
}

/// Counts as waiting while it lives.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Queue {
    /// A queue with these maximum numbers of calls in flight, at least 1, and waiting. `name` stands in errors.
    pub(crate) fn new(name: impl Into<Arc<str>>, concurrent: u32, queued: u32) -> Self {
        let concurrent = concurrent.max(1);
        let free = Semaphore::new(usize::try_from(concurrent).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS));
        Self { name: name.into(), concurrent, queued, free: Arc::new(free), waiting: Arc::default() }
    }

    /// Whether a new call would wait.
    pub(crate) fn is_full(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// Number of waiting calls.
    #[cfg(test)]
    fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Acquire)
    }

    /// A place at once, if one is free. Overtakes no waiting call.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.place(permit))
    }

    fn place(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        Place { _permit: permit, queue: Arc::clone(self) }
    }

    /// The error of a call that waited this long in vain; zero if the queue was full.
    pub(crate) fn full(&self, waited: Duration) -> BulkheadFull {
        BulkheadFull { bulkhead: Arc::clone(&self.name), max_concurrent: self.concurrent, max_queued: self.queued, waited }
    }

    /// Checking and counting: one step.
    fn count(&self) -> Result<Counted, BulkheadFull> {
        let more = |waiting: u32| (waiting < self.queued).then(|| waiting + 1);
        match self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(Counted(Arc::clone(&self.waiting))),
            Err(_) => Err(self.full(Duration::ZERO)),
        }
    }
}

/// One call's turn in one queue.
struct Turn {
    host: usize,
    queue: Arc<Queue>,
    granted: Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>,
    _counted: Counted,
}

/// A call that waits in the queues of one or several hosts. Dropping it leaves them all.
#[derive(Default)]
pub(crate) struct Waiting {
    turns: Vec<Turn>,
}

impl Waiting {
    /// A call that waits nowhere yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Joins the end of a host's queue, and keeps its turns elsewhere.
    ///
    /// # Errors
    /// [`BulkheadFull`] if too many calls wait there.
    pub(crate) fn join(&mut self, host: usize, queue: &Arc<Queue>) -> Result<(), BulkheadFull> {
        let _counted = queue.count()?;
        let granted = Box::pin(Arc::clone(&queue.free).acquire_owned());
        self.turns.push(Turn { host, queue: Arc::clone(queue), granted, _counted });
        Ok(())
    }

    /// The first place that becomes free, with its host; never where the call waits nowhere. Dropping the future keeps
    /// the turns.
    pub(crate) async fn turn(&mut self) -> (usize, Place) {
        poll_fn(|context| {
            for turn in &mut self.turns {
                // A queue's semaphore is never closed.
                if let Poll::Ready(Ok(permit)) = turn.granted.as_mut().poll(context) {
                    let (host, place) = (turn.host, turn.queue.place(permit));
                    // A finished turn is not polled again.
                    self.turns.retain(|turn| turn.host != host);
                    return Poll::Ready((host, place));
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.turns.iter().map(|turn| &turn.queue)).finish()
    }
}

/// Number of entries from which those of ended queues are removed.
const PRUNED_FROM: usize = 64;

/// The queues of one host. A queue lives while it has calls, so calls bound their number.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    limits: Limits,
    queues: Mutex<HashMap<ModelName, Weak<Queue>>>,
}

impl Queues {
    /// Queues with these limits.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, queues: Mutex::default() }
    }

    /// The queue of a model; `None` without a limit. `host` stands in errors.
    pub(crate) fn get(&self, host: &str, model: &ModelName) -> Option<Arc<Queue>> {
        let concurrent = self.limits.concurrent?;
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(model).and_then(Weak::upgrade) {
            return Some(queue);
        }
        if queues.len() >= PRUNED_FROM {
            queues.retain(|_, queue| queue.strong_count() > 0);
        }
        let queue = Arc::new(Queue::new(format!("{host}/{model}"), concurrent, self.limits.queued));
        queues.insert(model.clone(), Arc::downgrade(&queue));
        Some(queue)
    }

    /// Whether a new call of a model would wait.
    pub(crate) fn is_full(&self, model: &ModelName) -> bool {
        let queues = self.limits.concurrent.map(|_| self.queues.lock().unwrap_or_else(PoisonError::into_inner));
        queues.and_then(|queues| queues.get(model).and_then(Weak::upgrade)).is_some_and(|queue| queue.is_full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn queue(concurrent: u32, queued: u32) -> Arc<Queue> {
        Arc::new(Queue::new("a/m", concurrent, queued))
    }

    fn waiting_for(queues: &[(usize, &Arc<Queue>)]) -> Waiting {
        let mut waiting = Waiting::new();
        queues.iter().for_each(|(host, queue)| waiting.join(*host, queue).unwrap());
        assert!(waiting.turn().now_or_never().is_none());
        waiting
    }

    #[test]
    fn a_queue_is_bounded_and_says_by_which_numbers() {
        let queue = queue(1, 1);
        let place = queue.try_enter().unwrap();
        assert!(queue.is_full() && queue.try_enter().is_none());
        let waiting = waiting_for(&[(0, &queue)]);
        let full = Waiting::new().join(0, &queue).unwrap_err();
        assert_eq!((full, queue.waiting()), (queue.full(Duration::ZERO), 1));
        assert_eq!(queue.full(Duration::ZERO).to_string(), "bulkhead full: \"a/m\" has 1 call in flight and 1 waiting");
        drop(waiting);
        assert_eq!(queue.waiting(), 0);
        drop(place);
        assert!(!queue.is_full());
    }

    #[test]
    fn calls_enter_in_the_order_in_which_they_came_and_none_overtakes() {
        let queue = queue(1, 2);
        let place = queue.try_enter().unwrap();
        let (mut first, mut second) = (waiting_for(&[(0, &queue)]), waiting_for(&[(0, &queue)]));
        drop(place);
        assert!(queue.try_enter().is_none());
        assert!(second.turn().now_or_never().is_none());
        let (_, place) = first.turn().now_or_never().unwrap();
        assert!(second.turn().now_or_never().is_none());
        drop(place);
        assert!(second.turn().now_or_never().is_some());
    }

    #[test]
    fn a_call_that_leaves_the_queue_lets_the_next_one_in() {
        let queue = queue(1, 2);
        let place = queue.try_enter().unwrap();
        let (first, mut second) = (waiting_for(&[(0, &queue)]), waiting_for(&[(0, &queue)]));
        drop(place);
        // Its turn has come, but it goes away.
        drop(first);
        assert!(second.turn().now_or_never().is_some());
    }

    #[test]
    fn a_waiting_call_moves_to_another_host_and_leaves_the_first_queue() {
        let (busy, other) = (queue(1, 9), queue(1, 9));
        let (_place, freed) = (busy.try_enter().unwrap(), other.try_enter().unwrap());
        let mut waiting = waiting_for(&[(0, &busy)]);
        waiting.join(1, &other).unwrap();
        assert!(waiting.turn().now_or_never().is_none());
        drop(freed);
        let (host, place) = waiting.turn().now_or_never().unwrap();
        assert_eq!((host, busy.waiting(), other.waiting()), (1, 1, 0));
        drop((waiting, place));
        assert_eq!((busy.waiting(), other.is_full()), (0, false));
    }

    #[tokio::test]
    async fn a_call_wakes_when_a_place_becomes_free() {
        let queue = queue(1, 1);
        let place = queue.try_enter().unwrap();
        let mut waiting = waiting_for(&[(7, &queue)]);
        let entered = tokio::spawn(async move { waiting.turn().await.0 });
        tokio::task::yield_now().await;
        drop(place);
        assert_eq!(entered.await.unwrap(), 7);
    }

    #[test]
    fn a_host_without_a_limit_has_no_queues_and_a_queue_ends_with_its_calls() {
        let model = |text: &str| ModelName::of(text).unwrap();
        let unlimited = Queues::default();
        assert!(unlimited.get("a", &model("m")).is_none() && !unlimited.is_full(&model("m")));

        let queues = Queues::new(Limits { concurrent: Some(1), queued: 0 });
        let place = queues.get("a", &model("m")).unwrap().try_enter().unwrap();
        assert!(queues.is_full(&model("M:latest")) && !queues.is_full(&model("other")));
        for index in 0..1000 {
            queues.get("a", &model(&format!("m{index}"))).unwrap();
        }
        assert!(queues.queues.lock().unwrap().len() <= PRUNED_FROM);
        assert!(queues.is_full(&model("m")));
        drop(place);
        assert!(!queues.is_full(&model("m")));
    }
}
