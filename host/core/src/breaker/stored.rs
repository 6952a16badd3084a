//! Keeps breaker state in a store alone, for programs too short-lived to remember.
//!
//! Decisions read the store; outcomes are written before the program ends.

use super::lease::{self, Lease};
use super::record::{self, Record, since_1970};
use super::{CircuitBreaker, Rejection, SavedState};
use crate::clock::{Instant, SharedClock, SystemClock};
use crate::configuration;
use crate::error::{CircuitOpen, ConfigurationError};
use crate::policy::PolicySlot;
use crate::store::seal::JSON;
use crate::store::{Store, StoreError};
use crate::types::{BreakerConfig, Fault, Phase};
use std::sync::Arc;

/// A circuit breaker in a [`Store`], for programs that make one call and end. Users of one name share it, including
/// `RecoveryManagerBuilder::state`.
///
/// A half-open breaker's probe rejects other programs, for at most the recovery timeout, even if its program is killed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use upright_core::breaker::StoredBreaker;
/// use upright::store::MemoryStore;
/// use upright::types::{BreakerConfig, Fault, FaultKind, Phase};
///
/// let store = Arc::new(MemoryStore::default());
/// let breaker = StoredBreaker::new("search", store, BreakerConfig { failure_threshold: 1, ..BreakerConfig::default() })?;
/// let permit = breaker.admit().await??;
/// let moved = breaker.settle(permit, Err(Fault::new(FaultKind::ConnectionRefused, "nobody listens"))).await?;
/// assert_eq!(moved, (Phase::Closed, Phase::Open));
/// // In the next process, too:
/// assert!(breaker.admit().await?.is_err());
/// # Ok(()) }
/// ```
pub struct StoredBreaker {
    name: Arc<str>,
    store: Arc<dyn Store>,
    config: BreakerConfig,
    policy: PolicySlot,
    clock: SharedClock,
}

/// Permission for one call. [Settle](StoredBreaker::settle) it or give it back: a dropped probe stays in flight for the
/// recovery timeout.
#[must_use = "settle it, or give it back"]
pub struct StoredPermit {
    generation: u64,
    /// `None` if unmeasured.
    began: Option<Instant>,
    lease: Option<Lease>,
    moved: (Phase, Phase),
}

impl StoredPermit {
    /// Phases before and after.
    pub fn moved(&self) -> (Phase, Phase) {
        self.moved
    }
}

struct Found {
    breaker: CircuitBreaker,
    /// Restored state.
    before: SavedState,
    /// `None` if absent.
    version: Option<u64>,
    moved_at: u64,
    /// Its instants fit this clock.
    is_as_kept: bool,
}

impl StoredBreaker {
    /// A breaker of this name, on the system clock with the built-in policy.
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn new(name: impl Into<Arc<str>>, store: Arc<dyn Store>, config: BreakerConfig) -> Result<Self, ConfigurationError> {
        configuration::breaker(&config)?;
        Ok(Self { name: name.into(), store, config, policy: PolicySlot::native(), clock: SystemClock::shared() })
    }

    /// Deciding policy.
    #[must_use]
    pub fn policy(self, policy: impl Into<PolicySlot>) -> Self {
        Self { policy: policy.into(), ..self }
    }

    /// Clock.
    #[must_use]
    pub fn clock(self, clock: SharedClock) -> Self {
        Self { clock, ..self }
    }

    /// Requests admission.
    ///
    /// # Errors
    /// [`StoreError`]; inside, [`CircuitOpen`] rejects.
    pub async fn admit(&self) -> Result<Result<StoredPermit, CircuitOpen>, StoreError> {
        loop {
            let found = self.found().await?;
            let permit = match found.breaker.try_acquire() {
                Err(open) => {
                    self.keep(&found).await?;
                    return Ok(Err(open));
                }
                Ok(permit) => permit,
            };
            let generation = permit.passage.generation;
            let lease = if permit.probe {
                let (probes, patience) = (found.breaker.shared.gate.probes(), found.breaker.patience());
                let Some(lease) = lease::take(&*self.store, &*self.clock, &self.name, probes, patience).await? else {
                    return Ok(Err(CircuitOpen { breaker: Arc::clone(&self.name), rejection: Rejection::Probing }));
                };
                Some(lease)
            } else {
                None
            };
            let began = permit.passage.began;
            drop(permit);
            match self.admitted(&found, lease.as_ref()).await {
                Ok(true) => {
                    let moved = (found.before.state.phase, found.breaker.state());
                    return Ok(Ok(StoredPermit { generation, began, lease, moved }));
                }
                Ok(false) => self.free(lease).await?,
                Err(error) => {
                    // The first error matters.
                    let _ = self.free(lease).await;
                    return Err(error);
                }
            }
        }
    }

    /// `false` if the breaker moved.
    async fn admitted(&self, found: &Found, lease: Option<&Lease>) -> Result<bool, StoreError> {
        // The last outcome was written before its lease ended.
        if lease.is_some() && self.store.get(&record::key(&self.name)).await?.map(|entry| entry.version) != found.version {
            return Ok(false);
        }
        self.keep(found).await
    }

    /// Reports an outcome. Returns phases before and after.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle(&self, permit: StoredPermit, ended: Result<(), Fault>) -> Result<(Phase, Phase), StoreError> {
        let moved = self.report(&permit, ended).await;
        let freed = self.free(permit.lease).await;
        moved.and_then(|moved| freed.map(|()| moved))
    }

    async fn report(&self, permit: &StoredPermit, ended: Result<(), Fault>) -> Result<(Phase, Phase), StoreError> {
        loop {
            let found = self.found().await?;
            // Older generations change nothing.
            if found.breaker.snapshot().generation == permit.generation
                && let Ok(mut call) = found.breaker.try_acquire()
            {
                call.passage.began = permit.began;
                match ended.clone() {
                    Ok(()) => call.success(),
                    Err(fault) => drop(call.fault(fault)),
                }
            }
            if self.keep(&found).await? {
                return Ok((found.before.state.phase, found.breaker.state()));
            }
        }
    }

    /// Returns a permit without outcome.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn give_back(&self, permit: StoredPermit) -> Result<(), StoreError> {
        self.free(permit.lease).await
    }

    async fn free(&self, lease: Option<Lease>) -> Result<(), StoreError> {
        match lease {
            Some(lease) => lease::give_back(&*self.store, &lease).await,
            None => Ok(()),
        }
    }

    async fn found(&self) -> Result<Found, StoreError> {
        let entry = self.store.get(&record::key(&self.name)).await?;
        let version = entry.as_ref().map(|entry| entry.version);
        // Overwrites foreign values.
        let kept = entry.and_then(|entry| Record::read(&entry.value));
        let moved_at = kept.as_ref().map_or(0, |kept| kept.moved_at);
        let seen = kept.clone().map(|kept| kept.seen_by(&*self.clock));
        let is_as_kept = seen == kept.map(|kept| kept.saved);
        let builder =
            CircuitBreaker::builder(Arc::clone(&self.name)).config(self.config).policy(self.policy.clone()).clock(Arc::clone(&self.clock));
        let breaker = seen.into_iter().fold(builder, |builder, saved| builder.restored(saved)).build_checked();
        Ok(Found { before: breaker.save(), breaker, version, moved_at, is_as_kept })
    }

    /// `false` if another writer came first.
    async fn keep(&self, found: &Found) -> Result<bool, StoreError> {
        let after = found.breaker.save();
        // Otherwise another clock's state restarts with each program.
        if after == found.before && found.is_as_kept {
            return Ok(true);
        }
        let has_moved = after.state.phase != found.before.state.phase;
        let moved_at = if has_moved { since_1970(self.clock.wall()).max(found.moved_at + 1) } else { found.moved_at };
        let key = record::key(&self.name);
        let json = serde_json::to_vec(&Record::of(after, moved_at, &*self.clock))
            .map_err(|source| StoreError::NotSerializable { key: key.clone(), source })?;
        match self.store.compare_and_set(&key, found.version, json.into(), JSON).await {
            Ok(_) => {
                if found.version.is_none() {
                    // Optional cleaning.
                    let _ = record::forget_old(&*self.store, &*self.clock).await;
                }
                Ok(true)
            }
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for StoredBreaker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "StoredBreaker({:?})", self.name)
    }
}
