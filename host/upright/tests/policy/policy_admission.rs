//! Requirements for a policy: a supported version, a limited size, no memory between calls.

use std::sync::Arc;
use std::time::Duration;
use upright::policy::Trust;
use upright::policy::{CONTRACT_VERSION, PolicyError, PolicyLifecycle, PolicyLoader, PolicySlot, Stage, SwapOptions};
use upright::store::MemoryStore;
use upright::testing::DrivenClock;
use upright::types::*;
use upright::{Policy, RetryStrategy};
use upright_operations::PolicyHome;
use upright_operations::eval::Evaluator;
use upright_operations::fleet::{PolicyFleet, PublishOptions};
use upright_operations::replay::Replayer;
use upright_operations::signature::{SecretKey, Signature};
use upright_test_kit::folder::Folder;
use upright_test_kit::patient;
use upright_test_kit::policies::{hostile, hurried, policy, with_instances};

static BUILT_IN: &[u8] = include_bytes!("../../../runtime/policy.wasm");

fn refusal(bytes: &[u8]) -> PolicyError {
    let error = Policy::from_bytes(bytes).map(|policy| panic!("{policy:?} was accepted")).unwrap_err();
    assert!(!error.to_string().contains('\n'), "more than one line: {error}");
    error
}

fn version_with(part: usize, change: impl Fn(u64) -> u64) -> String {
    let mut numbers: Vec<u64> = CONTRACT_VERSION.split('.').map(|number| number.parse().unwrap()).collect();
    numbers[part] = change(numbers[part]);
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (mut bytes, mut found) = (bytes.to_vec(), 0);
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "nothing is called {from}");
    bytes
}

fn of_version(version: &str) -> Vec<u8> {
    replaced(BUILT_IN, &format!("@{CONTRACT_VERSION}"), &format!("@{version}"))
}

fn names_of(version: &str) -> Vec<u8> {
    let functions = Policy::built_in().unwrap().surface().exports.clone();
    let interfaces: Vec<_> = functions.iter().filter(|export| !export.contains('#')).collect();
    let instances = interfaces.iter().enumerate().map(|(index, interface)| {
        let own = functions.iter().filter_map(|export| export.strip_prefix(&format!("{interface}#")));
        let functions: String = own.map(|function| format!("(export \"{function}\" (func $f))")).collect();
        let name = interface.replace(CONTRACT_VERSION, version);
        format!("(instance $i{index} {functions}) (export \"{name}\" (instance $i{index}))\n")
    });
    let text = format!(
        "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) (func $f (canon lift (core func $i \"f\")))\n{})",
        instances.collect::<String>()
    );
    wat::parse_str(text).unwrap()
}

fn failure() -> Incident {
    Incident {
        attempt: 1,
        retry: RetryConfig { jitter: false, ..RetryConfig::default() },
        random: 0.5,
        ..Incident::of(Fault::new(FaultKind::ConnectionRefused, "connection refused"))
    }
}

#[test]
fn a_policy_of_another_patch_version_is_let_in_and_decides() {
    for version in [version_with(2, |patch| (patch + 1) % 10), version_with(2, |_| 9)] {
        let bytes = of_version(&version);
        let policy = patient::loader().from_bytes(&bytes).unwrap();
        assert_eq!(policy.contract_version(), version);
        assert!(policy.surface().exports.contains(&format!("upright:policy/recovery@{version}#decide")));
        let slot = patient::slot();
        assert_eq!(slot.swap(policy.clone(), &SwapOptions::default()).unwrap(), Stage::Active);
        assert_eq!(slot.slot().decide(&failure()), PolicySlot::native().decide(&failure()));
        assert_eq!((slot.counts().safe_mode, slot.policy().unwrap().digest()), (0, policy.digest()));
        let mut evaluator = Evaluator::new(policy.clone());
        assert_eq!(evaluator.functions().len(), 11);
        let described = evaluator.eval("metadata.describe", &serde_json::json!({})).unwrap();
        assert_eq!(described["name"], "upright-default");
        // A signature covers the version of its build.
        let key = SecretKey::generate().unwrap();
        let signature = Signature::sign(&policy, 1, &key);
        assert_eq!(signature.manifest.contract, version);
        patient::loader().trust(Trust::keys([key.public()])).from_signed_bytes(&bytes, Some(&signature)).unwrap();
    }
}

#[test]
fn a_policy_of_another_minor_or_major_version_is_refused_with_what_to_do() {
    let newer = [version_with(1, |minor| minor + 1), version_with(0, |major| major + 1)];
    for version in &newer {
        let error = refusal(&of_version(version));
        assert!(matches!(&error, PolicyError::WrongVersion { found } if found.ends_with(&format!("@{version}"))), "{error}");
        for says in [version.as_str(), "is newer than this host", CONTRACT_VERSION, "rebuild the policy with the wit/ of this version"] {
            assert!(error.to_string().contains(says), "{error}");
        }
    }
    let older = version_with(1, |minor| minor - 1);
    let error = refusal(&of_version(&older));
    assert!(error.to_string().contains("is no longer spoken"), "{error}");
    assert!(error.to_string().contains("rebuild the policy"), "{error}");
}

#[test]
fn a_pre_release_is_refused_even_of_this_hosts_own_version() {
    let error = refusal(&names_of(&format!("{CONTRACT_VERSION}-rc1")));
    assert!(matches!(&error, PolicyError::WrongVersion { .. }), "{error}");
    assert!(error.to_string().contains("-rc1 is no release, and only releases are spoken"), "{error}");
}

#[test]
fn a_policy_whose_interfaces_are_of_several_versions_is_refused_by_two_of_them() {
    let later = version_with(2, |patch| patch + 1);
    let mixed = replaced(BUILT_IN, &format!("/health@{CONTRACT_VERSION}"), &format!("/health@{later}"));
    let error = refusal(&mixed);
    assert!(matches!(&error, PolicyError::MixedVersions { .. }), "{error}");
    assert!(
        error.to_string().contains(&format!("/health@{later}")) && error.to_string().contains("all interfaces of one version"),
        "{error}"
    );
    // An export of a foreign version is named, not reported missing.
    let foreign = version_with(1, |minor| minor + 1);
    let error = refusal(&replaced(BUILT_IN, &format!("/health@{CONTRACT_VERSION}"), &format!("/health@{foreign}")));
    assert!(matches!(&error, PolicyError::WrongVersion { found } if found.contains("/health@")), "{error}");
}

#[test]
fn a_first_memory_above_the_limit_is_refused_with_both_numbers_and_the_flag_that_helps() {
    let bytes = policy(&[hostile::sensible(), vec![("memory", "300")]].concat());
    let error = refusal(&bytes);
    assert!(matches!(error, PolicyError::FirstMemory { wanted: 19_660_800, limit: 16_777_216 }), "{error}");
    assert_eq!(error.stage(), Stage::Compilation);
    for says in ["19660800", "16777216", "--memory-limit 19", "PolicyLoader::memory_limit(19 << 20)"] {
        assert!(error.to_string().contains(says), "{error}");
    }
    patient::loader().memory_limit(19 << 20).from_bytes(&bytes).unwrap();
    let two = with_instances(&policy(&hostile::sensible()), "(module (memory 255))", 1);
    assert!(matches!(refusal(&two), PolicyError::FirstMemory { wanted: 16_973_824, .. }));
    let most = refusal(&with_instances(&policy(&hostile::sensible()), "(module (memory 65536))", 1));
    assert!(most.to_string().contains("no setting gives it more than 4294967296"), "{most}");
}

#[test]
fn a_policy_of_too_many_parts_is_refused_with_which_and_how_many_it_may_have() {
    let sensible = policy(&hostile::sensible());
    patient::loader().from_bytes(&with_instances(&sensible, "(module (memory 1) (table 100000 funcref))", 3)).unwrap();
    for (module, count, what, wanted, limit) in [
        ("(module)", 64, "core instances", 65, 64),
        ("(module (memory 1))", 4, "memories", 5, 4),
        ("(module (table 1 funcref))", 17, "tables", 17, 16),
        ("(module (table 100001 funcref))", 1, "elements in a table", 100_001, 100_000),
    ] {
        let error = refusal(&with_instances(&sensible, module, count));
        assert!(
            matches!(&error, PolicyError::TooManyParts { what: named, wanted: w, limit: l } if (*named, *w, *l) == (what, wanted, limit)),
            "{what}: {error:?}"
        );
        assert_eq!(error.stage(), Stage::Compilation);
        assert!(error.to_string().contains(&format!("{wanted} {what}")) && error.to_string().contains("no setting"), "{error}");
    }
}

#[test]
fn a_policy_whose_start_traps_or_lacks_memory_is_refused_with_its_own_error() {
    let start = |body| policy(&[hostile::sensible(), vec![("start", body)]].concat());
    let error = refusal(&start("unreachable"));
    assert!(matches!(&error, PolicyError::Trapped { function: "the start of the component", .. }), "{error}");
    let error = refusal(&start("(if (i32.eq (memory.grow (i32.const 300)) (i32.const -1)) (then unreachable))"));
    assert!(matches!(&error, PolicyError::OutOfMemory { function: "the start of the component", .. }), "{error}");
    Policy::from_bytes(&start("(drop (memory.grow (i32.const 300)))")).unwrap();
    let error = refusal(&names_of(CONTRACT_VERSION));
    assert!(matches!(&error, PolicyError::WrongType { .. }), "{error:?}");
}

fn remembering() -> Vec<u8> {
    policy(&hostile::sensible_but("backoff#delay", hostile::REMEMBERS))
}

fn keeps_something<R>(loaded: Result<R, PolicyError>) {
    let error = loaded.map(drop).unwrap_err();
    assert!(matches!(error, PolicyError::Unequal { function: "backoff.delay" }), "{error}");
}

#[test]
fn a_policy_that_keeps_something_between_calls_is_refused_by_whatever_loads_one_to_decide() {
    let bytes = remembering();
    let folder = Folder::new("remembers");
    let file = folder.write("policy.wasm", &bytes);
    let loader = patient::loader();
    keeps_something(Policy::from_bytes(&bytes));
    keeps_something(Policy::from_file(&file));
    keeps_something(loader.from_bytes(&bytes));
    keeps_something(loader.from_file(&file));
    let key = SecretKey::generate().unwrap();
    let signature = Signature::sign(&patient::policy(&bytes), 1, &key);
    keeps_something(loader.clone().trust(Trust::keys([key.public()])).from_signed_bytes(&bytes, Some(&signature)));
    keeps_something(Replayer::from_bytes(&bytes));
    keeps_something(Replayer::from_file(&file));
    keeps_something(patient::slot().swap(patient::policy(&bytes), &SwapOptions::default()));
    keeps_something(patient::slot().swap_file(&file, &loader, &SwapOptions::default()));

    let home = PolicyHome::open(folder.path("home")).unwrap();
    let digest = patient::policy(&bytes).digest().to_owned();
    std::fs::write(home.directory().join("good").join(format!("{digest}.wasm")), &bytes).unwrap();
    std::fs::write(home.directory().join("last-good"), &digest).unwrap();
    keeps_something(home.last_good(&loader));
    let slot = patient::slot();
    home.start(&slot, Some(&file), &loader, &SwapOptions::default()).unwrap();
    assert_eq!((slot.description().name.as_str(), slot.counts().swaps), ("upright-default", 0));
    slot.flush();
}

#[tokio::test]
async fn a_policy_that_keeps_something_is_refused_by_every_host_of_a_fleet_whoever_has_published_it() {
    let clock = DrivenClock::new();
    let fleet = PolicyFleet::with_clock(Arc::new(MemoryStore::with_clock(clock.shared())), clock.shared());
    let slot = patient::slot();
    let _following = fleet.follow(&slot, &patient::loader(), "a").unwrap();
    let order = fleet.publish(&patient::policy(&remembering()), PublishOptions::default()).await.unwrap();
    let began = std::time::Instant::now();
    let status = loop {
        let hosts = fleet.hosts().await.unwrap();
        if let Some(status) = hosts.into_iter().find(|status| status.order == Some(order)) {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it says nothing");
        tokio::task::yield_now().await;
    };
    assert!(status.refused.unwrap().contains("the same question in backoff.delay twice"));
    assert_eq!(slot.description().name, "upright-default");
}

#[test]
fn a_policy_that_keeps_something_can_be_looked_at_by_whoever_asks_for_it() {
    let looked_at = patient::loader().probe(false).from_bytes(&remembering()).unwrap();
    assert_eq!(looked_at.description().name, "hostile");
    keeps_something(looked_at.probe());
    patient::policy(&policy(&hostile::sensible())).probe().unwrap();
    keeps_something(patient::loader().from_bytes(&remembering()));
}

#[test]
fn a_policy_that_traps_or_answers_nonsense_is_refused_at_loading() {
    for (function, body, says) in
        [("health#judge", "unreachable", "trapped in health.judge"), ("backoff#delay", "(f64.const -1)", "nonsense in backoff.delay")]
    {
        let error = refusal(&policy(&hostile::sensible_but(function, body)));
        assert!(error.stage() == Stage::Probe && error.to_string().contains(says), "{error}");
    }
    let slot = PolicyLifecycle::new(Policy::from_bytes(&policy(&hostile::sensible())).unwrap());
    RetryStrategy::builder().policy(slot).build().unwrap();
}

#[test]
fn limits_that_only_the_probe_would_reach_are_reached_when_it_is_loaded() {
    let endless = policy(&hostile::sensible_but("recovery#decide", "(loop $again (br $again)) unreachable"));
    let error = PolicyLoader::default().from_bytes(&endless).map(drop).unwrap_err();
    assert!(matches!(error, PolicyError::TimedOut { function: "recovery.decide", .. }), "{error}");
    assert_eq!(hurried(&endless).description().name, "hostile");
}
