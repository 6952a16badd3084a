//! Life of a candidate: probes, records, and rolling back.

use std::path::Path;
use std::time::Duration;
use upright::events::{Events, Subscription};
use upright::policy::{PolicyError, PolicyLifecycle, Promotion, ShadowOptions, SignatureError, Stage, SwapOptions, Trust};
use upright::testing::DrivenClock;
use upright::types::*;
use upright::{CircuitBreaker, Event, Policy};
use upright_operations::home::{Request, RequestError, Start};
use upright_operations::signature::{SecretKey, Signature};
use upright_operations::{PolicyHome, watch};
use upright_runtime::{PROBATION, STRIKES};
use upright_test_kit::folder::Folder;
use upright_test_kit::patient;
use upright_test_kit::policies::{hostile, policy, unprobed};

const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");

fn steady() -> Policy {
    patient::loader().from_file(STEADY).unwrap()
}

fn slot(clock: &DrivenClock) -> (PolicyLifecycle, Subscription) {
    let events = Events::default();
    let seen = events.subscribe();
    (patient::slot().connected(clock.shared(), events), seen)
}

fn stages(slot: &PolicyLifecycle) -> Vec<(String, Stage)> {
    let name = |text: String| text.split(' ').next().unwrap().to_owned();
    slot.history().into_iter().map(|entry| (name(entry.policy), entry.stage)).collect()
}

fn failure(attempt: u32) -> Incident {
    Incident {
        attempt,
        retry: RetryConfig { jitter: false, ..RetryConfig::default() },
        random: 0.5,
        ..Incident::of(Fault::new(FaultKind::ConnectionRefused, "connection refused"))
    }
}

#[test]
fn a_candidate_passes_stage_after_stage_and_each_is_an_event() {
    let clock = DrivenClock::new();
    let (slot, mut seen) = slot(&clock);
    let swapped = slot.swap_file(STEADY, &patient::loader(), &SwapOptions::default()).unwrap();
    assert_eq!((swapped, slot.description().name.as_str()), (Stage::Active, "upright-steady"));
    clock.advance(PROBATION);
    slot.settle();
    let passed: Vec<_> = std::iter::from_fn(|| seen.try_recv())
        .filter_map(|event| match event {
            Event::PolicyStage { stage, .. } => Some(stage),
            _ => None,
        })
        .collect();
    use Stage::{Active, Compilation, Good, Inspection, Probe, Read, Retired};
    assert_eq!(passed, [Read, Stage::Signature, Inspection, Compilation, Probe, Retired, Active, Good]);
    assert_eq!(slot.history().last().unwrap().stage, Good);
}

#[test]
fn a_candidate_that_is_refused_says_at_which_stage_and_the_active_policy_stays() {
    let folder = Folder::new("refused");
    let trusted = patient::loader().trust(Trust::keys([SecretKey::generate().unwrap().public()]));
    let anybodys = patient::loader();
    let bytes = std::fs::read(STEADY).unwrap();
    let cases = [
        (folder.path("nowhere.wasm"), &anybodys, Stage::Read),
        (folder.write("unsigned.wasm", &bytes), &trusted, Stage::Signature),
        (folder.write("text.wasm", b"hello"), &anybodys, Stage::Inspection),
        (folder.write("half.wasm", &bytes[..bytes.len() / 2]), &anybodys, Stage::Compilation),
        (folder.write("traps.wasm", policy(&[])), &anybodys, Stage::Probe),
    ];
    for (path, loader, stage) in cases {
        let (slot, mut seen) = slot(&DrivenClock::new());
        let error = slot.swap_file(&path, loader, &SwapOptions::default()).unwrap_err();
        assert_eq!(error.stage(), stage, "{error}");
        let refused = std::iter::from_fn(|| seen.try_recv()).find_map(|event| match event {
            Event::PolicyRefused { stage, error, .. } => Some((stage, error)),
            _ => None,
        });
        assert_eq!(refused, Some((stage, error.to_string())));
        assert_eq!(slot.history().last().unwrap().refused.as_deref(), Some(&*error.to_string()));
        assert_eq!((slot.description().name.as_str(), slot.counts().swaps), ("upright-default", 0));
    }
}

fn remembering() -> Vec<u8> {
    policy(&hostile::sensible_but("backoff#delay", hostile::REMEMBERS))
}

#[test]
fn a_policy_that_keeps_something_between_calls_is_found_by_the_probe() {
    let (slot, _) = slot(&DrivenClock::new());
    let candidate = patient::policy(&remembering());
    let error = slot.swap(candidate, &SwapOptions::default()).unwrap_err();
    assert!(matches!(error, PolicyError::Unequal { function: "backoff.delay" }), "{error}");
}

#[test]
fn the_built_in_and_the_example_policies_pass_the_probe() {
    let (slot, _) = slot(&DrivenClock::new());
    for candidate in [steady(), patient::built_in(), patient::policy(&policy(&hostile::sensible()))] {
        slot.swap(candidate, &SwapOptions::default()).unwrap();
    }
}

#[test]
fn a_policy_on_probation_is_no_target_of_a_rollback() {
    let clock = DrivenClock::new();
    let (slot, _) = slot(&clock);
    slot.swap(steady(), &SwapOptions::default()).unwrap();
    let traps = || patient::policy(&policy(&[]));
    slot.swap(traps(), &unprobed()).unwrap();
    for _ in 0..STRIKES {
        slot.slot().decide(&failure(0));
    }
    assert_eq!(slot.description().name, "upright-default");

    slot.swap(steady(), &SwapOptions::default()).unwrap();
    clock.advance(PROBATION);
    slot.swap(traps(), &unprobed()).unwrap();
    for _ in 0..STRIKES {
        slot.slot().decide(&failure(0));
    }
    assert_eq!(slot.description().name, "upright-steady");
    let last: Vec<_> = stages(&slot).into_iter().rev().take(2).collect();
    assert_eq!(last, [("hostile".to_owned(), Stage::RolledBack), ("hostile".to_owned(), Stage::Active)]);
}

#[test]
fn the_last_good_policy_is_kept_on_disk_and_used_when_the_configured_one_fails() {
    let folder = Folder::new("last-good");
    let home = PolicyHome::open(folder.path("home")).unwrap();
    let loader = patient::loader();
    let clock = DrivenClock::new();
    let (before, _) = slot(&clock);
    let started = home.start(&before, None, &loader, &SwapOptions::default()).unwrap();
    assert!(matches!(started, Start::AsItWas { refused } if refused.is_empty()));
    before.swap(steady(), &SwapOptions::default()).unwrap();
    before.flush();
    assert!(home.last_good(&loader).unwrap().is_none(), "it is still on probation");
    clock.advance(PROBATION);
    before.settle();
    before.flush();
    drop(before);

    let (after, _) = slot(&DrivenClock::new());
    let broken = folder.write("configured.wasm", b"half written");
    let started = home.start(&after, Some(&broken), &loader, &SwapOptions::default()).unwrap();
    assert!(matches!(started, Start::LastGood { refused: Some(PolicyError::NotAComponent { .. }) }), "{started:?}");
    assert_eq!(after.description().name, "upright-steady");
    after.flush();
    let history = home.history().unwrap();
    assert!(history.iter().any(|entry| entry.stage == Stage::Good && entry.policy.starts_with("upright-steady")));
    assert!(history.iter().any(|entry| entry.refused.is_some()));
}

#[test]
fn a_damaged_home_is_reported_and_the_program_starts_all_the_same() {
    let folder = Folder::new("damaged");
    let home = PolicyHome::open(folder.path("home")).unwrap();
    let damages: [(&str, &[u8]); 3] =
        [("last-good", b"../../etc/passwd"), ("last-good", &[b'a'; 64]), ("history.jsonl", b"\xff\xfe not JSON\n{\n")];
    for (file, bytes) in damages {
        std::fs::write(home.directory().join(file), bytes).unwrap();
        let (slot, _) = slot(&DrivenClock::new());
        let started = home.start(&slot, None, &patient::loader(), &SwapOptions::default()).unwrap();
        assert!(matches!(started, Start::AsItWas { .. }));
        assert_eq!(slot.description().name, "upright-default");
    }
}

#[test]
fn a_lower_revision_than_was_accepted_is_refused_even_after_a_restart() {
    let folder = Folder::new("revision");
    let home = PolicyHome::open(folder.path("home")).unwrap();
    let key = SecretKey::generate().unwrap();
    let loader = patient::loader().trust(Trust::keys([key.public()]));
    let bytes = std::fs::read(STEADY).unwrap();
    let signed = |revision| {
        let signature = Signature::sign(&steady(), revision, &key);
        loader.from_signed_bytes(&bytes, Some(&signature)).unwrap()
    };
    let options = SwapOptions::default();
    let (before, _) = slot(&DrivenClock::new());
    home.start(&before, None, &loader, &options).unwrap();
    before.swap(signed(7), &options).unwrap();
    before.swap(signed(7), &options).unwrap();
    let refused = |slot: &PolicyLifecycle| slot.swap(signed(6), &options).unwrap_err();
    assert!(matches!(refused(&before), PolicyError::Signature(SignatureError::LowerRevision { revision: 6, highest: 7 })));
    before.flush();
    drop(before);

    let (after, _) = slot(&DrivenClock::new());
    home.start(&after, None, &loader, &options).unwrap();
    assert!(matches!(refused(&after), PolicyError::Signature(SignatureError::LowerRevision { .. })));
    after.swap(signed(6), &SwapOptions { allow_lower_revision: true, ..options.clone() }).unwrap();
}

#[test]
fn a_file_beside_the_component_is_its_signature() {
    let folder = Folder::new("beside");
    let key = SecretKey::generate().unwrap();
    let loader = patient::loader().trust(Trust::keys([key.public()]));
    let path = folder.write("policy.wasm", std::fs::read(STEADY).unwrap());
    let beside = Signature::path_for(&path);
    let refused = || match loader.from_file(&path).map(drop).unwrap_err() {
        PolicyError::Signature(error) => error,
        other => panic!("{other}"),
    };
    assert!(matches!(refused(), SignatureError::Missing { path: Some(path) } if path == beside));
    std::fs::write(&beside, "{").unwrap();
    assert!(matches!(refused(), SignatureError::Unreadable { .. }));
    std::fs::write(&beside, serde_json::to_vec(&Signature::sign(&steady(), 1, &key)).unwrap()).unwrap();
    assert_eq!(loader.from_file(&path).unwrap().signature().unwrap().manifest.revision, 1);
}

#[test]
fn a_shadow_answers_beside_the_active_policy_and_decides_nothing() {
    let (slot, _) = slot(&DrivenClock::new());
    let options = SwapOptions { shadow: Some(ShadowOptions::default()), ..SwapOptions::default() };
    assert_eq!(slot.swap(steady(), &options).unwrap(), Stage::Shadow);
    for attempt in 0..3 {
        let verdict = slot.slot().decide(&failure(attempt));
        assert_eq!(verdict.directive, Directive::RetryAfter(f64::from(1 << attempt)));
    }
    let report = slot.shadow_report().unwrap();
    assert_eq!((report.decisions, report.disagreeing, report.dropped), (3, 2, 0));
    assert!((report.agreement - 1.0 / 3.0).abs() < 1e-9);
    let [only] = &report.disagreements[..] else { panic!("{report:?}") };
    assert_eq!((only.kind, only.count, only.example.incident.attempt), ("delay", 2, 1));
    assert_eq!(only.example.candidate.as_ref().unwrap().directive, Directive::RetryAfter(1.0));
    assert!(report.active.median_nanoseconds > 0 && report.shadow.median_nanoseconds > 0);

    assert_eq!(slot.promote().unwrap().decisions, 3);
    assert_eq!(slot.description().name, "upright-steady");
    assert!(slot.shadow_report().is_none() && slot.promote().is_none());
}

#[test]
fn a_shadow_is_promoted_by_its_rule_and_not_before() {
    let promoted = |disagreements| {
        let (slot, _) = slot(&DrivenClock::new());
        let rule = Promotion { decisions: 10, disagreements };
        let shadow = ShadowOptions { promotion: Some(rule), ..ShadowOptions::default() };
        slot.swap(steady(), &SwapOptions { shadow: Some(shadow), ..SwapOptions::default() }).unwrap();
        for number in 0..9 {
            slot.slot().decide(&failure(u32::from(number % 5 == 0)));
        }
        slot.shadow_report();
        assert_eq!(slot.description().name, "upright-default");
        slot.slot().decide(&failure(0));
        slot.shadow_report();
        slot.description().name == "upright-steady"
    };
    assert!(!promoted(1));
    assert!(promoted(2));
}

#[test]
fn a_shadow_sees_the_configured_share_of_decisions() {
    for (sample, asked) in [(0.25, 25), (0.5, 50), (1.0, 100), (0.01, 1)] {
        let (slot, _) = slot(&DrivenClock::new());
        let shadow = ShadowOptions { sample, ..ShadowOptions::default() };
        slot.swap(steady(), &SwapOptions { shadow: Some(shadow), ..SwapOptions::default() }).unwrap();
        for _ in 0..100 {
            slot.slot().decide(&failure(0));
        }
        assert_eq!(slot.end_shadow().unwrap().decisions, asked, "{sample}");
    }
    for sample in [0.0, -1.0, 1.1, f64::NAN] {
        let (slot, _) = slot(&DrivenClock::new());
        let shadow = ShadowOptions { sample, ..ShadowOptions::default() };
        let error = slot.swap(steady(), &SwapOptions { shadow: Some(shadow), ..SwapOptions::default() }).unwrap_err();
        assert!(matches!(error, PolicyError::Sample { .. }));
    }
}

#[test]
fn a_shadow_that_traps_harms_nobody_and_is_counted() {
    let (slot, _) = slot(&DrivenClock::new());
    let options = SwapOptions { shadow: Some(ShadowOptions::default()), ..unprobed() };
    slot.swap(patient::policy(&policy(&[])), &options).unwrap();
    for _ in 0..5 {
        slot.slot().decide(&failure(0));
    }
    let report = slot.end_shadow().unwrap();
    assert_eq!((report.disagreements[0].kind, report.disagreements[0].count), ("failed", 5));
    assert!(report.disagreements[0].example.candidate.as_ref().unwrap_err().contains("trapped"));
    assert_eq!((slot.counts().safe_mode, slot.description().name.as_str()), (0, "upright-default"));
}

#[test]
fn a_shadow_sees_what_a_breaker_asks_with_memory_of_its_own_layout_only() {
    let clock = DrivenClock::new();
    let (slot, _) = slot(&clock);
    let breaker = CircuitBreaker::builder("b").policy(slot.clone()).clock(clock.shared()).build().unwrap();
    let options = SwapOptions { shadow: Some(ShadowOptions::default()), ..SwapOptions::default() };
    slot.swap(patient::built_in(), &options).unwrap();
    for _ in 0..5 {
        breaker.call_blocking(|| Err::<(), _>(std::io::Error::from_raw_os_error(111))).unwrap_err();
    }
    let report = slot.end_shadow().unwrap();
    assert_eq!((report.decisions, report.disagreeing), (5, 0));
}

#[test]
fn a_request_from_another_process_is_answered_through_files() {
    let folder = Folder::new("requests");
    let home = PolicyHome::open(folder.path("home")).unwrap();
    let nobody = home.ask(&Request::Status, None, Duration::from_secs(3600)).unwrap_err();
    assert!(matches!(nobody, RequestError::NotRunning { .. }), "{nobody}");
    let _answering = home.answering().unwrap();
    drop(home.answering().unwrap());
    let silent = home.ask(&Request::Status, None, Duration::ZERO).unwrap_err();
    assert!(matches!(silent, RequestError::NoAnswer { .. }), "{silent}");
    assert_eq!(std::fs::read_dir(home.directory().join("requests")).unwrap().count(), 0, "a request was left behind");
    let missing = home.ask(&Request::Promote, Some(Path::new("nowhere.wasm")), Duration::ZERO).unwrap_err();
    assert!(matches!(missing, RequestError::Candidate { .. }), "{missing}");
}

#[test]
fn a_reply_that_nobody_waits_for_any_more_is_removed_and_a_new_one_stays() {
    let folder = Folder::new("replies");
    let home = PolicyHome::open(folder.path("home")).unwrap();
    let now = std::time::SystemTime::now();
    for (name, age) in [("old.json", 4000), ("new.json", 3000)] {
        let file = std::fs::File::create(home.directory().join("replies").join(name)).unwrap();
        file.set_modified(now - Duration::from_secs(age)).unwrap();
    }
    home.answer_all(&PolicyLifecycle::native(), &patient::loader());
    let left: Vec<_> = std::fs::read_dir(home.directory().join("replies")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["new.json"]);
}

mod watching {
    use super::*;
    use upright_test_kit::wait::until_blocking;

    #[test]
    fn a_policy_is_swapped_in_when_its_file_changes_and_a_half_written_one_is_not() {
        let folder = Folder::new("watch");
        let path = folder.path("policy.wasm");
        let (slot, _) = slot(&DrivenClock::new());
        let _watch = watch::swap_on_change(&slot, &path, &patient::loader(), &SwapOptions::default()).unwrap();
        let bytes = std::fs::read(STEADY).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        until_blocking("the half is refused", || slot.history().iter().any(|entry| entry.refused.is_some()));
        assert_eq!(slot.description().name, "upright-default");
        std::fs::write(&path, &bytes).unwrap();
        until_blocking("the whole is swapped in", || slot.description().name == "upright-steady");
        // Editors and builds replace a file this way.
        let new = folder.write("new", include_bytes!("../../../runtime/policy.wasm"));
        std::fs::rename(new, &path).unwrap();
        until_blocking("the other is swapped in", || slot.description().name == "upright-default");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(slot.description().name, "upright-default");
    }

    #[test]
    fn a_program_performs_and_answers_requests_from_its_policy_home() {
        let folder = Folder::new("ask");
        let home = PolicyHome::open(folder.path("home")).unwrap();
        let loader = patient::loader();
        let (slot, _) = slot(&DrivenClock::new());
        let _watch = watch::answer_requests(&slot, &home, &loader).unwrap();
        let ask = |request: &Request, candidate: Option<&Path>| home.ask(request, candidate, Duration::from_secs(60)).unwrap();
        let swap = |shadow| Request::Swap { shadow, probation: None, allow_lower_revision: false };

        let reply = ask(&Request::Status, None);
        assert!(reply.active.starts_with("upright-default"));
        let reply = ask(&swap(None), Some(Path::new(STEADY)));
        assert_eq!((reply.stage, reply.error), (Some(Stage::Active), None));
        assert!(reply.active.starts_with("upright-steady"));
        let refused = ask(&swap(None), Some(&folder.write("x.wasm", b"x")));
        assert!(refused.error.unwrap().contains("not a policy") && refused.active.starts_with("upright-steady"));
        let refused = ask(&swap(None), Some(&folder.write("remembers.wasm", remembering())));
        assert!(
            refused.error.unwrap().contains("the same question in backoff.delay twice") && refused.active.starts_with("upright-steady")
        );
        let shadow = upright_operations::home::ShadowRequest { sample: 1.0, decisions: None, disagreements: 0 };
        let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/policy.wasm");
        assert_eq!(ask(&swap(Some(shadow)), Some(Path::new(built_in))).stage, Some(Stage::Shadow));
        slot.slot().decide(&failure(2));
        let reply = ask(&Request::Promote, None);
        assert_eq!(reply.shadow.unwrap()["disagreeing"], 1);
        assert!(reply.active.starts_with("upright-default"));
        assert!(ask(&Request::EndShadow, None).error.unwrap().contains("no shadow"));
        assert_eq!(ask(&Request::RollBack, None).stage, Some(Stage::RolledBack));
        for folder in ["requests", "replies"] {
            assert_eq!(std::fs::read_dir(home.directory().join(folder)).unwrap().count(), 0, "{folder}");
        }
    }
}
