//! One policy for many programs: published once, swapped in by every host that follows.
//!
//! An order and the component go into a [`Store`] that all hosts share. Each host checks the policy by its own
//! [`PolicyLoader`], so a bad one does no harm, and reports its status. Without the store, hosts go on alone.
//!
//! ```text
//! policy/order                the latest order to all hosts, replaced by compare-and-set
//! policy/component/<digest>   the component of that order, and those of earlier orders
//! policy/host/<name>          the status of a host
//! ```

use crate::home::{ShadowRequest, active_label, swap_options};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use upright_core::clock::{SharedClock, SystemClock, unix_milliseconds};
use upright_core::policy::label;
use upright_core::store::following::{Calls, Follow, keep_up};
use upright_core::store::seal::JSON;
use upright_core::store::{Entry, Store, StoreError, background, check_key};
use upright_runtime::signature::Signature;
use upright_runtime::{LifeEvent, LifeObserver, Policy, PolicyError, PolicyLifecycle, PolicyLoader, Stage, WeakPolicyLifecycle};

const ORDER: &str = "policy/order";
const COMPONENTS: &str = "policy/component/";
const HOSTS: &str = "policy/host/";
const WASM: &str = "application/wasm";
const FORMAT: u32 = 1;
const WAY_BACK: usize = 10;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Interval of a host's reports without changes.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Why a fleet operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No order can be rolled back.
    #[error("no policy is published in this store; publish one first with `upright policy publish`")]
    NothingPublished,
    /// The thread that follows cannot be started.
    #[error("cannot start the thread that follows the fleet: {detail}")]
    NoThread {
        /// Why.
        detail: String,
    },
}

/// A published policy; all `None` for the built-in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// SHA-256 of the component, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Signature of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// How hosts swap a policy in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PublishOptions {
    /// Shadow to run first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowRequest>,
    /// Probation; `None` for the default. In JSON seconds.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::seconds")]
    pub probation: Option<Duration>,
}

/// Order to all hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    format: u32,
    /// Number of the order, from 1.
    pub number: u64,
    /// Policy to swap in.
    #[serde(flatten)]
    pub published: Published,
    /// How to swap it in.
    #[serde(flatten)]
    pub options: PublishOptions,
    /// Whether it returns to an earlier policy.
    #[serde(default)]
    pub rolls_back: bool,
    /// Time in milliseconds since 1970.
    pub unix_milliseconds: u64,
    /// Earlier policies to roll back to, newest last.
    #[serde(default)]
    pub before: Vec<Published>,
}

/// Status of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Name of the host.
    pub host: String,
    /// Name and version of the active policy.
    pub active: String,
    /// Digest of the active component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Number of the last order handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    /// Stage reached by the order's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Why the policy was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Time in milliseconds since 1970: of a change or, with a remote store, every [`REPORT_INTERVAL`].
    pub unix_milliseconds: u64,
    /// Process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
}

/// The hosts that follow one store. Clones share it.
#[derive(Clone)]
pub struct PolicyFleet {
    store: Arc<dyn Store>,
    clock: SharedClock,
}

impl PolicyFleet {
    /// The fleet of a shared store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::with_clock(store, SystemClock::shared())
    }

    /// The fleet of a shared store, by this clock.
    pub fn with_clock(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Publishes a policy with its signature. Returns the order's number.
    ///
    /// # Errors
    /// [`FleetError::Store`]; the earlier order stays.
    pub async fn publish(&self, policy: &Policy, options: PublishOptions) -> Result<u64, FleetError> {
        let published = Published {
            policy: Some(label(policy.description())),
            digest: Some(policy.digest().to_owned()),
            signature: policy.signature().cloned(),
        };
        self.publish_bytes(bytes::Bytes::copy_from_slice(policy.bytes()), published, options).await
    }

    async fn publish_bytes(&self, bytes: bytes::Bytes, published: Published, options: PublishOptions) -> Result<u64, FleetError> {
        let digest = published.digest.clone().unwrap_or_default();
        // Stored before the order that names it.
        self.store.put(&format!("{COMPONENTS}{digest}"), bytes, WASM).await?;
        let order = self.replace_order(|order| {
            let mut before = order.map_or_else(Vec::new, |order| [order.before, vec![order.published]].concat());
            before.drain(..before.len().saturating_sub(WAY_BACK));
            Ok((published.clone(), options, before, false))
        });
        let order = order.await?;
        let named =
            |digest: &str| order.before.iter().chain([&order.published]).any(|published| published.digest.as_deref() == Some(digest));
        for listed in self.store.list(COMPONENTS).await? {
            if !listed.key.strip_prefix(COMPONENTS).is_some_and(named) {
                self.store.compare_and_delete(&listed.key, listed.version).await?;
            }
        }
        self.forget_ended().await?;
        Ok(order.number)
    }

    async fn forget_ended(&self) -> Result<(), StoreError> {
        if self.store.is_on_this_machine() {
            for listed in self.store.list(HOSTS).await? {
                let status = self.store.get(&listed.key).await?.and_then(|entry| read::<HostStatus>(&listed.key, &entry).ok());
                // Processes of another container may be invisible.
                let is_old = |status: &HostStatus| self.age(status) > FORGOTTEN_AFTER;
                if status.is_none_or(|status| self.is_silent(&status) && is_old(&status)) {
                    self.store.compare_and_delete(&listed.key, listed.version).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether a host is silent for three [`REPORT_INTERVAL`]s or, with a local store, its process has ended.
    pub fn is_silent(&self, host: &HostStatus) -> bool {
        match host.process.filter(|_| self.store.is_on_this_machine()) {
            Some(process) => !runs(process),
            None => self.age(host) > REPORT_INTERVAL * 3,
        }
    }

    fn age(&self, host: &HostStatus) -> Duration {
        Duration::from_millis(unix_milliseconds(self.clock.wall()).saturating_sub(host.unix_milliseconds))
    }

    /// Orders all hosts back to the previous or built-in policy. Returns the order's number.
    ///
    /// # Errors
    /// [`FleetError::NothingPublished`] and [`FleetError::Store`].
    pub async fn roll_back(&self) -> Result<u64, FleetError> {
        let order = self.replace_order(|order| {
            let mut before = order.ok_or(FleetError::NothingPublished)?.before;
            Ok((before.pop().unwrap_or_default(), PublishOptions::default(), before, true))
        });
        Ok(order.await?.number)
    }

    /// Returns the latest order.
    ///
    /// # Errors
    /// Those of the store, and [`StoreError::Corrupt`].
    pub async fn order(&self) -> Result<Option<Order>, StoreError> {
        self.store.get(ORDER).await?.map(|entry| read(ORDER, &entry)).transpose()
    }

    /// The hosts by name.
    ///
    /// # Errors
    /// Those of the store, and [`StoreError::Corrupt`].
    pub async fn hosts(&self) -> Result<Vec<HostStatus>, StoreError> {
        let mut hosts = Vec::new();
        for listed in self.store.list(HOSTS).await? {
            if let Some(entry) = self.store.get(&listed.key).await? {
                hosts.push(read(&listed.key, &entry)?);
            }
        }
        Ok(hosts)
    }

    async fn replace_order(
        &self,
        next: impl Fn(Option<Order>) -> Result<(Published, PublishOptions, Vec<Published>, bool), FleetError>,
    ) -> Result<Order, FleetError> {
        loop {
            let entry = self.store.get(ORDER).await?;
            let (version, order) =
                (entry.as_ref().map(|entry| entry.version), entry.map(|entry| read::<Order>(ORDER, &entry)).transpose()?);
            let number = order.as_ref().map_or(0, |order| order.number) + 1;
            let (published, options, before, rolls_back) = next(order)?;
            let unix_milliseconds = unix_milliseconds(self.clock.wall());
            let order = Order { format: FORMAT, number, published, options, rolls_back, unix_milliseconds, before };
            match self.store.compare_and_set(ORDER, version, json(ORDER, &order)?, JSON).await {
                Ok(_) => return Ok(order),
                // One of the concurrent writers always succeeds.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl std::fmt::Debug for PolicyFleet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PolicyFleet")
    }
}

/// A host follows its fleet until this is dropped.
#[must_use = "the host stops following when this is dropped"]
pub struct Following {
    calls: Arc<Calls>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.calls.end();
    }
}

impl std::fmt::Debug for Following {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Following")
    }
}

impl PolicyFleet {
    /// Swaps into a slot what the fleet publishes and `loader` admits. Reports this host's status under its unique
    /// name.
    ///
    /// Without the store the active policy stays. A refusal is an event and a status.
    ///
    /// # Errors
    /// [`FleetError::NoThread`], or [`FleetError::Store`] for an invalid name.
    pub fn follow(&self, slot: &PolicyLifecycle, loader: &PolicyLoader, host: &str) -> Result<Following, FleetError> {
        let key = format!("{HOSTS}{host}");
        check_key(&key)?;
        let calls = Arc::new(Calls::default());
        let mut follower = Follower {
            slot: slot.downgrade(),
            fleet: self.clone(),
            loader: loader.clone(),
            host: host.to_owned(),
            key,
            calls: Arc::clone(&calls),
            done: None,
            said: None,
        };
        let runtime = background::runtime().map_err(|error| FleetError::NoThread { detail: error.to_string() })?;
        slot.observe(Arc::new(Wakes(Arc::downgrade(&calls))));
        let of_task = Arc::clone(&calls);
        runtime.spawn(async move {
            let clock = Arc::clone(&follower.fleet.clock);
            keep_up(&mut follower, &of_task, &clock).await;
        });
        Ok(Following { calls })
    }
}

/// Wakes the follower when the history grows, so that it reports a new status.
struct Wakes(Weak<Calls>);

impl LifeObserver for Wakes {
    fn observe(&self, event: LifeEvent<'_>) {
        if let (LifeEvent::Entry(_), Some(calls)) = (event, self.0.upgrade()) {
            calls.wake();
        }
    }
}

#[derive(Clone, Debug)]
struct Done {
    order: u64,
    stage: Option<Stage>,
    refused: Option<String>,
}

struct Follower {
    slot: WeakPolicyLifecycle,
    fleet: PolicyFleet,
    loader: PolicyLoader,
    host: String,
    key: String,
    calls: Arc<Calls>,
    done: Option<Done>,
    said: Option<HostStatus>,
}

impl Follow for Follower {
    async fn follow(&mut self, works: &AtomicBool) -> Result<(), StoreError> {
        let store = Arc::clone(&self.fleet.store);
        self.said = None;
        // Watches before reading, to miss no change.
        let mut changes = store.watch(ORDER).await?;
        loop {
            if let Some(order) = self.fleet.order().await?
                && self.done.as_ref().is_none_or(|done| done.order != order.number)
            {
                self.obey(order).await?;
            }
            if self.slot.upgrade().is_none() || self.calls.is_ended() {
                store.delete(&self.key).await?;
                return Ok(());
            }
            self.report().await?;
            works.store(true, Ordering::Relaxed);
            let woken = pin!(self.calls.woken());
            let again =
                if self.has_to_look_again() { Either::Left(self.fleet.clock.sleep(REPORT_INTERVAL)) } else { Either::Right(pending()) };
            let otherwise = select(again, woken);
            if let Either::Left((change, _)) = select(changes.next(), otherwise).await {
                change.ok_or(StoreError::Closed)??;
            }
        }
    }

    fn failed(&self, error: &StoreError, again: bool) {
        if !again {
            tracing::warn!(target: "upright", %error, "the fleet cannot be followed for now; the active policy stays");
        }
    }
}

impl Follower {
    async fn obey(&mut self, order: Order) -> Result<(), StoreError> {
        let component = match &order.published.digest {
            Some(digest) => match self.fleet.store.get(&format!("{COMPONENTS}{digest}")).await? {
                Some(entry) => Some(entry.value),
                None => {
                    let refused = Some(format!("the component sha256:{digest} is not in the store"));
                    self.done = Some(Done { order: order.number, stage: None, refused });
                    return Ok(());
                }
            },
            None => None,
        };
        let Some(slot) = self.slot.upgrade() else { return Ok(()) };
        let (number, loader) = (order.number, self.loader.clone());
        // Compiling would block other tasks.
        let swapped = tokio::task::spawn_blocking(move || swap(&slot, &order, component.as_deref(), &loader)).await;
        let (stage, refused) = match swapped {
            Ok(Ok(stage)) => (Some(stage), None),
            Ok(Err(refused)) => (None, Some(refused)),
            Err(error) => (None, Some(format!("swapping it in panicked: {error}"))),
        };
        self.done = Some(Done { order: number, stage, refused });
        Ok(())
    }

    /// Whether to look without an event: a probation may end, or other machines need a sign of life.
    fn has_to_look_again(&self) -> bool {
        let is_on_probation = || self.slot.upgrade().is_some_and(|slot| slot.is_on_probation());
        !self.fleet.store.is_on_this_machine() || is_on_probation()
    }

    async fn report(&mut self) -> Result<(), StoreError> {
        let Some(slot) = self.slot.upgrade() else { return Ok(()) };
        slot.settle();
        let status = HostStatus {
            host: self.host.clone(),
            active: active_label(&slot),
            digest: slot.policy().map(|policy| policy.digest().to_owned()),
            order: self.done.as_ref().map(|done| done.order),
            stage: self.done.as_ref().and_then(|done| done.stage),
            refused: self.done.as_ref().and_then(|done| done.refused.clone()),
            unix_milliseconds: unix_milliseconds(self.fleet.clock.wall()),
            process: Some(std::process::id()),
        };
        let said = self.said.as_ref().map(|said| HostStatus { unix_milliseconds: status.unix_milliseconds, ..said.clone() });
        if said.as_ref() == Some(&status) && self.fleet.store.is_on_this_machine() {
            return Ok(());
        }
        self.fleet.store.put(&self.key, json(&self.key, &status)?, JSON).await?;
        self.said = Some(status);
        Ok(())
    }
}

#[cfg(unix)]
fn runs(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    // Another user's process runs but cannot be signalled.
    process.is_some_and(|process| !matches!(rustix::process::test_kill_process(process), Err(rustix::io::Errno::SRCH)))
}

#[cfg(not(unix))]
fn runs(process: u32) -> bool {
    use sysinfo::{Pid, ProcessesToUpdate, System};
    // A system that does not say counts as running.
    System::new().map_or(true, |mut system| system.refresh_processes(ProcessesToUpdate::Some(&[Pid::from_u32(process)]), true) > 0)
}

fn swap(slot: &PolicyLifecycle, order: &Order, component: Option<&[u8]>, loader: &PolicyLoader) -> Result<Stage, String> {
    let Published { policy, digest, signature } = &order.published;
    let named = policy.as_deref().unwrap_or("the built-in policy");
    let refused = |error: &PolicyError| slot.note_refusal(named, error);
    let candidate = match component {
        // The swap probes it.
        Some(bytes) => loader.clone().probe(false).from_signed_bytes(bytes, signature.as_ref()).inspect_err(refused),
        None => Policy::built_in(),
    };
    let candidate = candidate.map_err(|error| error.to_string())?;
    if digest.as_deref().is_some_and(|digest| digest != candidate.digest()) {
        return Err(format!("what is stored as sha256:{} is sha256:{}", digest.as_deref().unwrap_or_default(), candidate.digest()));
    }
    let PublishOptions { shadow, probation } = order.options;
    if shadow.is_none() && slot.policy().is_some_and(|active| active.digest() == candidate.digest()) {
        return Ok(Stage::Active);
    }
    // An order alone must not bring in an old policy, unless this host ran it.
    let has_run = |slot: &PolicyLifecycle| {
        slot.history().iter().any(|entry| entry.stage == Stage::Active && entry.digest.as_deref() == Some(candidate.digest()))
    };
    let allow_lower_revision = order.rolls_back && has_run(slot);
    slot.swap(candidate, &swap_options(shadow, probation, allow_lower_revision)).map_err(|error| error.to_string())
}

fn json<T: Serialize>(key: &str, value: &T) -> Result<bytes::Bytes, StoreError> {
    serde_json::to_vec(value).map(Into::into).map_err(|source| StoreError::NotSerializable { key: key.to_owned(), source })
}

fn read<T: for<'de> Deserialize<'de>>(key: &str, entry: &Entry) -> Result<T, StoreError> {
    serde_json::from_slice(&entry.value).map_err(|error| StoreError::Corrupt { key: key.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests;
