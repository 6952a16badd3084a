//! Removes old and surplus checkpoints.

use super::Checkpoints;
use crate::clock::{Instant, nanoseconds};
use crate::store::{Listed, StoreError};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Limits of the time between cleanings by age.
const BETWEEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// Automatic removal; none by default.
///
/// Saves start background cleanings, each an eighth of `max_age` (1 s to 10 minutes) or `max_count` after the last.
/// Until then an eighth more may remain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointLimits {
    /// Maximum time since the save.
    pub max_age: Option<Duration>,
    /// Maximum number, at least 1; the oldest saves go.
    pub max_count: Option<usize>,
}

#[derive(Default)]
pub(super) struct Cleaning {
    limits: CheckpointLimits,
    due: AtomicU64,
    saves: AtomicUsize,
    running: AtomicBool,
}

impl Cleaning {
    pub(super) fn to(limits: CheckpointLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The first save is always due: an earlier process may have left many.
    fn is_due(&self, now: impl FnOnce() -> Instant) -> bool {
        let saves = self.saves.fetch_add(1, Ordering::Relaxed);
        let by_count = self.limits.max_count.is_some_and(|count| saves == 0 || saves >= count / 8);
        by_count || self.limits.max_age.is_some() && now() >= self.due.load(Ordering::Relaxed)
    }

    fn begin(&self, now: Instant) -> bool {
        let begins = !self.running.swap(true, Ordering::Acquire);
        if begins {
            let wait = self.limits.max_age.unwrap_or(BETWEEN.1) / 8;
            self.due.store(now.saturating_add(nanoseconds(wait.clamp(BETWEEN.0, BETWEEN.1))), Ordering::Relaxed);
            // Counts the save that was due.
            self.saves.store(1, Ordering::Relaxed);
        }
        begins
    }
}

struct Running<'a>(&'a Cleaning);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

impl Checkpoints {
    /// Removes checkpoints beyond the [limits](Checkpoints::limited) now. Returns their number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clean(&self) -> Result<usize, StoreError> {
        let CheckpointLimits { max_age, max_count } = self.cleaning.limits;
        let mut listed = self.list().await?;
        // Oldest last; at equal times the lower version.
        listed.sort_unstable_by_key(|checkpoint| std::cmp::Reverse((checkpoint.modified, checkpoint.version)));
        let is_old = |checkpoint: &Listed| max_age.is_some_and(|limit| self.since(checkpoint.modified) > limit);
        let kept = listed.iter().take_while(|checkpoint| !is_old(checkpoint)).count().min(max_count.unwrap_or(usize::MAX).max(1));
        self.remove_all(listed.split_off(kept)).await
    }

    /// Does not delay the caller.
    pub(super) async fn saved(&self) {
        if !self.cleaning.is_due(|| self.clock.coarse()) || !self.cleaning.begin(self.clock.now()) {
            return;
        }
        let checkpoints = self.clone();
        let cleaning = async move {
            let _running = Running(&checkpoints.cleaning);
            if let Err(error) = checkpoints.clean().await {
                tracing::warn!(target: "upright", %error, "old checkpoints cannot be removed");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(cleaning)),
            Err(_) => cleaning.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::testing::DrivenClock;
    use std::sync::Arc;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limited(limits: CheckpointLimits) -> (Checkpoints, DrivenClock) {
        let clock = DrivenClock::new();
        let store = MemoryStore::with_clock(clock.shared());
        (Checkpoints::with_clock(Arc::new(store), clock.shared()).limited(limits), clock)
    }

    async fn left(checkpoints: &Checkpoints) -> Vec<String> {
        while checkpoints.cleaning.running.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        checkpoints.list().await.unwrap().into_iter().map(|listed| listed.key).collect()
    }

    #[tokio::test]
    async fn the_oldest_are_removed_when_there_are_too_many() {
        let (checkpoints, clock) = limited(CheckpointLimits { max_age: None, max_count: Some(3) });
        for number in 0..8 {
            checkpoints.at(format!("{number}")).save(&number).await.unwrap();
            clock.advance(MINUTE);
        }
        checkpoints.at("6").save(&6).await.unwrap();
        assert_eq!(left(&checkpoints).await, ["5", "6", "7"]);
    }

    #[tokio::test]
    async fn checkpoints_with_equal_dates_are_evicted_in_the_order_of_saving() {
        let (checkpoints, _) = limited(CheckpointLimits { max_age: None, max_count: Some(2) });
        for key in ["c", "b", "a"] {
            checkpoints.at(key).save(&1).await.unwrap();
        }
        assert_eq!(left(&checkpoints).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn expired_checkpoints_are_removed_at_the_first_save_then_each_eighth_of_the_maximum_age() {
        let (checkpoints, clock) = limited(CheckpointLimits { max_age: Some(80 * MINUTE), max_count: None });
        checkpoints.at("old").save(&1).await.unwrap();
        assert_eq!(left(&checkpoints).await, ["old"]);
        clock.advance(81 * MINUTE);
        let next = Checkpoints::with_clock(Arc::clone(&checkpoints.store), clock.shared()).limited(checkpoints.cleaning.limits);
        next.at("a").save(&1).await.unwrap();
        assert_eq!(left(&next).await, ["a"]);
        clock.advance(80 * MINUTE);
        next.at("b").save(&1).await.unwrap();
        assert_eq!(left(&next).await, ["a", "b"], "as old as it may be");
        clock.advance(5 * MINUTE);
        next.at("c").save(&1).await.unwrap();
        assert_eq!(left(&next).await, ["a", "b", "c"], "not due yet");
        clock.advance(5 * MINUTE);
        next.at("d").save(&1).await.unwrap();
        assert_eq!(left(&next).await, ["b", "c", "d"]);
    }

    #[tokio::test]
    async fn without_limits_nothing_is_removed() {
        let (checkpoints, clock) = limited(CheckpointLimits::default());
        for number in 0..100 {
            checkpoints.at(format!("{number}")).save(&number).await.unwrap();
            clock.advance(1_000_000 * MINUTE);
        }
        assert_eq!(left(&checkpoints).await.len(), 100);
        assert_eq!(checkpoints.clean().await.unwrap(), 0);
    }
}
