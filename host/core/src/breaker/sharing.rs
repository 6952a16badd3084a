//! Shares breakers in a fleet and across restarts.
//!
//! Without this, a restarted program calls a failing service until its breakers reopen, and ten hosts learn what one
//! knows. So transitions go to a [`Store`], and others' are adopted. Callers never wait: a separate thread syncs when
//! it can. Only each breaker's latest state waits.
//!
//! The state entered later, by wall clock, wins. Writes compare and set, so hosts notice each other. Half-open is
//! local; probers publish outcomes.
//!
//! Programs on one machine share probes, at the cost of the store's disk. Over networks no call waits.

use super::lease::{self, Lease};
use super::record::{PREFIX, Record, forget_old, key, since_1970};
use super::restore::{SavedState, resume};
use super::{CircuitBreaker, Shared};
use crate::clock::SharedClock;
use crate::store::following::{Calls, Follow, keep_up};
use crate::store::seal::JSON;
use crate::store::{ChangeKind, Store, StoreError, background};
use crate::types::Phase;
use futures_util::future::{Either, select};
use futures_util::{FutureExt, StreamExt};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// Above this size, names of dropped breakers are forgotten.
const MOST_KNOWN: usize = 4096;

/// Counts of sharing; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharingCounts {
    /// Number of transitions written.
    pub published: u64,
    /// Number of states adopted.
    pub adopted: u64,
    /// Number of writes after another's.
    pub conflicts: u64,
    /// Number of transitions skipped for a later one.
    pub coalesced: u64,
    /// Number of store failures.
    pub failed: u64,
}

#[derive(Default)]
struct Counters {
    published: AtomicU64,
    adopted: AtomicU64,
    conflicts: AtomicU64,
    coalesced: AtomicU64,
    failed: AtomicU64,
}

#[derive(Default)]
struct Known {
    breaker: Weak<Shared>,
    /// For a breaker not made yet.
    record: Option<Record>,
    /// Nanoseconds since 1970; 0: never.
    moved_at: u64,
    version: Option<u64>,
    /// The store lacks its state.
    waits: bool,
    /// Probes in flight here.
    leases: Vec<Lease>,
    /// Ended, but still stored.
    ended_leases: Vec<Lease>,
}

impl Known {
    fn has_work(&self) -> bool {
        self.waits || !self.ended_leases.is_empty()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Granted,
    Taken,
    /// Another's probe moved the breaker.
    Moved,
}

struct Inner {
    clock: SharedClock,
    known: Mutex<HashMap<Arc<str>, Known>>,
    adopting: Mutex<()>,
    /// The store, if all its users are here.
    on_this_machine: OnceLock<Weak<dyn Store>>,
    calls: Calls,
    /// Writes or first load done.
    settled: Notify,
    loaded: AtomicBool,
    /// Ended; released the store.
    ended: AtomicBool,
    counters: Counters,
}

/// Held by the task only: breakers may outlive the manager and must not keep its store open.
struct Keeper {
    inner: Arc<Inner>,
    store: Arc<dyn Store>,
}

/// Keeps breakers in a store. Clones share state.
#[derive(Clone)]
pub struct BreakerSharing {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for BreakerSharing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("BreakerSharing")
    }
}

/// The task; dropping this ends it.
pub struct Keeping(BreakerSharing);

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.inner.calls.end();
    }
}

impl Keeping {
    /// Writes what waits, then ends: breakers are alone.
    pub async fn end(&self) {
        self.0.inner.calls.end();
        self.until(|inner| inner.ended.load(Ordering::Acquire)).await;
    }

    /// The counts.
    pub fn counts(&self) -> SharingCounts {
        let Counters { published, adopted, conflicts, coalesced, failed } = &self.0.inner.counters;
        let [published, adopted, conflicts, coalesced, failed] =
            [published, adopted, conflicts, coalesced, failed].map(|counter| counter.load(Ordering::Relaxed));
        SharingCounts { published, adopted, conflicts, coalesced, failed }
    }

    /// Waits for the first load and waiting writes.
    pub async fn settled(&self) {
        self.until(|inner| inner.loaded.load(Ordering::Acquire) && !inner.known().values().any(Known::has_work)).await;
    }

    async fn until(&self, holds: impl Fn(&Inner) -> bool) {
        let inner = &self.0.inner;
        loop {
            let settled = inner.settled.notified();
            tokio::pin!(settled);
            // Listen before checking.
            settled.as_mut().enable();
            if holds(inner) || inner.ended.load(Ordering::Acquire) {
                return;
            }
            settled.await;
        }
    }
}

impl BreakerSharing {
    /// Sharing without a store yet.
    pub fn new(clock: SharedClock) -> Self {
        let inner = Inner {
            clock,
            known: Mutex::default(),
            adopting: Mutex::default(),
            on_this_machine: OnceLock::new(),
            calls: Calls::default(),
            settled: Notify::new(),
            loaded: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            counters: Counters::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Loads a store that answers at once; keeps later transitions.
    pub fn keep(&self, store: Arc<dyn Store>) -> Keeping {
        let keeping = Keeping(self.clone());
        if store.is_on_this_machine() {
            // Set once: a manager has one store.
            let _ = self.inner.on_this_machine.set(Arc::downgrade(&store));
        }
        let mut keeper = Keeper { inner: Arc::clone(&self.inner), store };
        let runtime = match background::runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(target: "upright", %error, "the system gives no thread: breakers are not kept");
                self.inner.ended.store(true, Ordering::Release);
                return keeping;
            }
        };
        {
            // The store's timers and connections belong here.
            let _on_it = runtime.enter();
            // Network stores load later.
            if let Some(Err(error)) = keeper.load().now_or_never() {
                tracing::warn!(target: "upright", %error, "breakers begin without what was kept of them");
            }
        }
        runtime.spawn(async move {
            let inner = Arc::clone(&keeper.inner);
            keep_up(&mut keeper, &inner.calls, &inner.clock).await;
            drop(keeper);
            inner.ended.store(true, Ordering::Release);
            inner.settled.notify_waiters();
        });
        keeping
    }

    pub(super) fn join(&self, name: &Arc<str>, make: impl FnOnce(Option<SavedState>) -> CircuitBreaker) -> CircuitBreaker {
        let living = self.inner.known().get(name).and_then(|known| known.breaker.upgrade());
        // Lock order: the breaker's first.
        let living = living.map(|shared| CircuitBreaker { shared }.save());
        let mut all = self.inner.known();
        if all.len() >= MOST_KNOWN {
            all.retain(|_, known| known.has_work() || known.breaker.strong_count() > 0);
        }
        let known = all.entry(Arc::clone(name)).or_default();
        let saved = known.record.take().map(|record| record.seen_by(&*self.inner.clock)).or(living);
        let breaker = make(saved);
        known.breaker = Arc::downgrade(&breaker.shared);
        breaker
    }

    /// The breaker's lock is held: no adoption comes between.
    pub(super) fn moved(&self, name: &Arc<str>) {
        let now = since_1970(self.inner.clock.wall());
        let mut all = self.inner.known();
        let Some(known) = all.get_mut(name) else { return };
        known.moved_at = now.max(known.moved_at.saturating_add(1));
        if std::mem::replace(&mut known.waits, true) {
            self.inner.counters.coalesced.fetch_add(1, Ordering::Relaxed);
        }
        drop(all);
        self.inner.calls.wake();
    }
}

/// Maximum wait: another process may write much.
const PATIENCE: Duration = Duration::from_secs(2);

impl BreakerSharing {
    /// Waits for the store's disk. If it cannot answer, programs decide alone.
    pub(super) fn may_probe(&self, name: &Arc<str>, probes: u64, patience: Duration) -> Leave {
        let inner = &self.inner;
        if inner.calls.is_ended() || inner.ended.load(Ordering::Acquire) {
            return Leave::Granted;
        }
        let (Some(store), Ok(runtime)) = (inner.on_this_machine.get().and_then(Weak::upgrade), background::runtime()) else {
            return Leave::Granted;
        };
        let (asking, name) = (Asking { keeper: Keeper { inner: Arc::clone(inner), store }, probes, patience }, Arc::clone(name));
        let (sender, answer) = std::sync::mpsc::channel();
        // The caller's runtime may stand still meanwhile.
        runtime.spawn(async move {
            let leave = asking.leave(&name).await.unwrap_or_else(|error| {
                tracing::debug!(target: "upright", %error, breaker = &*name, "the store does not say who probes");
                Leave::Granted
            });
            if sender.send(leave).is_err() && leave == Leave::Granted {
                asking.keeper.inner.probe_ended(&name);
            }
        });
        answer.recv_timeout(PATIENCE).unwrap_or(Leave::Granted)
    }

    /// [`BreakerSharing::moved`] has reported its outcome.
    pub(super) fn probe_ended(&self, name: &Arc<str>) {
        self.inner.probe_ended(name);
    }
}

struct Asking {
    keeper: Keeper,
    probes: u64,
    patience: Duration,
}

impl Asking {
    async fn leave(&self, name: &Arc<str>) -> Result<Leave, StoreError> {
        let Self { keeper, probes, patience } = self;
        let (inner, store) = (&keeper.inner, &*keeper.store);
        let lease = match self.of_this_process(name).await? {
            Some(lease) => lease,
            None => match lease::take(store, &*inner.clock, name, *probes, *patience).await? {
                Some(lease) => lease,
                None => return Ok(Leave::Taken),
            },
        };
        // The last outcome was written before its lease ended.
        if keeper.look_at(&key(name), u64::MAX).await.unwrap_or_default() {
            lease::give_back(store, &lease).await?;
            return Ok(Leave::Moved);
        }
        inner.known().entry(Arc::clone(name)).or_default().leases.push(lease);
        Ok(Leave::Granted)
    }

    /// An ended lease still stored: no other process probed since.
    async fn of_this_process(&self, name: &Arc<str>) -> Result<Option<Lease>, StoreError> {
        let inner = &self.keeper.inner;
        let ended = inner.known().get_mut(name).and_then(|known| known.ended_leases.pop());
        match ended {
            Some(lease) => lease::renew(&*self.keeper.store, &*inner.clock, &lease).await,
            None => Ok(None),
        }
    }
}

impl Inner {
    fn probe_ended(&self, name: &Arc<str>) {
        let mut all = self.known();
        let Some(known) = all.get_mut(name) else { return };
        if known.leases.is_empty() {
            return;
        }
        // The oldest: a replaced hanging probe returns nothing.
        let lease = known.leases.remove(0);
        known.ended_leases.push(lease);
        drop(all);
        self.calls.wake();
    }

    /// Its outcome is stored.
    fn freed(&self) -> Option<(Arc<str>, Lease)> {
        let all = self.known();
        all.iter().filter(|(_, known)| !known.waits).find_map(|(name, known)| Some((Arc::clone(name), known.ended_leases.last()?.clone())))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follow for Keeper {
    async fn follow(&mut self, works: &AtomicBool) -> Result<(), StoreError> {
        // Watch before loading: misses nothing.
        let watched = self.store.watch(PREFIX).await;
        self.load().await?;
        if watched.is_err() {
            self.publish().await?;
        }
        let mut changes = watched?;
        loop {
            self.publish().await?;
            works.store(true, Ordering::Relaxed);
            self.inner.settled.notify_waiters();
            if self.inner.calls.is_ended() {
                return Ok(());
            }
            let Either::Left((change, _)) = select(changes.next(), pin!(self.inner.calls.woken())).await else { continue };
            let change = change.ok_or(StoreError::Closed)??;
            if change.kind == ChangeKind::Put {
                self.look_at(&change.key, change.version).await?;
            }
        }
    }

    fn failed(&self, error: &StoreError, again: bool) {
        self.inner.counters.failed.fetch_add(1, Ordering::Relaxed);
        if !again {
            tracing::warn!(target: "upright", %error, "breakers are not kept for now; each decides by itself");
        }
    }
}

impl Keeper {
    async fn load(&self) -> Result<(), StoreError> {
        for listed in self.store.list(PREFIX).await? {
            self.look_at(&listed.key, listed.version).await?;
        }
        self.inner.loaded.store(true, Ordering::Release);
        self.inner.settled.notify_waiters();
        forget_old(&*self.store, &*self.inner.clock).await
    }

    async fn look_at(&self, key: &str, version: u64) -> Result<bool, StoreError> {
        let Some(name) = key.strip_prefix(PREFIX).map(Arc::<str>::from) else { return Ok(false) };
        if self.inner.known().get(&name).is_some_and(|known| known.version >= Some(version)) {
            return Ok(false);
        }
        let entry = self.store.get(key).await?;
        Ok(entry.is_some_and(|entry| self.take_over(&name, Record::read(&entry.value), entry.version)))
    }

    fn take_over(&self, name: &Arc<str>, record: Option<Record>, version: u64) -> bool {
        // A thread that sees it adopted must find the breaker moved.
        let one_by_one = self.inner.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.inner.known();
        let known = all.entry(Arc::clone(name)).or_default();
        known.version = Some(version);
        let Some(record) = record.filter(|record| record.moved_at > known.moved_at) else { return false };
        known.moved_at = record.moved_at;
        known.waits = false;
        match known.breaker.upgrade() {
            Some(shared) => {
                // Lock order: the breaker's first.
                drop(all);
                let (breaker, moved_at) = (CircuitBreaker { shared }, record.moved_at);
                // It may have moved since.
                let is_latest = || {
                    let is_latest = self.inner.known().get(name).is_some_and(|known| known.moved_at == moved_at);
                    self.inner.counters.adopted.fetch_add(u64::from(is_latest), Ordering::Relaxed);
                    is_latest
                };
                let adopted = breaker.adopt(record.seen_by(&*self.inner.clock), is_latest);
                drop(one_by_one);
                if let Some((from, to)) = adopted {
                    breaker.tell(from, to);
                }
            }
            None => known.record = Some(record),
        }
        true
    }

    async fn publish(&self) -> Result<(), StoreError> {
        let waiting: Vec<_> = self.inner.known().iter().filter(|(_, known)| known.waits).map(|(name, _)| Arc::clone(name)).collect();
        for name in waiting {
            self.publish_one(&name).await?;
        }
        while let Some((name, lease)) = self.inner.freed() {
            lease::give_back(&*self.store, &lease).await?;
            if let Some(known) = self.inner.known().get_mut(&name) {
                known.ended_leases.retain(|ended| *ended != lease);
            }
        }
        Ok(())
    }

    async fn publish_one(&self, name: &Arc<str>) -> Result<(), StoreError> {
        let key = key(name);
        loop {
            let (breaker, moved_at, version) = match self.inner.known().get(name) {
                Some(known) if known.waits => (known.breaker.upgrade(), known.moved_at, known.version),
                _ => return Ok(()),
            };
            let Some(breaker) = breaker else {
                self.written(name, moved_at, version);
                return Ok(());
            };
            let saved = CircuitBreaker { shared: breaker }.save();
            let Ok(json) = serde_json::to_vec(&Record::of(saved, moved_at, &*self.inner.clock)) else { return Ok(()) };
            match self.store.compare_and_set(&key, version, json.into(), JSON).await {
                Ok(version) => {
                    self.inner.counters.published.fetch_add(1, Ordering::Relaxed);
                    self.written(name, moved_at, Some(version));
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {
                    self.inner.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                    match self.store.get(&key).await? {
                        Some(entry) => {
                            self.take_over(name, Record::read(&entry.value), entry.version);
                        }
                        None => self.inner.known().entry(Arc::clone(name)).or_default().version = None,
                    }
                }
                // The key stays too long.
                Err(error @ (StoreError::KeyInvalid { .. } | StoreError::ValueTooLarge { .. })) => {
                    tracing::warn!(target: "upright", %error, breaker = &**name, "the breaker is not kept");
                    self.written(name, moved_at, version);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn written(&self, name: &Arc<str>, moved_at: u64, version: Option<u64>) {
        if let Some(known) = self.inner.known().get_mut(name) {
            known.version = version;
            known.waits = known.moved_at > moved_at;
        }
    }
}

impl CircuitBreaker {
    /// Calls in flight become irrelevant. Returns old and new phase.
    fn adopt(&self, mut saved: SavedState, is_latest: impl FnOnce() -> bool) -> Option<(Phase, Phase)> {
        let shared = &*self.shared;
        let mut kept = self.kept();
        if !is_latest() {
            return None;
        }
        let from = kept.state.phase;
        saved.state.generation = saved.state.generation.max(kept.state.generation).wrapping_add(1);
        let (new, admission) = resume(&shared.policy, kept.config, saved, shared.clock.now());
        if new.isolated {
            shared.gate.isolate(new.state.generation);
        } else {
            shared.gate.set(new.state.generation, admission);
        }
        let to = new.state.phase;
        *kept = new;
        Some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicySlot;
    use crate::testing::DrivenClock;

    fn breaker(clock: &DrivenClock) -> CircuitBreaker {
        let breaker = CircuitBreaker::builder("service").failure_threshold(1).policy(PolicySlot::native()).clock(clock.shared());
        breaker.build().unwrap()
    }

    #[test]
    fn a_call_in_flight_when_a_breaker_adopts_a_state_is_not_counted() {
        let breaker = breaker(&DrivenClock::new());
        let in_flight = breaker.try_acquire().unwrap();
        breaker.adopt(breaker.save(), || true);
        in_flight.failure(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (Phase::Closed, 0));
    }

    #[test]
    fn a_breaker_begins_as_the_one_of_its_name_that_lives_with_settings_of_its_own() {
        let clock = DrivenClock::new();
        let sharing = BreakerSharing::new(clock.shared());
        let shared = |name: &str, timeout: u64| {
            let breaker = CircuitBreaker::builder(name).failure_threshold(1).recovery_timeout(Duration::from_secs(timeout));
            breaker.policy(PolicySlot::native()).clock(clock.shared()).shared_by(sharing.clone()).build().unwrap()
        };
        let first = shared("service", 60);
        first.try_acquire().unwrap().failure(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let (second, other) = (shared("service", 9), shared("other", 9));
        assert_eq!((first.state(), second.state(), other.state()), (Phase::Open, Phase::Open, Phase::Closed));
        clock.advance(Duration::from_secs(10));
        assert_eq!((first.try_acquire().is_ok(), second.try_acquire().is_ok()), (false, true));
    }
}
