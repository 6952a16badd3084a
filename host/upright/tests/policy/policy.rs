//! The policy runtime refuses, contains and swaps policies without losing anything.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use upright::events::{Events, Subscription};
use upright::policy::{PolicyError, PolicyLifecycle};
use upright::testing::DrivenClock;
use upright::types::*;
use upright::{CircuitBreaker, Event, Policy, RetryStrategy};
use upright_runtime::{STRIKE_WINDOW, STRIKES};
use upright_test_kit::patient;
use upright_test_kit::policies::{hurried, policy, unprobed};

fn refusal(bytes: &[u8]) -> PolicyError {
    match Policy::from_bytes(bytes) {
        Ok(policy) => panic!("{policy:?} was accepted"),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "more than one line: {error}");
            error
        }
    }
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn refused_connection() -> Fault {
    Fault { errno: Some(111), ..Fault::new(FaultKind::ConnectionRefused, "connection refused") }
}

fn incident() -> Incident {
    Incident { retry: RetryConfig { jitter: false, ..RetryConfig::default() }, random: 0.5, ..Incident::of(refused_connection()) }
}

fn slot_with(bodies: &[(&str, &str)], clock: &DrivenClock) -> (PolicyLifecycle, Subscription) {
    slot_of(patient::policy(&policy(bodies)), clock)
}

fn slot_of(policy: Policy, clock: &DrivenClock) -> (PolicyLifecycle, Subscription) {
    let events = Events::default();
    let seen = events.subscribe();
    let slot = patient::slot().connected(clock.shared(), events);
    slot.swap(policy, &unprobed()).unwrap();
    (slot, seen)
}

fn safe_mode_errors(seen: &mut Subscription) -> Vec<String> {
    std::iter::from_fn(|| seen.try_recv())
        .filter_map(|event| match event {
            Event::SafeMode { error, .. } => Some(error),
            _ => None,
        })
        .collect()
}

#[test]
fn the_built_in_policy_imports_nothing_and_exports_the_whole_contract() {
    let policy = Policy::built_in().unwrap();
    assert_eq!(policy.surface().imports, Vec::<String>::new());
    assert_eq!(policy.description().name, "upright-default");
    assert_eq!(policy.digest().len(), 64);
    let functions = policy.surface().exports.iter().filter(|export| export.contains('#')).count();
    assert_eq!(functions, 11);
}

#[test]
fn a_file_that_is_no_component_is_refused_and_described() {
    let core = component("(module)");
    let truncated = &std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/policy.wasm")).unwrap()[..5000];
    for (bytes, says) in [
        (&b""[..], "empty"),
        (b"#!/bin/sh\necho hello", "not WebAssembly"),
        (b"\x7fELF\x02\x01\x01\x00", "precompiled"),
        (b"\0asm", "truncated"),
        (&core, "core WebAssembly module"),
    ] {
        let error = refusal(bytes);
        assert!(matches!(error, PolicyError::NotAComponent { .. }) && error.to_string().contains(says), "{error}");
    }
    assert!(matches!(refusal(truncated), PolicyError::Compile { .. }));
}

#[test]
fn a_policy_that_imports_anything_is_refused_by_the_imports_name() {
    for import in ["wasi:cli/environment@0.2.0", "evil:corp/exfiltrate"] {
        let error = refusal(&component(&format!("(component (import \"{import}\" (instance)))")));
        assert!(matches!(&error, PolicyError::Imports { import: named } if named == import), "{error}");
    }
}

#[test]
fn a_policy_that_exports_too_little_or_another_version_is_refused_by_the_exports_name() {
    let error = refusal(&component("(component)"));
    assert!(matches!(&error, PolicyError::MissingExport { missing } if missing.contains("upright:policy/types@")), "{error}");
    let error = refusal(&component("(component (instance $i) (export \"upright:policy/types@9.0.0\" (instance $i)))"));
    assert!(matches!(&error, PolicyError::WrongVersion { found } if found.contains("9.0.0")), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_refused_by_its_path() {
    let error = Policy::from_file("nowhere/policy.wasm").unwrap_err();
    assert!(error.to_string().contains("nowhere/policy.wasm"), "{error}");
}

#[test]
fn a_policy_that_cannot_describe_itself_is_refused() {
    let trapping = policy(&[("metadata#describe", "unreachable")]);
    assert!(matches!(refusal(&trapping), PolicyError::Trapped { function: "metadata.describe", .. }));
    let endless = policy(&[("metadata#describe", "(loop $again (br $again)) unreachable")]);
    assert!(matches!(refusal(&endless), PolicyError::TimedOut { .. }));
    let nameless = policy(&[("metadata#describe", "(i32.const 1024)")]);
    assert!(matches!(refusal(&nameless), PolicyError::Nonsense { .. }));
}

#[test]
fn a_trap_in_any_function_is_answered_by_safe_mode_as_native_logic_answers() {
    let native = PolicyLifecycle::native();
    let clock = DrivenClock::new();
    let retry = incident().retry;
    let slot = || slot_with(&[], &clock);
    let classification = native.slot().classify(&refused_connection());
    let snapshot = ResourceSnapshot {
        memory_total_bytes: 10,
        memory_available_bytes: 5,
        disk_total_bytes: 10,
        disk_available_bytes: 5,
        cpu_percent: None,
    };
    let workflow = [WorkflowEntry { key: "temperature".into(), value: WorkflowValue::Number(0.9) }];
    let chain = ["a".to_owned(), "b".to_owned()];
    type Question<'a> = (&'a str, Box<dyn Fn(&PolicyLifecycle) -> String + 'a>);
    let questions: Vec<Question<'_>> = vec![
        ("settings.recommend", Box::new(|slot| format!("{:?}", slot.slot().recommend(Profile::Slow)))),
        ("backoff.delay", Box::new(|slot| format!("{:?}", slot.slot().delay(&retry, 3, 0.5)))),
        ("classifier.classify", Box::new(|slot| format!("{:?}", slot.slot().classify(&refused_connection())))),
        ("degradation.next-model", Box::new(|slot| format!("{:?}", slot.slot().next_model("a", &chain)))),
        ("degradation.simplify-workflow", Box::new(|slot| format!("{:?}", slot.slot().simplify_workflow(&workflow)))),
        (
            "degradation.may-serve-cached",
            Box::new(|slot| format!("{:?}", slot.slot().may_serve_cached(Duration::from_secs(1), Duration::from_secs(2), &classification))),
        ),
        ("health.judge", Box::new(|slot| format!("{:?}", slot.slot().judge(&snapshot, &ResourceThresholds::default())))),
        ("recovery.decide", Box::new(|slot| format!("{:?}", slot.slot().decide(&incident())))),
    ];
    for (function, ask) in questions {
        let (slot, mut seen) = slot();
        assert_eq!(ask(&slot), ask(&native), "{function}");
        let errors = safe_mode_errors(&mut seen);
        assert!(errors.len() == 1 && errors[0].contains(function) && errors[0].contains("trapped"), "{function}: {errors:?}");
    }
}

#[test]
fn a_breaker_on_a_policy_that_traps_opens_and_closes_all_the_same() {
    let clock = DrivenClock::new();
    let (slot, _seen) = slot_with(&[], &clock);
    let breaker = CircuitBreaker::builder("b").policy(slot).clock(clock.shared()).build().unwrap();
    for _ in 0..5 {
        breaker.call_blocking(|| Err::<(), _>(io::Error::from_raw_os_error(111))).unwrap_err();
    }
    assert_eq!(breaker.state(), Phase::Open);
    clock.advance(Duration::from_secs(60));
    for _ in 0..2 {
        breaker.call_blocking(|| Ok::<_, io::Error>(())).unwrap();
    }
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn a_policy_that_loops_for_ever_recurses_or_hoards_memory_is_stopped_and_named() {
    let attacks = [
        ("(loop $again (br $again)) unreachable", "longer than 5 ms"),
        ("(drop (memory.grow (i32.const 4096))) unreachable", "bytes of memory"),
        ("(call $decide (local.get 0))", "stack"),
        ("(i32.const -8)", "trapped"),
    ];
    for (body, says) in attacks {
        let clock = DrivenClock::new();
        let (slot, mut seen) = slot_of(hurried(&policy(&[("recovery#decide", body)])), &clock);
        let verdict = slot.slot().decide(&incident());
        assert_eq!(verdict, PolicyLifecycle::native().slot().decide(&incident()));
        let errors = safe_mode_errors(&mut seen);
        assert!(errors.len() == 1 && errors[0].contains(says), "{body}: {errors:?}");
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_not_followed() {
    let retry = incident().retry;
    for nonsense in ["nan", "inf", "-1", "60.001", "-inf"] {
        let clock = DrivenClock::new();
        let (slot, mut seen) = slot_with(&[("backoff#delay", &format!("(f64.const {nonsense})"))], &clock);
        assert_eq!(slot.slot().delay(&retry, 0, 0.5), Duration::from_secs(1), "{nonsense}");
        assert!(safe_mode_errors(&mut seen)[0].contains("nonsense"));
    }
    let clock = DrivenClock::new();
    // Some(7): outside the chain.
    let outside = "(i32.store8 (i32.const 256) (i32.const 1)) (i32.store (i32.const 260) (i32.const 7)) (i32.const 256)";
    let (slot, mut seen) = slot_with(&[("degradation#next-model", outside)], &clock);
    assert_eq!(slot.slot().next_model("a", &["a".into(), "b".into()]), Some(1));
    assert!(safe_mode_errors(&mut seen)[0].contains("model 7 of a chain of 2"));
}

#[test]
fn three_failures_within_a_minute_bring_the_last_good_policy_back() {
    let clock = DrivenClock::new();
    let (slot, mut seen) = slot_with(&[], &clock);
    for _ in 0..STRIKES {
        assert_eq!(slot.description().name, "hostile");
        slot.slot().decide(&incident());
    }
    assert_eq!(slot.description().name, "upright-default");
    let events: Vec<_> = std::iter::from_fn(|| seen.try_recv()).collect();
    assert!(matches!(events.last(), Some(Event::PolicyRolledBack { from, .. }) if from.starts_with("hostile")), "{events:?}");
    let before = slot.counts().safe_mode;
    slot.slot().decide(&incident());
    assert_eq!((slot.counts().safe_mode, slot.counts().rollbacks), (before, 1));
}

#[test]
fn a_policy_that_has_failed_is_nothing_to_roll_back_to() {
    let clock = DrivenClock::new();
    let (slot, _seen) = slot_with(&[], &clock);
    slot.slot().decide(&incident());
    slot.swap(patient::policy(&policy(&[])), &unprobed()).unwrap();
    for _ in 0..STRIKES {
        slot.slot().decide(&incident());
    }
    assert_eq!(slot.description().name, "upright-default");
}

#[test]
fn a_message_of_a_mebibyte_is_decided_upon_and_held_against_nobody() {
    let slot = patient::slot().connected(DrivenClock::new().shared(), Events::default());
    let mut long = incident();
    long.failure.message = "é".repeat(1 << 20);
    assert_eq!(slot.slot().decide(&long).classification.rule, "connection-refused");
    assert_eq!(slot.slot().classify(&long.failure).rule, "connection-refused");
    assert_eq!(slot.counts().safe_mode, 0);
}

#[test]
fn failures_further_apart_than_a_minute_do_not_add_up() {
    let clock = DrivenClock::new();
    let (slot, _seen) = slot_with(&[], &clock);
    for _ in 0..STRIKES * 3 {
        slot.slot().decide(&incident());
        clock.advance(STRIKE_WINDOW);
    }
    assert_eq!(slot.description().name, "hostile");
}

#[test]
fn a_policy_goes_on_after_each_trap_since_a_trap_poisons_only_its_own_store() {
    let clock = DrivenClock::new();
    let (slot, _seen) = slot_with(&[("backoff#delay", "(f64.const 2)")], &clock);
    slot.slot().classify(&refused_connection());
    assert_eq!(slot.slot().delay(&incident().retry, 0, 0.5), Duration::from_secs(2));
}

#[test]
fn swapping_while_eight_threads_decide_fails_no_call_and_mixes_no_answers() {
    let slot = patient::slot();
    let (done, decisions) = (AtomicBool::new(false), AtomicU64::new(0));
    let built_in = patient::built_in();
    let constant = |seconds: u32| patient::policy(&policy(&[("backoff#delay", &format!("(f64.const {seconds})"))]));
    let others = [constant(31), constant(37)];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let delay = slot.slot().delay(&incident().retry, 3, 0.5).as_secs();
                    assert!([8, 31, 37].contains(&delay), "a mixture: {delay}");
                    decisions.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..200 {
            slot.swap(others[round % 2].clone(), &unprobed()).unwrap();
            slot.swap(built_in.clone(), &unprobed()).unwrap();
        }
        while decisions.load(Ordering::Relaxed) < 1000 {
            std::thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((slot.counts().swaps, slot.counts().safe_mode), (400, 0));
}

#[test]
fn an_open_breaker_stays_open_through_a_swap_and_only_foreign_memory_is_cleared() {
    let clock = DrivenClock::new();
    let slot = patient::slot().connected(clock.shared(), Events::default());
    let breaker = CircuitBreaker::builder("b").policy(slot.clone()).clock(clock.shared()).build().unwrap();
    let fail = || breaker.call_blocking(|| Err::<(), _>(io::Error::from_raw_os_error(111))).map(drop).unwrap_err();
    for _ in 0..3 {
        fail();
    }
    assert!(!breaker.snapshot().memory.is_empty());
    // It writes layout 7 and answers nothing; safe mode continues the failure count.
    slot.swap(patient::policy(&policy(&[])), &unprobed()).unwrap();
    fail();
    assert_eq!(breaker.snapshot().consecutive_failures, 4);
    fail();
    assert_eq!(breaker.state(), Phase::Open);
    slot.swap(patient::built_in(), &unprobed()).unwrap();
    assert_eq!(breaker.state(), Phase::Open);
    clock.advance(Duration::from_secs(59));
    assert!(breaker.try_acquire().is_err());
}

#[test]
fn a_call_in_flight_during_a_swap_ends_as_it_should() {
    let clock = DrivenClock::skipping();
    let slot = patient::slot().connected(clock.shared(), Events::default());
    let strategy = RetryStrategy::builder().policy(slot.clone()).clock(clock.shared()).build().unwrap();
    let value = strategy.execute_accepting_blocking(
        |attempt| {
            if attempt.number == 1 {
                slot.swap(patient::policy(&policy(&[])), &unprobed()).unwrap();
                return Err(io::Error::from_raw_os_error(111));
            }
            Ok(attempt.number)
        },
        |_| true,
    );
    assert_eq!(value.unwrap(), 2);
}
