//! Keeping up with a store that comes and goes.
//!
//! What is kept in common with others must be read when it changes and written when it can be, and nobody may wait for it. So a task follows the store until it
//! fails, leaves it alone for a while, longer each time, and begins anew.

use super::StoreError;
use crate::clock::SharedClock;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a store that has failed is left alone: the first time, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How others speak to the task.
#[derive(Default)]
pub struct Calls {
    ended: AtomicBool,
    notify: Notify,
}

impl Calls {
    /// There is something to do.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Nobody needs the task any more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether the task is to end.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends when there is something to do.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// What wakes it meanwhile is not heard of again.
    async fn ended(&self) {
        while !self.is_ended() {
            self.woken().await;
        }
    }
}

/// Something that is done with a store.
pub trait Follow: Send {
    /// Until nobody needs it any more, or until the store fails. Sets `works` whenever the store has done what it should.
    fn follow(&mut self, works: &AtomicBool) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The store has failed; for the first time since it worked, or again.
    fn failed(&self, error: &StoreError, again: bool);
}

/// Follows until nobody needs it any more.
pub async fn keep_up(follower: &mut impl Follow, calls: &Calls, clock: &SharedClock) {
    let (mut pause, mut again) = (PAUSES.0, false);
    let works = AtomicBool::new(false);
    while let Err(error) = follower.follow(&works).await {
        if works.swap(false, Ordering::Relaxed) {
            (pause, again) = (PAUSES.0, false);
        }
        follower.failed(&error, std::mem::replace(&mut again, true));
        if let Either::Left(_) = select(pin!(calls.ended()), clock.sleep(pause)).await {
            return;
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;
    use std::sync::Mutex;

    /// Works in the rounds of which that is said, and fails at the end of each but the last.
    struct Rounds {
        works: Vec<bool>,
        told: Mutex<Vec<bool>>,
    }

    impl Follow for Rounds {
        async fn follow(&mut self, works: &AtomicBool) -> Result<(), StoreError> {
            let Some(now) = self.works.pop() else { return Ok(()) };
            works.store(now, Ordering::Relaxed);
            Err(StoreError::Closed)
        }

        fn failed(&self, _: &StoreError, again: bool) {
            self.told.lock().unwrap().push(again);
        }
    }

    #[tokio::test]
    async fn pauses_grow_while_the_store_fails_and_begin_anew_when_it_has_worked() {
        let clock = DrivenClock::skipping();
        let mut rounds =
            Rounds { works: vec![false, true, false, false, false, false, false, false, false, false], told: Mutex::default() };
        keep_up(&mut rounds, &Calls::default(), &clock.shared()).await;
        let milliseconds: Vec<_> = clock.waits().iter().map(Duration::as_millis).collect();
        assert_eq!(milliseconds, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 100, 200]);
        let again = rounds.told.into_inner().unwrap();
        assert_eq!(again, [false, true, true, true, true, true, true, true, false, true]);
    }

    #[tokio::test]
    async fn a_task_that_nobody_needs_ends_in_its_pause() {
        let calls = Calls::default();
        let mut rounds = Rounds { works: vec![false; 9], told: Mutex::default() };
        calls.end();
        keep_up(&mut rounds, &calls, &DrivenClock::new().shared()).await;
        assert_eq!(rounds.told.into_inner().unwrap(), [false]);
    }
}
