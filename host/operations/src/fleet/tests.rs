use super::*;
use upright_core::events::Events;
use upright_core::store::MemoryStore;
use upright_core::testing::{AwayStore, DrivenClock};
use upright_runtime::signature::{SecretKey, Trust};

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
        let store = AwayStore::new(MemoryStore::with_clock(clock.shared()));
        Self { fleet: PolicyFleet::with_clock(Arc::new(store.clone()), clock.shared()), clock, store }
    }

    fn host(&self, name: &str, loader: &PolicyLoader) -> (PolicyLifecycle, Following) {
        let slot = PolicyLifecycle::new(policy(Policy::built_in().unwrap().bytes())).connected(self.clock.shared(), Events::default());
        let following = self.fleet.follow(&slot, loader, name).unwrap();
        (slot, following)
    }

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

/// With a decision limit that no slow machine reaches.
fn patient() -> PolicyLoader {
    PolicyLoader::default().decision_limit(Duration::from_secs(10))
}

fn policy(bytes: &[u8]) -> Policy {
    patient().probe(false).from_bytes(bytes).unwrap()
}

#[tokio::test]
async fn a_published_policy_is_active_on_all_hosts_and_one_command_rolls_it_back() {
    let scene = Scene::new();
    let loader = patient();
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
    let (slot, _following) = scene.host("a", &patient());
    let bad = [
        (&b"no component"[..], None, "not a"),
        (&STEADY[..STEADY.len() / 2], None, "cannot be compiled"),
        // Another component's digest.
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
    let loader = patient().trust(Trust::keys([key.public()]));
    let (slot, _following) = scene.host("a", &loader);
    scene.fleet.publish(&policy(STEADY), PublishOptions::default()).await.unwrap();
    assert!(scene.dealt_with(1, 1).await[0].refused.as_deref().unwrap_or_default().contains("not signed"));
    let signed = |bytes: &[u8], revision| {
        let signature = Signature::sign(&policy(bytes), revision, &key);
        patient().from_signed_bytes(bytes, Some(&signature)).unwrap()
    };
    scene.fleet.publish(&signed(CAUTIOUS, 7), PublishOptions::default()).await.unwrap();
    assert_eq!(scene.dealt_with(2, 1).await[0].stage, Some(Stage::Active));
    scene.fleet.publish(&signed(STEADY, 6), PublishOptions::default()).await.unwrap();
    assert!(scene.dealt_with(3, 1).await[0].refused.as_deref().unwrap_or_default().contains("revision is 6"));
    scene.fleet.publish(&signed(STEADY, 8), PublishOptions::default()).await.unwrap();
    scene.dealt_with(4, 1).await;
    // A roll-back skips refused policies.
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
    let (slot, following) = scene.host("a", &patient());
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
    drop(following);
    scene.dealt_with(0, 0).await;
}

#[tokio::test]
async fn a_policy_can_be_published_to_the_shadow_and_components_that_nobody_goes_back_to_are_removed() {
    let scene = Scene::new();
    let (slot, _following) = scene.host("a", &patient());
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
