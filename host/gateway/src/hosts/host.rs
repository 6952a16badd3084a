//! One upstream host, and all that requests read of it.
//!
//! Requests on all threads read a host's state, and few write it. So the state is atomics and pointers that a refresh
//! replaces as a whole. A request takes a lock only while a model loads, or where the host limits its calls.

use super::catalogue::{LoadedModel, Models};
use super::names::ModelName;
use super::peer::Peer;
use super::queue::{Limits, Queue, Queues};
use arc_swap::ArcSwapOption;
use http::{HeaderValue, Uri};
use semver::Version;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use upright_core::breaker::{CircuitBreaker, CircuitBreakers, OwnedPermit};
use upright_core::clock::{Instant, nanoseconds};
use upright_core::error::CircuitOpen;
use upright_core::types::{Classification, Fault, Phase, SuggestedAction};

/// Time that a failure of its own makes a host a worse choice than others.
pub(crate) const STRUCK: Duration = Duration::from_secs(10);

/// Maximum number of models that load on a host at once, as far as it is remembered. Clients choose the names.
const LOADS: usize = 64;

/// Maximum time for which an answer waits until a host's lists show a change.
const SHOWN: Duration = Duration::from_secs(1);

/// Rate of a host without a limit.
pub(crate) const FULL_RATE: u32 = u32::MAX;

/// The API that a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Ollama's, with its OpenAI routes.
    Ollama,
    /// OpenAI's alone: llama.cpp, vLLM, LM Studio.
    Openai,
}

/// Credentials that a host gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// None.
    #[default]
    None,
    /// The client's own `Authorization`.
    Client,
    /// This `Authorization`, with the host's API key. `Debug` hides a value that is marked as sensitive.
    Key(HeaderValue),
}

impl Credentials {
    /// `Authorization` for the host. `client` is the client's own.
    pub(crate) fn authorization<'a>(&'a self, client: Option<&'a HeaderValue>) -> Option<&'a HeaderValue> {
        match self {
            Self::None => None,
            Self::Client => client,
            Self::Key(value) => Some(value),
        }
    }
}

/// Settings of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostSettings {
    /// Name in breakers, logs and metrics; without a slash, which separates it from a model's name.
    pub name: Arc<str>,
    /// Address.
    pub url: Uri,
    /// API.
    pub kind: Kind,
    /// Share of the requests, at least 1.
    pub weight: u32,
    /// Limits of the calls of each model.
    pub limits: Limits,
    /// Credentials that it gets.
    pub credentials: Credentials,
}

/// An upstream host.
pub(crate) struct Host {
    settings: HostSettings,
    peer: Peer,
    authority: HeaderValue,
    /// Its name; `None` if no header can hold it.
    label: Option<HeaderValue>,
    outstanding: AtomicU32,
    rate: AtomicU32,
    /// Instant of the last probe's end, plus 1; 0 before the first.
    probed: AtomicU64,
    /// Instant until which it is a worse choice.
    struck: AtomicU64,
    version: ArcSwapOption<Version>,
    models: ArcSwapOption<Models>,
    loaded: ArcSwapOption<Vec<LoadedModel>>,
    loading: Mutex<Vec<Arc<Load>>>,
    /// Number of models that wait for the memory of others, by the last list.
    waiting: AtomicU32,
    breaker: CircuitBreaker,
    breakers: CircuitBreakers,
    queues: Queues,
    wishes: Wishes,
    /// Number of changes that requests made.
    changes: AtomicU64,
    /// Number of changes that its lists show.
    shown: watch::Sender<u64>,
}

/// A model that requests make a host load, until its list of loaded models says otherwise. Requests hold it.
struct Load {
    model: ModelName,
    window: Option<u32>,
    since: Instant,
    /// Whether the list shows other models in its place: it waits for their memory.
    waits: AtomicBool,
}

/// A model's place in a host's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Whether the model is loaded or loads, with a window large enough.
    pub warm: bool,
    /// Loaded window, tokens; `None` if unknown or not loaded.
    pub window: Option<u32>,
    /// Number of other models that are loaded or load, and whose memory it takes; for a warm model, number of models
    /// that wait for its memory, or whose memory it waits for.
    pub others: u32,
    /// Whether the model waits for the memory of others.
    pub waits: bool,
}

impl Memory {
    /// Number of models whose memory a request takes.
    pub(crate) const fn evicts(&self) -> u32 {
        if self.warm && !self.waits { 0 } else { self.others }
    }
}

/// Reasons to ask a host before its time.
#[derive(Default)]
struct Wishes {
    probe: AtomicBool,
    renew: AtomicBool,
    notify: Notify,
}

impl Host {
    /// A host that nothing is known of. All hosts share `breakers`, which are named `host` and `host/model`.
    pub(crate) fn new(settings: HostSettings, breakers: CircuitBreakers) -> Arc<Self> {
        let url = &settings.url;
        let authority = url.authority().map_or("", |authority| authority.as_str());
        Arc::new(Self {
            peer: Peer::of(url),
            label: HeaderValue::from_str(&settings.name).ok(),
            authority: HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static("localhost")),
            outstanding: AtomicU32::new(0),
            rate: AtomicU32::new(FULL_RATE),
            probed: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            version: ArcSwapOption::empty(),
            models: ArcSwapOption::empty(),
            loaded: ArcSwapOption::empty(),
            loading: Mutex::default(),
            waiting: AtomicU32::new(0),
            breaker: breakers.get(&settings.name),
            breakers,
            queues: Queues::new(settings.limits),
            wishes: Wishes::default(),
            changes: AtomicU64::new(0),
            shown: watch::Sender::new(0),
            settings,
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// Its name as a header's value; `None` if no header can hold it.
    pub(crate) fn label(&self) -> Option<&HeaderValue> {
        self.label.as_ref()
    }

    /// Where to connect to.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Its API.
    pub(crate) fn kind(&self) -> Kind {
        self.settings.kind
    }

    /// Value of `Host` in requests to it.
    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> &HostSettings {
        &self.settings
    }

    /// Number of requests in flight.
    pub(crate) fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Maximum number of requests that it should have in flight: 0 if it cannot be reached, [`FULL_RATE`] without a
    /// limit, and a few just after it came back.
    pub(crate) fn rate(&self) -> u32 {
        self.rate.load(Ordering::Relaxed)
    }

    /// Whether it answered its last probe, or was not probed yet.
    pub(crate) fn is_reachable(&self) -> bool {
        self.rate() > 0
    }

    /// The end of its last probe.
    pub(crate) fn probed(&self) -> Option<Instant> {
        self.probed.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Whether it failed by itself within [`STRUCK`], and did not succeed since.
    pub(crate) fn is_struck(&self, now: Instant) -> bool {
        now < self.struck.load(Ordering::Relaxed)
    }

    /// Its version.
    pub(crate) fn version(&self) -> Option<Arc<Version>> {
        self.version.load_full()
    }

    /// Its models; `None` before it has listed them.
    pub(crate) fn models(&self) -> Option<Arc<Models>> {
        self.models.load_full()
    }

    /// Its loaded models; `None` before it has listed them.
    pub(crate) fn loaded(&self) -> Option<Arc<Vec<LoadedModel>>> {
        self.loaded.load_full()
    }

    /// The queue of a model; `None` without a limit.
    pub(crate) fn queue(&self, model: &ModelName) -> Option<Arc<Queue>> {
        self.queues.get(self.name(), model)
    }

    /// Whether a new call of a model would wait in its queue.
    pub(crate) fn is_full(&self, model: &ModelName) -> bool {
        self.queues.is_full(model)
    }

    /// The breaker of a model on this host, for a [`Run`](upright_core::driving::Run): the policy decides which
    /// failures count.
    pub(crate) fn model_breaker(&self, model: &ModelName) -> CircuitBreaker {
        self.breakers.get(&self.model_key(model))
    }

    fn model_key(&self, model: &ModelName) -> String {
        [self.name(), "/", model.as_str()].concat()
    }

    /// Whether both breakers would admit a call now. An open breaker whose time is over turns half-open by this.
    pub(crate) fn admits(&self, model: Option<&ModelName>) -> bool {
        // A dropped permit gives a probe's place back.
        let admits = |breaker: &CircuitBreaker| breaker.try_acquire().is_ok();
        admits(&self.breaker) && model.and_then(|model| self.breakers.find(&self.model_key(model))).is_none_or(|breaker| admits(&breaker))
    }

    /// The phase of the breaker that admits less.
    pub(crate) fn phase(&self, model: Option<&ModelName>) -> Phase {
        let of_model = model.and_then(|model| self.breakers.find(&self.model_key(model))).map(|breaker| breaker.state());
        let phases = [Some(self.breaker.state()), of_model];
        let has = |phase| phases.contains(&Some(phase));
        [Phase::Open, Phase::HalfOpen].into_iter().find(|phase| has(*phase)).unwrap_or(Phase::Closed)
    }

    /// The place of a model in its memory. `wanted` is the smallest window that will do, if the request has one. An
    /// OpenAI-compatible host does not say what it has loaded, so all its models count as warm.
    pub(crate) fn memory(&self, model: &ModelName, wanted: Option<u32>) -> Memory {
        if self.kind() == Kind::Openai {
            return Memory { warm: true, ..Memory::default() };
        }
        let of = |listed: &[LoadedModel]| listed.iter().find(|loaded| loaded.model == *model).map(|loaded| loaded.window);
        let listed = self.loaded.load();
        let warm = |window| Memory { warm: true, window, others: self.waiting.load(Ordering::Relaxed), waits: false };
        if let Some(window) = listed.as_deref().and_then(|listed| of(listed)).filter(|window| fits(*window, wanted)) {
            return warm(window);
        }
        // A refresh moves a model from one list to the other under this lock.
        let loading = self.loading();
        let listed = self.loaded.load();
        let listed = listed.as_deref().map_or(&[][..], Vec::as_slice);
        let window = of(listed);
        if let Some(window) = window.filter(|window| fits(*window, wanted)) {
            return warm(window);
        }
        let load = loading.iter().find(|load| load.model == *model && fits(load.window, wanted));
        if let Some(load) = load.filter(|load| !load.waits.load(Ordering::Relaxed)) {
            return Memory { warm: true, window: load.window, ..Memory::default() };
        }
        let all = listed.iter().map(|loaded| &loaded.model).chain(loading.iter().map(|load| &load.model));
        let others: BTreeSet<&ModelName> = all.filter(|other| *other != model).collect();
        let window = load.map_or(window.flatten(), |load| load.window);
        Memory { warm: load.is_some(), window, others: u32::try_from(others.len()).unwrap_or(u32::MAX), waits: load.is_some() }
    }

    fn loading(&self) -> MutexGuard<'_, Vec<Arc<Load>>> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request. `model` is the one that it makes the host load, if any: from now on it counts as warm here
    /// for other requests too.
    ///
    /// # Errors
    /// [`CircuitOpen`] of the host's own breaker.
    pub(crate) fn begin(self: &Arc<Self>, model: Option<&ModelName>, window: Option<u32>, now: Instant) -> Result<InFlight, CircuitOpen> {
        let permit = self.breaker.try_acquire_owned()?;
        let load = model.and_then(|model| self.load(model, window, now));
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Ok(InFlight { host: Arc::clone(self), permit: Some(permit), load })
    }

    /// The load that a request waits for, if any.
    fn load(&self, model: &ModelName, window: Option<u32>, now: Instant) -> Option<Arc<Load>> {
        let is_listed = |loaded: &LoadedModel| loaded.model == *model && fits(loaded.window, window);
        if self.kind() == Kind::Openai || self.loaded.load().as_deref().is_some_and(|listed| listed.iter().any(is_listed)) {
            return None;
        }
        let mut loading = self.loading();
        if let Some(load) = loading.iter().find(|load| load.model == *model && fits(load.window, window)) {
            return Some(Arc::clone(load));
        }
        if loading.len() >= LOADS {
            loading.remove(0);
        }
        let load = Arc::new(Load { model: model.clone(), window, since: now, waits: AtomicBool::new(false) });
        loading.push(Arc::clone(&load));
        drop(loading);
        // The list shows which models stay beside it.
        self.renew();
        Some(load)
    }

    /// Asks for a probe now.
    pub(crate) fn suspect(&self) {
        self.wishes.probe.store(true, Ordering::Release);
        self.wishes.notify.notify_one();
    }

    /// Asks for its lists soon: a model that they show is missing.
    pub(crate) fn renew(&self) {
        self.wishes.renew.store(true, Ordering::Release);
        self.wishes.notify.notify_one();
    }

    /// Asks for its lists now: a request has changed its models, or those that it has loaded.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.wishes.notify.notify_one();
    }

    /// Number of changes that requests made.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Its lists show this number of changes.
    pub(super) fn shows(&self, changes: u64) {
        self.shown.send_replace(changes);
    }

    /// Ends when its lists show the changes so far, at the latest after [`SHOWN`].
    pub(crate) async fn shown(&self) {
        let changes = self.changes();
        if *self.shown.borrow() < changes && self.is_reachable() {
            // A host that does not list its models in time holds up nobody.
            let _ = tokio::time::timeout(SHOWN, self.shown.subscribe().wait_for(|shown| *shown >= changes)).await;
        }
    }

    /// Whether a probe and new lists are asked for. Each is said once.
    pub(super) fn take_wishes(&self) -> (bool, bool) {
        (self.wishes.probe.swap(false, Ordering::AcqRel), self.wishes.renew.swap(false, Ordering::AcqRel))
    }

    /// Ends when somebody asks for a probe or new lists.
    pub(super) async fn wished(&self) {
        self.wishes.notify.notified().await;
    }

    /// A probe ended. Breakers of a host that came back are closed: their failures are those of the time before.
    pub(super) fn was_probed(&self, rate: u32, now: Instant) {
        self.probed.store(now.saturating_add(1), Ordering::Relaxed);
        if self.rate.swap(rate, Ordering::Relaxed) == 0 && rate > 0 {
            let prefix = format!("{}/", self.name());
            let mine = |breaker: &CircuitBreaker| breaker.name() == self.name() || breaker.name().starts_with(&prefix);
            self.breakers.all().iter().filter(|breaker| mine(breaker) && !breaker.is_isolated()).for_each(CircuitBreaker::reset);
            self.struck.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn learn_version(&self, version: Option<Version>) {
        self.version.store(version.map(Arc::new));
    }

    pub(super) fn learn_models(&self, models: Models) {
        self.models.store(Some(Arc::new(models)));
    }

    /// Its loaded models, as asked for at this instant. A load that they do not show goes on while requests wait for
    /// it, since a model may wait for the memory of another.
    pub(super) fn learn_loaded(&self, loaded: Vec<LoadedModel>, asked: Instant) {
        let mut loading = self.loading();
        loading.retain(|load| {
            let is_listed = loaded.iter().any(|listed| listed.model == load.model && fits(listed.window, load.window));
            let would_be_listed = load.since < asked;
            load.waits.store(would_be_listed && !loaded.is_empty(), Ordering::Relaxed);
            !is_listed && (Arc::strong_count(load) > 1 || !would_be_listed)
        });
        let waiting = loading.iter().filter(|load| load.waits.load(Ordering::Relaxed)).count();
        self.waiting.store(u32::try_from(waiting).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.loaded.store(Some(Arc::new(loaded)));
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Host({:?}, rate {}, {} outstanding)", self.name(), self.rate(), self.outstanding())
    }
}

/// Whether a window will do. An unknown one will.
fn fits(window: Option<u32>, wanted: Option<u32>) -> bool {
    window.zip(wanted).is_none_or(|(window, wanted)| window >= wanted)
}

/// A request in flight at a host. Dropping it without an outcome blames nobody.
pub(crate) struct InFlight {
    host: Arc<Host>,
    permit: Option<OwnedPermit>,
    load: Option<Arc<Load>>,
}

impl InFlight {
    /// The host answered as it should. Only the first outcome counts.
    pub(crate) fn succeeded(&mut self) {
        if let Some(permit) = self.permit.take() {
            permit.success();
            // Most hosts are not: reading shares the cache line.
            if self.host.struck.load(Ordering::Relaxed) > 0 {
                self.host.struck.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The request failed, and the policy has classified it. Failures that count and are no model's are the host's own:
    /// its breaker hears of them, and it is probed. Only the first outcome counts.
    pub(crate) fn failed(&mut self, fault: Fault, classification: &Classification, now: Instant) {
        let Some(permit) = self.permit.take() else { return };
        let is_missing = classification.action == SuggestedAction::PullModel;
        if let Some(load) = self.load.take_if(|_| classification.counted || is_missing) {
            self.host.loading().retain(|other| !Arc::ptr_eq(other, &load));
            self.host.renew();
        }
        if classification.counted && !classification.model_specific {
            permit.fault(fault);
            self.host.struck.store(now.saturating_add(nanoseconds(STRUCK)), Ordering::Relaxed);
            self.host.suspect();
        }
        if is_missing {
            self.host.renew();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.host.outstanding.fetch_sub(1, Ordering::Relaxed);
        // Only the host knows how the load ended.
        if self.load.take().is_some() {
            self.host.changed();
        }
    }
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "InFlight({:?})", self.host.name())
    }
}

#[cfg(test)]
mod tests;
