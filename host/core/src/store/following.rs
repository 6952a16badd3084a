//! Follows a store that comes and goes, without making callers wait.
//!
//! After failures it pauses, longer each time, and restarts.

use super::StoreError;
use crate::clock::SharedClock;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// First and maximum pause.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Signals to a task.
#[derive(Default)]
pub struct Calls {
    ended: AtomicBool,
    notify: Notify,
}

impl Calls {
    /// Announces work.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Ends the task.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether it must end.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits for work.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Discards wake-ups meanwhile.
    async fn ended(&self) {
        while !self.is_ended() {
            self.woken().await;
        }
    }
}

/// Work that follows a store.
pub trait Follow: Send {
    /// Runs until [`Calls::end`] or a failure. Sets `works` on success.
    fn follow(&mut self, works: &AtomicBool) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reports a failure; `again`: not the first since success.
    fn failed(&self, error: &StoreError, again: bool);
}

/// Follows until [`Calls::end`].
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

    struct Rounds {
        works: Vec<bool>,
        reported: Mutex<Vec<bool>>,
    }

    impl Follow for Rounds {
        async fn follow(&mut self, works: &AtomicBool) -> Result<(), StoreError> {
            let Some(now) = self.works.pop() else { return Ok(()) };
            works.store(now, Ordering::Relaxed);
            Err(StoreError::Closed)
        }

        fn failed(&self, _: &StoreError, again: bool) {
            self.reported.lock().unwrap().push(again);
        }
    }

    #[tokio::test]
    async fn pauses_grow_while_the_store_fails_and_start_over_once_it_has_worked() {
        let clock = DrivenClock::skipping();
        let mut rounds =
            Rounds { works: vec![false, true, false, false, false, false, false, false, false, false], reported: Mutex::default() };
        keep_up(&mut rounds, &Calls::default(), &clock.shared()).await;
        let milliseconds: Vec<_> = clock.waits().iter().map(Duration::as_millis).collect();
        assert_eq!(milliseconds, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 100, 200]);
        let again = rounds.reported.into_inner().unwrap();
        assert_eq!(again, [false, true, true, true, true, true, true, true, false, true]);
    }

    #[tokio::test]
    async fn a_follower_without_users_ends_during_its_pause() {
        let calls = Calls::default();
        let mut rounds = Rounds { works: vec![false; 9], reported: Mutex::default() };
        calls.end();
        keep_up(&mut rounds, &calls, &DrivenClock::new().shared()).await;
        assert_eq!(rounds.reported.into_inner().unwrap(), [false]);
    }
}
