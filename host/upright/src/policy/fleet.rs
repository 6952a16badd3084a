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
use super::life::SwapOptions;
use super::loaded::Policy;
use super::loader::PolicyLoader;
use super::signature::Signature;
use super::slot::{PolicySlot, Shared};
use super::stage::Stage;
use crate::clock::SharedClock;
use crate::store::{Entry, Store, StoreError, background};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

const ORDER: &str = "policy/order";
const COMPONENTS: &str = "policy/component/";
const HOSTS: &str = "policy/host/";
const JSON: &str = "application/json";
const WASM: &str = "application/wasm";
/// The layout of an [`Order`].
const FORMAT: u32 = 1;
/// So many orders can be gone back from.
const WAY_BACK: usize = 10;
/// How often a host says how it stands, where nothing happens.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a store that cannot be reached is left alone: the first time, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

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
    /// When it said so, in milliseconds since 1970. Every [`REPORT_INTERVAL`]; one that is older has ended, or cannot reach the store.
    pub unix_milliseconds: u64,
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
            policy: Some(super::slot::label(policy.description())),
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
        Ok(order.number)
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
            let unix_milliseconds = milliseconds(self.clock.wall());
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
    stop: Arc<Stop>,
}

#[derive(Default)]
struct Stop {
    is_asked: AtomicBool,
    wake: Notify,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.is_asked.store(true, Ordering::Release);
        self.stop.wake.notify_one();
    }
}

impl std::fmt::Debug for Following {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Following")
    }
}

impl PolicySlot {
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
        let stop = Arc::new(Stop::default());
        let follower = Follower {
            slot: Arc::downgrade(&self.shared),
            fleet: fleet.clone(),
            loader: loader.clone(),
            host: host.to_owned(),
            key,
            stop: Arc::clone(&stop),
            done: None,
        };
        let runtime = background::runtime().map_err(|error| FleetError::NoThread { detail: error.to_string() })?;
        runtime.spawn(follower.run());
        Ok(Following { stop })
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
    stop: Arc<Stop>,
    done: Option<Done>,
}

impl Follower {
    async fn run(mut self) {
        let (mut pause, mut is_told) = (PAUSES.0, false);
        while let Err(error) = self.follow(&mut is_told).await {
            if !std::mem::replace(&mut is_told, true) {
                pause = PAUSES.0;
                tracing::warn!(target: "upright", %error, "the fleet cannot be followed for now; the active policy stays");
            }
            let stopped = pin!(self.stop.asked());
            if let Either::Left(_) = select(stopped, self.fleet.clock.sleep(pause)).await {
                return;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Until nobody wants it any more, or until the store fails.
    async fn follow(&mut self, is_told: &mut bool) -> Result<(), StoreError> {
        let store = Arc::clone(&self.fleet.store);
        // Before looking, so that nothing in between is overlooked.
        let mut changes = store.watch(ORDER).await?;
        loop {
            if let Some(order) = self.fleet.order().await?
                && self.done.as_ref().is_none_or(|done| done.order != order.number)
            {
                self.obey(order).await?;
            }
            if self.slot.strong_count() == 0 || self.stop.is_asked.load(Ordering::Acquire) {
                store.delete(&self.key).await?;
                return Ok(());
            }
            self.report().await?;
            *is_told = false;
            let stop = Arc::clone(&self.stop);
            let stopped = pin!(stop.asked());
            let otherwise = select(self.fleet.clock.sleep(REPORT_INTERVAL), stopped);
            if let Either::Left((change, _)) = select(changes.next(), otherwise).await {
                change.ok_or(StoreError::Closed)??;
            }
        }
    }

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
        let Some(slot) = self.slot.upgrade().map(|shared| PolicySlot { shared }) else { return Ok(()) };
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

    async fn report(&self) -> Result<(), StoreError> {
        let Some(slot) = self.slot.upgrade().map(|shared| PolicySlot { shared }) else { return Ok(()) };
        slot.settle();
        let status = HostStatus {
            host: self.host.clone(),
            active: slot.active_label(),
            digest: slot.policy().map(|policy| policy.digest().to_owned()),
            order: self.done.as_ref().map(|done| done.order),
            stage: self.done.as_ref().and_then(|done| done.stage),
            refused: self.done.as_ref().and_then(|done| done.refused.clone()),
            unix_milliseconds: milliseconds(self.fleet.clock.wall()),
        };
        self.fleet.store.put(&self.key, json(&self.key, &status)?, JSON).await.map(drop)
    }
}

impl Stop {
    async fn asked(&self) {
        while !self.is_asked.load(Ordering::Acquire) {
            self.wake.notified().await;
        }
    }
}

/// Does what was ordered, by this host's rules.
fn swap(slot: &PolicySlot, order: &Order, component: Option<&[u8]>, loader: &PolicyLoader) -> Result<Stage, String> {
    let Published { policy, digest, signature } = &order.published;
    let named = policy.as_deref().unwrap_or("the built-in policy");
    let refused = |error: &PolicyError| slot.note_refusal(named, error);
    let candidate = match component {
        Some(bytes) => loader.from_signed_bytes(bytes, signature.as_ref()).inspect_err(refused),
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
    let has_run = |slot: &PolicySlot| {
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

fn milliseconds(wall: SystemTime) -> u64 {
    u64::try_from(wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::signature::{SecretKey, Trust};
    use crate::store::MemoryStore;
    use crate::testing::{AwayStore, DrivenClock};

    const STEADY: &[u8] = include_bytes!("../../../../guest/examples/steady/steady.wasm");
    const CAUTIOUS: &[u8] = include_bytes!("../../../../guest/examples/cautious/cautious.wasm");

    struct Scene {
        clock: DrivenClock,
        fleet: PolicyFleet,
        store: AwayStore,
    }

    impl Scene {
        fn new() -> Self {
            let clock = DrivenClock::new();
            let store = AwayStore::new(MemoryStore::new(clock.shared()));
            Self { fleet: PolicyFleet::new(Arc::new(store.clone()), clock.shared()), clock, store }
        }

        fn host(&self, name: &str, loader: &PolicyLoader) -> (PolicySlot, Following) {
            let slot = PolicySlot::built_in().connected(self.clock.shared(), crate::events::Events::default());
            let following = slot.follow(&self.fleet, loader, name).unwrap();
            (slot, following)
        }

        /// Waits until all of these hosts have dealt with an order.
        async fn dealt_with(&self, order: u64, hosts: usize) -> Vec<HostStatus> {
            let began = std::time::Instant::now();
            loop {
                let statuses = self.fleet.hosts().await.unwrap_or_default();
                if statuses.len() == hosts && statuses.iter().all(|status| status.order == Some(order)) {
                    return statuses;
                }
                assert!(began.elapsed() < Duration::from_secs(60), "{statuses:?}");
                tokio::task::yield_now().await;
            }
        }
    }

    fn policy(bytes: &[u8]) -> Policy {
        Policy::from_bytes(bytes).unwrap()
    }

    #[tokio::test]
    async fn what_is_published_once_is_active_everywhere_and_a_way_back_is_one_order() {
        let scene = Scene::new();
        let loader = PolicyLoader::default();
        let hosts: Vec<_> = ["a", "b", "c"].map(|name| scene.host(name, &loader)).into();
        assert_eq!(scene.fleet.publish(&policy(STEADY), PublishOptions::default()).await.unwrap(), 1);
        let statuses = scene.dealt_with(1, 3).await;
        assert!(
            statuses.iter().all(|status| status.stage == Some(Stage::Active) && status.active.starts_with("upright-steady")),
            "{statuses:?}"
        );
        assert!(hosts.iter().all(|(slot, _)| slot.description().name == "upright-steady"));
        assert_eq!(scene.fleet.publish(&policy(CAUTIOUS), PublishOptions::default()).await.unwrap(), 2);
        scene.dealt_with(2, 3).await;
        // One that comes later.
        let (late, _following) = scene.host("d", &loader);
        scene.dealt_with(2, 4).await;
        assert_eq!(late.description().name, "upright-cautious");
        for (number, name) in [(3, "upright-steady"), (4, "upright-default"), (5, "upright-default")] {
            assert_eq!(scene.fleet.roll_back().await.unwrap(), number);
            scene.dealt_with(number, 4).await;
            assert_eq!(late.description().name, name);
            assert!(hosts.iter().all(|(slot, _)| slot.description().name == name));
        }
    }

    #[tokio::test]
    async fn a_bad_policy_is_active_nowhere_and_each_host_says_why() {
        let scene = Scene::new();
        let (slot, _following) = scene.host("a", &PolicyLoader::default());
        let bad = [
            (&b"no component"[..], None, "not a"),
            (&STEADY[..STEADY.len() / 2], None, "cannot be compiled"),
            // Somebody has put another component there.
            (CAUTIOUS, Some(policy(STEADY).digest().to_owned()), "is sha256:"),
        ];
        for (number, (bytes, digest, why)) in (1..).zip(bad) {
            let digest = digest.unwrap_or_else(|| "0".repeat(64));
            let published = Published { policy: Some("bad 1.0.0".into()), digest: Some(digest), signature: None };
            scene.fleet.publish_bytes(bytes.to_vec().into(), published, PublishOptions::default()).await.unwrap();
            let statuses = scene.dealt_with(number, 1).await;
            let refused = statuses[0].refused.as_deref().unwrap_or_default();
            assert!(refused.contains(why) && statuses[0].active.starts_with("upright-default"), "{statuses:?}");
            assert_eq!(slot.description().name, "upright-default");
        }
        // One that is missing, and one that cannot be read.
        let published = Published { policy: None, digest: Some("1".repeat(64)), signature: None };
        scene.fleet.publish_bytes(bytes::Bytes::new(), published, PublishOptions::default()).await.unwrap();
        scene.dealt_with(4, 1).await;
        scene.fleet.publish(&policy(STEADY), PublishOptions::default()).await.unwrap();
        assert_eq!(scene.dealt_with(5, 1).await[0].stage, Some(Stage::Active));
    }

    #[tokio::test]
    async fn each_host_lets_in_only_what_its_own_keys_have_signed_and_no_old_policy_that_it_has_not_run() {
        let scene = Scene::new();
        let key = SecretKey::generate().unwrap();
        let loader = PolicyLoader::default().trust(Trust::keys([key.public()]));
        let (slot, _following) = scene.host("a", &loader);
        scene.fleet.publish(&policy(STEADY), PublishOptions::default()).await.unwrap();
        assert!(scene.dealt_with(1, 1).await[0].refused.as_deref().unwrap_or_default().contains("not signed"));
        let signed = |bytes: &[u8], revision| {
            let signature = Signature::sign(&policy(bytes), revision, &key);
            PolicyLoader::default().from_signed_bytes(bytes, Some(&signature)).unwrap()
        };
        scene.fleet.publish(&signed(CAUTIOUS, 7), PublishOptions::default()).await.unwrap();
        assert_eq!(scene.dealt_with(2, 1).await[0].stage, Some(Stage::Active));
        scene.fleet.publish(&signed(STEADY, 6), PublishOptions::default()).await.unwrap();
        assert!(scene.dealt_with(3, 1).await[0].refused.as_deref().unwrap_or_default().contains("revision is 6"));
        scene.fleet.publish(&signed(STEADY, 8), PublishOptions::default()).await.unwrap();
        scene.dealt_with(4, 1).await;
        // To what it refused it does not go back either; to what it has run it does.
        scene.fleet.roll_back().await.unwrap();
        scene.dealt_with(5, 1).await;
        assert_eq!(slot.description().name, "upright-steady");
        scene.fleet.roll_back().await.unwrap();
        assert_eq!(scene.dealt_with(6, 1).await[0].stage, Some(Stage::Active));
        assert_eq!(slot.description().name, "upright-cautious");
    }

    #[tokio::test]
    async fn while_the_store_is_away_the_active_policy_stays_and_what_was_missed_is_made_good() {
        let scene = Scene::new();
        let (slot, following) = scene.host("a", &PolicyLoader::default());
        scene.fleet.publish(&policy(STEADY), PublishOptions::default()).await.unwrap();
        scene.dealt_with(1, 1).await;
        scene.store.go_away();
        scene.clock.advance(REPORT_INTERVAL);
        assert_eq!(slot.description().name, "upright-steady");
        scene.store.come_back();
        scene.fleet.publish(&policy(CAUTIOUS), PublishOptions::default()).await.unwrap();
        let began = std::time::Instant::now();
        while slot.description().name != "upright-cautious" {
            assert!(began.elapsed() < Duration::from_secs(60));
            scene.clock.advance(REPORT_INTERVAL);
            tokio::task::yield_now().await;
        }
        // One that ends is not among the hosts any more.
        drop(following);
        scene.dealt_with(0, 0).await;
    }

    #[tokio::test]
    async fn a_policy_can_be_published_to_the_shadow_and_components_that_nobody_goes_back_to_are_removed() {
        let scene = Scene::new();
        let (slot, _following) = scene.host("a", &PolicyLoader::default());
        let shadow = PublishOptions { shadow: Some(ShadowRequest { sample: 1.0, decisions: None, disagreements: 0 }), probation: None };
        scene.fleet.publish(&policy(STEADY), shadow).await.unwrap();
        assert_eq!(scene.dealt_with(1, 1).await[0].stage, Some(Stage::Shadow));
        assert_eq!(slot.description().name, "upright-default");
        for _ in 0..=WAY_BACK {
            scene.fleet.publish(&policy(CAUTIOUS), PublishOptions::default()).await.unwrap();
        }
        let components = scene.store.list(COMPONENTS).await.unwrap();
        assert_eq!(
            components.iter().map(|listed| listed.key.strip_prefix(COMPONENTS).unwrap()).collect::<Vec<_>>(),
            [policy(CAUTIOUS).digest()]
        );
    }
}
