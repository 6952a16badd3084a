//! Stores breakers for other processes and clocks.

use super::SavedState;
use crate::clock::{self, Clock, Instant, nanoseconds};
use crate::store::{Store, StoreError};
use crate::types::Phase;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

pub(super) const PREFIX: &str = "breaker/";
pub(super) const PROBES: &str = "probe/";
const FORMAT: u32 = 1;
/// Nanoseconds within which clocks share an origin.
const SAME_ORIGIN: u64 = 1_000_000_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    #[serde(flatten)]
    pub(super) saved: SavedState,
    /// Last transition, nanoseconds since 1970.
    pub(super) moved_at: u64,
    /// Both clocks at writing; `wall` in nanoseconds since 1970.
    now: Instant,
    wall: u64,
}

/// Age at which closed breakers go.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// A closed breaker says no more than an absent one.
pub(super) async fn forget_old(store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
    for prefix in [PREFIX, PROBES] {
        for listed in store.list(prefix).await? {
            let is_old = clock.wall().duration_since(listed.modified).is_ok_and(|age| age > FORGOTTEN_AFTER);
            if is_old
                && let Some(entry) = store.get(&listed.key).await?
                && Record::read(&entry.value).is_none_or(|record| record.saved.state.phase == Phase::Closed && !record.saved.isolated)
            {
                store.compare_and_delete(&listed.key, listed.version).await?;
            }
        }
    }
    Ok(())
}

pub(super) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

impl Record {
    pub(super) fn of(saved: SavedState, moved_at: u64, clock: &dyn Clock) -> Self {
        Self { format: FORMAT, saved, moved_at, now: clock.now(), wall: since_1970(clock.wall()) }
    }

    /// `None` for malformed records and newer formats.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(|record: &Self| record.format == FORMAT)
    }

    /// Converts to another clock.
    ///
    /// Clocks of one origin, such as processes since boot, need no change. Otherwise wall clocks give the age, and
    /// private memory, which may hold instants, is cleared.
    pub(super) fn seen_by(self, clock: &dyn Clock) -> SavedState {
        let Self { mut saved, now: written, wall, .. } = self;
        let ago = since_1970(clock.wall()).saturating_sub(wall);
        let written_here = clock.now().saturating_sub(ago);
        if written_here.abs_diff(written) >= SAME_ORIGIN {
            let before_that = written.saturating_sub(saved.state.since);
            saved.state.since = written_here.saturating_sub(before_that);
            saved.state.memory.clear();
        }
        saved
    }
}

pub(super) fn since_1970(wall: SystemTime) -> u64 {
    nanoseconds(clock::since_1970(wall))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;
    use crate::{CircuitBreaker, PolicySlot};

    #[test]
    fn private_memory_is_kept_on_clocks_of_one_origin_and_cleared_on_another() {
        let clock = DrivenClock::new();
        clock.advance(Duration::from_secs(100));
        let breaker = CircuitBreaker::builder("service").policy(PolicySlot::native()).clock(clock.shared()).build().unwrap();
        let mut saved = breaker.save();
        saved.state.memory = vec![1, 2, 3];
        let record = Record { format: FORMAT, saved, moved_at: 1, now: clock.now(), wall: since_1970(clock.wall()) };
        clock.advance(Duration::from_secs(7));
        let (seen, since) = (record.clone().seen_by(&clock), record.saved.state.since);
        assert_eq!((seen.state.memory.as_slice(), seen.state.since), (&[1, 2, 3][..], since));
        let other = DrivenClock::new();
        other.advance(Duration::from_secs(57));
        other.step_wall(Duration::from_secs(50));
        let seen = record.seen_by(&other);
        assert_eq!((seen.state.memory.as_slice(), seen.state.since), (&[][..], since - 50_000_000_000));
    }
}
