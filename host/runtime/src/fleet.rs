//! One policy for many programs: published once, swapped in by every host that follows.
//!
//! A fix of the recovery logic is needed on every machine at once, and a bad one must do no harm on any. So what is published is an order in a
//! [`Store`] that all hosts have in common, with the component beside it. Each host admits it by its own rules, those of its [`PolicyLoader`] and of the
//! probe, swaps it in or refuses it, goes on by itself while the store is away, and says how it stands.
//!
//! ```text
//! policy/order                what all hosts shall do, the latest only: replaced by compare-and-set
//! policy/component/<digest>   the component that it names, and those of the orders before it
//! policy/host/<name>          how a host stands
//! ```

use super::error::PolicyError;
use super::home::ShadowRequest;
use super::home::swap_options;
use super::lifecycle::SwapOptions;
use super::loaded::Policy;
use super::loader::PolicyLoader;
use super::signature::Signature;
use crate::clock::{SharedClock, unix_milliseconds};
use crate::events::Stage;
use crate::lifecycle::{PolicyLifecycle, Shared};
use crate::store::following::{Calls, Follow, keep_up};
use crate::store::seal::JSON;
use crate::store::{Entry, Store, StoreError, background};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

const ORDER: &str = "policy/order";
const COMPONENTS: &str = "policy/component/";
const HOSTS: &str = "policy/host/";
const WASM: &str = "application/wasm";
/// The layout of an [`Order`].
const FORMAT: u32 = 1;
/// So many orders can be gone back from.
const WAY_BACK: usize = 10;
/// A host of this machine that has ended is forgotten after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// How often a host says how it stands, where nothing happens.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Why nothing could be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to go back from.
    #[error("no policy was published here; expected a state in which `upright policy publish` has put one")]
    NothingPublished,
    /// The system gives no thread to follow on.
    #[error("the system gives no thread to follow a fleet on: {detail}")]
    NoThread {
        /// Why.
        detail: String,
    },
}

/// A policy that was published; none of its fields for the built-in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// SHA-256 of the component, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// How a policy is to be swapped in everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PublishOptions {
    /// In the shadow first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowRequest>,
    /// Its probation, in seconds; none for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probation: Option<f64>,
}

/// What all hosts shall do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    format: u32,
    /// Counts the orders.
    pub number: u64,
    /// The policy to swap in.
    #[serde(flatten)]
    pub published: Published,
    /// How.
    #[serde(flatten)]
    pub options: PublishOptions,
    /// Whether it leads back to a policy from before.
    #[serde(default)]
    pub rolls_back: bool,
    /// When it was given, in milliseconds since 1970.
    pub unix_milliseconds: u64,
    /// The policies of the orders before that can be gone back to, the latest at the end.
    #[serde(default)]
    pub before: Vec<Published>,
}

/// How a host stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its name.
    pub host: String,
    /// The active policy's name and version.
    pub active: String,
    /// Its digest, where it is a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The number of the order that it has dealt with last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    /// The stage that the order's policy reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// When it said so, in milliseconds since 1970: whenever something changes and, where the store is not this machine's own, every [`REPORT_INTERVAL`].
    pub unix_milliseconds: u64,
    /// The number of its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
}

/// The hosts that follow what is published in one store. Cloning shares it.
#[derive(Clone)]
pub struct PolicyFleet {
    store: Arc<dyn Store>,
    clock: SharedClock,
}

impl PolicyFleet {
    /// The fleet whose hosts have this store in common.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Publishes a policy, with the signature that it was loaded with. Returns the number of the order.
    ///
    /// # Errors
    /// [`FleetError::Store`]; then the order before stands.
    pub async fn publish(&self, policy: &Policy, options: PublishOptions) -> Result<u64, FleetError> {
        let published = Published {
            policy: Some(crate::label(policy.description())),
            digest: Some(policy.digest().to_owned()),
            signature: policy.signature().cloned(),
        };
        self.publish_bytes(bytes::Bytes::copy_from_slice(policy.bytes()), published, options).await
    }

    /// Publishes whatever it is: each host finds out by itself.
    pub(crate) async fn publish_bytes(
        &self,
        bytes: bytes::Bytes,
        published: Published,
        options: PublishOptions,
    ) -> Result<u64, FleetError> {
        let digest = published.digest.clone().unwrap_or_default();
        // Before the order that names it.
        self.store.put(&format!("{COMPONENTS}{digest}"), bytes, WASM).await?;
        let order = self.order_anew(|order| {
            let mut before = order.map_or_else(Vec::new, |order| [order.before, vec![order.published]].concat());
            before.drain(..before.len().saturating_sub(WAY_BACK));
            Ok((published.clone(), options, before, false))
        });
        let order = order.await?;
        // What no order leads to any more is of no use.
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

    /// Removes what programs of this machine said that have ended without taking it back.
    async fn forget_ended(&self) -> Result<(), StoreError> {
        if self.store.is_on_this_machine() {
            for listed in self.store.list(HOSTS).await? {
                let status = self.store.get(&listed.key).await?.and_then(|entry| read::<HostStatus>(&listed.key, &entry).ok());
                // The system may not show the processes of another container.
                let is_old = |status: &HostStatus| self.age(status) > FORGOTTEN_AFTER;
                if status.is_none_or(|status| self.is_silent(&status) && is_old(&status)) {
                    self.store.compare_and_delete(&listed.key, listed.version).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether a host has ended, or cannot reach the store: it has said nothing for three times [`REPORT_INTERVAL`]. Where the store is this machine's own,
    /// whether its process has ended.
    pub fn is_silent(&self, host: &HostStatus) -> bool {
        match host.process.filter(|_| self.store.is_on_this_machine()) {
            Some(process) => !runs(process),
            None => self.age(host) > REPORT_INTERVAL * 3,
        }
    }

    fn age(&self, host: &HostStatus) -> Duration {
        Duration::from_millis(unix_milliseconds(self.clock.wall()).saturating_sub(host.unix_milliseconds))
    }

    /// Orders all hosts back to the policy that was published before; to the built-in one where there is none. Returns the number of the order.
    ///
    /// # Errors
    /// [`FleetError::NothingPublished`], and [`FleetError::Store`].
    pub async fn roll_back(&self) -> Result<u64, FleetError> {
        let order = self.order_anew(|order| {
            let mut before = order.ok_or(FleetError::NothingPublished)?.before;
            Ok((before.pop().unwrap_or_default(), PublishOptions::default(), before, true))
        });
        Ok(order.await?.number)
    }

    /// What was ordered last.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Corrupt`] where it is no order.
    pub async fn order(&self) -> Result<Option<Order>, StoreError> {
        self.store.get(ORDER).await?.map(|entry| read(ORDER, &entry)).transpose()
    }

    /// The hosts, by name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn hosts(&self) -> Result<Vec<HostStatus>, StoreError> {
        let mut hosts = Vec::new();
        for listed in self.store.list(HOSTS).await? {
            if let Some(entry) = self.store.get(&listed.key).await? {
                hosts.push(read(&listed.key, &entry)?);
            }
        }
        Ok(hosts)
    }

    /// Replaces the order, whoever else does so at the same time.
    async fn order_anew(
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
                // Of those who order at the same time one always succeeds.
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

impl PolicyLifecycle {
    /// Swaps in what is published in the fleet, by the loader's rules, now and whenever something else is; and tells the fleet how this host stands,
    /// under a name that no other host may have.
    ///
    /// While the store cannot be reached the active policy stays. A policy that is refused is an event, and told to the fleet.
    ///
    /// # Errors
    /// [`FleetError::NoThread`], and [`FleetError::Store`] where the name cannot be part of a key.
    pub fn follow(&self, fleet: &PolicyFleet, loader: &PolicyLoader, host: &str) -> Result<Following, FleetError> {
        let key = format!("{HOSTS}{host}");
        crate::store::check_key(&key)?;
        let calls = Arc::new(Calls::default());
        let mut follower = Follower {
            slot: Arc::downgrade(&self.shared),
            fleet: fleet.clone(),
            loader: loader.clone(),
            host: host.to_owned(),
            key,
            calls: Arc::clone(&calls),
            done: None,
            said: None,
        };
        let runtime = background::runtime().map_err(|error| FleetError::NoThread { detail: error.to_string() })?;
        self.life().follower = Arc::downgrade(&calls);
        let of_task = Arc::clone(&calls);
        runtime.spawn(async move {
            let clock = Arc::clone(&follower.fleet.clock);
            keep_up(&mut follower, &of_task, &clock).await;
        });
        Ok(Following { calls })
    }
}

/// What came of an order.
#[derive(Clone, Debug)]
struct Done {
    order: u64,
    stage: Option<Stage>,
    refused: Option<String>,
}

struct Follower {
    slot: Weak<Shared>,
    fleet: PolicyFleet,
    loader: PolicyLoader,
    host: String,
    key: String,
    calls: Arc<Calls>,
    done: Option<Done>,
    /// Its status as the store has it.
    said: Option<HostStatus>,
}

impl Follow for Follower {
    async fn follow(&mut self, works: &AtomicBool) -> Result<(), StoreError> {
        let store = Arc::clone(&self.fleet.store);
        self.said = None;
        // Before looking, so that nothing in between is overlooked.
        let mut changes = store.watch(ORDER).await?;
        loop {
            if let Some(order) = self.fleet.order().await?
                && self.done.as_ref().is_none_or(|done| done.order != order.number)
            {
                self.obey(order).await?;
            }
            if self.slot.strong_count() == 0 || self.calls.is_ended() {
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
        let Some(slot) = self.slot.upgrade().map(PolicyLifecycle::of) else { return Ok(()) };
        let (number, loader) = (order.number, self.loader.clone());
        // Compiling takes long enough to keep everything else on this thread waiting.
        let swapped = tokio::task::spawn_blocking(move || swap(&slot, &order, component.as_deref(), &loader)).await;
        let (stage, refused) = match swapped {
            Ok(Ok(stage)) => (Some(stage), None),
            Ok(Err(refused)) => (None, Some(refused)),
            Err(error) => (None, Some(format!("swapping it in panicked: {error}"))),
        };
        self.done = Some(Done { order: number, stage, refused });
        Ok(())
    }

    /// Whether something may change that nobody says: that a probation is over, or, where others can see nothing else, that this program still runs.
    fn has_to_look_again(&self) -> bool {
        let is_on_probation = || self.slot.upgrade().is_some_and(|shared| PolicyLifecycle::of(shared).is_on_probation());
        !self.fleet.store.is_on_this_machine() || is_on_probation()
    }

    async fn report(&mut self) -> Result<(), StoreError> {
        let Some(slot) = self.slot.upgrade().map(PolicyLifecycle::of) else { return Ok(()) };
        slot.settle();
        let status = HostStatus {
            host: self.host.clone(),
            active: slot.active_label(),
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

/// Whether a process of this machine runs.
#[cfg(unix)]
fn runs(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    // One of another user's may not be asked, and runs.
    process.is_some_and(|process| !matches!(rustix::process::test_kill_process(process), Err(rustix::io::Errno::SRCH)))
}

#[cfg(not(unix))]
fn runs(process: u32) -> bool {
    use sysinfo::{Pid, ProcessesToUpdate, System};
    System::new().refresh_processes(ProcessesToUpdate::Some(&[Pid::from_u32(process)]), true) > 0
}

/// Does what was ordered, by this host's rules.
fn swap(slot: &PolicyLifecycle, order: &Order, component: Option<&[u8]>, loader: &PolicyLoader) -> Result<Stage, String> {
    let Published { policy, digest, signature } = &order.published;
    let named = policy.as_deref().unwrap_or("the built-in policy");
    let refused = |error: &PolicyError| slot.note_refusal(named, error);
    let candidate = match component {
        Some(bytes) => loader.candidate(bytes, signature.as_ref()).inspect_err(refused),
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
    // A lower revision is a way back only to what this host has let in before: an order alone must not bring an old policy in.
    let has_run = |slot: &PolicyLifecycle| {
        slot.history().iter().any(|entry| entry.stage == Stage::Active && entry.digest.as_deref() == Some(candidate.digest()))
    };
    let allow_lower_revision = order.rolls_back && has_run(slot);
    let options: SwapOptions = swap_options(shadow, probation, allow_lower_revision)?;
    slot.swap(candidate, &options).map_err(|error| error.to_string())
}

fn json<T: Serialize>(key: &str, value: &T) -> Result<bytes::Bytes, StoreError> {
    serde_json::to_vec(value).map(Into::into).map_err(|source| StoreError::NotSerializable { key: key.to_owned(), source })
}

fn read<T: for<'de> Deserialize<'de>>(key: &str, entry: &Entry) -> Result<T, StoreError> {
    serde_json::from_slice(&entry.value).map_err(|error| StoreError::Corrupt { key: key.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests;
