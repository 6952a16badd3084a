//! Limits probes over all programs on one store.
//!
//! ```text
//! probe/<breaker>/<number>   that a probe is in flight, and since when
//! ```
//!
//! Killed processes leave entries behind, so entries expire.

use super::record::{PROBES, since_1970};
use crate::clock::{Clock, Instant};
use crate::store::seal::JSON;
use crate::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Maximum leases per breaker; each costs a store access.
const MOST: u64 = 64;

/// Permission for a probe, until [returned](give_back).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    key: String,
    version: u64,
}

/// Start by both clocks; `wall` in nanoseconds since 1970.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Held {
    now: Instant,
    wall: u64,
}

impl Held {
    fn at(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), wall: since_1970(clock.wall()) }
    }

    /// The longer time by either clock, after a reboot or a wall-clock step: one probe too many harms less than none.
    fn before(self, later: Self) -> Duration {
        // Elsewhere, each process has its origin.
        let by_instants = if cfg!(target_os = "linux") { later.now.saturating_sub(self.now) } else { 0 };
        Duration::from_nanos(by_instants.max(later.wall.saturating_sub(self.wall)))
    }
}

/// `None` if all are in flight. Leases older than `patience` expire.
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

/// `None` if another process took it.
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

/// No effect if another process took it.
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
    async fn shared_probe_leases_never_exceed_the_breakers_permits() {
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
        // The holder's wall clock was ahead.
        for ahead in [0, 3600] {
            let (store, before, clock) = (MemoryStore::default(), DrivenClock::new(), DrivenClock::new());
            before.step_wall(Duration::from_secs(ahead));
            let gone = take(&store, &before, "api", 1, PATIENCE).await.unwrap().unwrap();
            clock.advance(PATIENCE - Duration::from_nanos(1));
            assert!(take(&store, &clock, "api", 1, PATIENCE).await.unwrap().is_none());
            clock.advance(Duration::from_nanos(1));
            let next = take(&store, &clock, "api", 1, PATIENCE).await.unwrap().unwrap();
            // A late return must not affect the next.
            give_back(&store, &gone).await.unwrap();
            assert!(take(&store, &clock, "api", 1, PATIENCE).await.unwrap().is_none());
            give_back(&store, &next).await.unwrap();
        }
    }
}
