//! Leave to probe, of which all programs on one store have together as many as one breaker has.
//!
//! ```text
//! probe/<breaker>/<number>   that a probe is in flight, and since when
//! ```
//!
//! A process that is killed in its probe leaves its entry behind, so an entry holds for a time and no longer.

use super::record::{PROBES, since_1970};
use crate::clock::{Clock, Instant};
use crate::store::seal::JSON;
use crate::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// No breaker has more of its probes counted; each is a look into the store.
const MOST: u64 = 64;

/// A probe that may be made, until it is [given back](give_back).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    key: String,
    version: u64,
}

/// When a probe began, by both clocks; the second in nanoseconds since 1970.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Held {
    now: Instant,
    wall: u64,
}

impl Held {
    fn at(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), wall: since_1970(clock.wall()) }
    }

    /// How long before another moment it was. The machine may have been started again and its wall clock stepped in between: the longer span counts, since one
    /// probe too many does less harm than none.
    fn before(self, later: Self) -> Duration {
        // Elsewhere each process counts its instants from its own beginning.
        let by_instants = if cfg!(target_os = "linux") { later.now.saturating_sub(self.now) } else { 0 };
        Duration::from_nanos(by_instants.max(later.wall.saturating_sub(self.wall)))
    }
}

/// Leave to make one of so many probes; none if all of them are in flight. One that has been for longer than `patience` counts no more.
pub(super) async fn take(
    store: &dyn Store,
    clock: &dyn Clock,
    breaker: &str,
    probes: u64,
    patience: Duration,
) -> Result<Option<Lease>, StoreError> {
    let now = Held::at(clock);
    for number in 0..probes.clamp(1, MOST) {
        let key = format!("{PROBES}{breaker}/{number}");
        let entry = store.get(&key).await?;
        let held = entry.as_ref().and_then(|entry| serde_json::from_slice::<Held>(&entry.value).ok());
        if held.is_some_and(|held| held.before(now) < patience) {
            continue;
        }
        let json = json(&key, now)?;
        match store.compare_and_set(&key, entry.map(|entry| entry.version), json, JSON).await {
            Ok(version) => return Ok(Some(Lease { key, version })),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The same leave from now on; none where another has it by now.
pub(super) async fn renew(store: &dyn Store, clock: &dyn Clock, lease: &Lease) -> Result<Option<Lease>, StoreError> {
    let key = lease.key.clone();
    let json = json(&key, Held::at(clock))?;
    match store.compare_and_set(&key, Some(lease.version), json, JSON).await {
        Ok(version) => Ok(Some(Lease { key, version })),
        Err(StoreError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn json(key: &str, held: Held) -> Result<bytes::Bytes, StoreError> {
    serde_json::to_vec(&held).map(Into::into).map_err(|source| StoreError::NotSerializable { key: key.to_owned(), source })
}

/// The probe has ended. One that took so long that another took its place gives nothing back.
pub(super) async fn give_back(store: &dyn Store, lease: &Lease) -> Result<(), StoreError> {
    store.compare_and_delete(&lease.key, lease.version).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::testing::DrivenClock;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn as_many_probes_are_in_flight_as_the_breaker_has_whoever_makes_them() {
        let (store, clock) = (MemoryStore::default(), DrivenClock::new());
        let take = async || take(&store, &clock, "api", 2, PATIENCE).await.unwrap();
        let (first, second) = (take().await.unwrap(), take().await.unwrap());
        assert!(take().await.is_none());
        give_back(&store, &first).await.unwrap();
        let third = take().await.unwrap();
        assert!(take().await.is_none());
        give_back(&store, &second).await.unwrap();
        give_back(&store, &third).await.unwrap();
        assert!(store.list("").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_probe_whose_process_is_gone_holds_up_the_others_for_a_time_and_no_longer_whatever_the_wall_clock_does() {
        // The wall clock of whoever has it was ahead; what the others see went back.
        for ahead in [0, 3600] {
            let (store, before, clock) = (MemoryStore::default(), DrivenClock::new(), DrivenClock::new());
            before.step_wall(Duration::from_secs(ahead));
            let gone = take(&store, &before, "api", 1, PATIENCE).await.unwrap().unwrap();
            clock.advance(PATIENCE - Duration::from_nanos(1));
            assert!(take(&store, &clock, "api", 1, PATIENCE).await.unwrap().is_none());
            clock.advance(Duration::from_nanos(1));
            let next = take(&store, &clock, "api", 1, PATIENCE).await.unwrap().unwrap();
            // That it comes back after all takes nothing from the next.
            give_back(&store, &gone).await.unwrap();
            assert!(take(&store, &clock, "api", 1, PATIENCE).await.unwrap().is_none());
            give_back(&store, &next).await.unwrap();
        }
    }
}
