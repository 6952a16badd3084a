//! Policies with WASI find an empty system there, and can import nothing else.
//!
//! A binary of its own, because it is built only with the feature `wasi`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use serde_json::{Value, json};
use std::time::Duration;
use upright::policy::{PolicyError, PolicyLoader};
use upright::{Policy, PolicyLifecycle};
use upright_operations::eval::Evaluator;
use upright_test_kit::patient;
use upright_test_kit::policies::{policy, policy_importing};

const WASI: [&str; 4] = [
    "package wasi:io@0.2.0;
     interface poll { resource pollable; }
     interface error { resource error; }
     interface streams {
         use error.{error};
         variant stream-error { last-operation-failed(error), closed }
         resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
     }",
    "package wasi:clocks@0.2.0;
     interface monotonic-clock {
         use wasi:io/poll@0.2.0.{pollable};
         now: func() -> u64;
         subscribe-duration: func(when: u64) -> pollable;
     }",
    "package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }",
    "package wasi:cli@0.2.0;
     interface environment { get-environment: func() -> list<tuple<string, string>>; get-arguments: func() -> list<string>; }
     interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }",
];

fn bytes(imports: &str, world: &str, body: &str) -> Vec<u8> {
    policy_importing(imports, &WASI, world, &[("backoff#delay", body)])
}

fn allowed(bytes: &[u8]) -> Policy {
    patient::loader().allow_wasi(true).probe(false).from_bytes(bytes).unwrap()
}

fn random() -> Vec<u8> {
    bytes(
        r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#,
        "import wasi:random/random@0.2.0;",
        "(f64.convert_i64_u (i64.shr_u (call $random) (i64.const 12)))",
    )
}

fn ask(evaluator: &mut Evaluator) -> Result<Value, String> {
    let config = json!({"max_retries": 3, "base_delay": 1.0, "max_delay": 60.0, "backoff_factor": 2.0, "jitter": false,
        "jitter_range": {"low": 0.8, "high": 1.2}, "jitter_may_exceed_max": false});
    evaluator.eval("backoff.delay", &json!({ "config": config, "attempt": 0, "random": 0.5 })).map_err(|error| error.to_string())
}

fn answer(bytes: &[u8]) -> Result<Value, String> {
    ask(&mut Evaluator::new(allowed(bytes)))
}

#[test]
fn a_policy_that_imports_wasi_is_refused_unless_it_is_allowed() {
    let error = Policy::from_bytes(&random()).unwrap_err();
    assert!(matches!(&error, PolicyError::Imports { import } if import == "wasi:random/random@0.2.0"), "{error}");
    assert_eq!(allowed(&random()).surface().imports, ["wasi:random/random@0.2.0"]);
}

#[test]
fn a_policy_with_wasi_may_import_nothing_else() {
    for import in ["evil:corp/exfiltrate", "wasi:cli/environment@0.3.0", "wasi:keyvalue/store", "wasi:http/types@0.2.0"] {
        let component = wat::parse_str(format!("(component (import \"{import}\" (instance)))")).unwrap();
        let error = PolicyLoader::default().allow_wasi(true).from_bytes(&component).unwrap_err();
        assert!(matches!(&error, PolicyError::ImportsBeyondWasi { import: named } if named == import), "{error}");
        assert!(error.to_string().contains(import), "{error}");
    }
}

#[test]
fn random_numbers_are_the_same_at_every_decision_and_on_every_instance() {
    let mut one = Evaluator::new(allowed(&random()));
    let first = ask(&mut one).unwrap();
    assert_ne!(first, json!(0.0));
    assert_eq!(ask(&mut one).unwrap(), first);
    assert_eq!(answer(&random()).unwrap(), first);
}

#[test]
fn the_clock_of_a_policy_with_wasi_stands_still() {
    let clock = bytes(
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))"#,
        "import wasi:clocks/monotonic-clock@0.2.0;",
        "(f64.convert_i64_u (call $now))",
    );
    assert_eq!(answer(&clock), Ok(json!(0.0)));
}

#[test]
fn there_is_no_environment_and_there_are_no_arguments() {
    let lengths = bytes(
        r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
           (import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))"#,
        "import wasi:cli/environment@0.2.0;",
        "(call $environment (i32.const 1024)) (call $arguments (i32.const 1032))
         (f64.convert_i32_u (i32.add (i32.load (i32.const 1028)) (i32.load (i32.const 1036))))",
    );
    assert_eq!(answer(&lengths), Ok(json!(0.0)));
}

#[test]
fn a_policy_that_wants_to_sleep_is_stopped_at_once() {
    let sleeper = bytes(
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $sleep (param i64) (result i32)))"#,
        "import wasi:clocks/monotonic-clock@0.2.0;",
        "(f64.convert_i32_u (call $sleep (i64.const 1)))",
    );
    let error = answer(&sleeper).unwrap_err();
    assert!(error.contains("may not wait"), "{error}");
}

fn writer() -> Vec<u8> {
    bytes(
        r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
           (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))"#,
        "import wasi:io/streams@0.2.0; import wasi:cli/stdout@0.2.0;",
        "(call $write (call $stdout) (i32.const 64) (i32.const 7) (i32.const 1024)) (f64.convert_i32_u (i32.load8_u (i32.const 1024)))",
    )
}

#[test]
fn output_of_a_policy_with_wasi_is_discarded() {
    assert_eq!(answer(&writer()), Ok(json!(0.0)));
}

#[test]
fn a_policy_that_hoards_handles_is_stopped() {
    let hoarder = bytes(
        r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))"#,
        "import wasi:io/streams@0.2.0; import wasi:cli/stdout@0.2.0;",
        "(local $left i32) (local.set $left (i32.const 2000))
         (loop $again (drop (call $stdout)) (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) (f64.const 0)",
    );
    let error = answer(&hoarder).unwrap_err();
    assert!(error.contains("no free keys"), "{error}");
}

#[tokio::test]
async fn wasi_can_be_called_where_a_runtime_of_tokios_drives_the_caller() {
    assert_eq!(answer(&writer()), Ok(json!(0.0)));
    let slot = PolicyLifecycle::new(allowed(&writer()));
    assert_eq!(slot.slot().delay(&upright::types::RetryConfig::default(), 0, 0.5), Duration::ZERO);
    assert_eq!(slot.counts().safe_mode, 0);
}

/// Asks for 20 MiB; answers -1 if refused.
const GROWS: &str = "(f64.convert_i32_s (memory.grow (i32.const 320)))";

#[test]
fn a_policy_has_the_memory_limit_of_its_loader() {
    let grows = policy(&[("backoff#delay", GROWS)]);
    let answer = |loader: PolicyLoader| ask(&mut Evaluator::new(loader.probe(false).from_bytes(&grows).unwrap())).unwrap();
    assert_eq!(answer(patient::loader()), json!(-1.0));
    assert_eq!(answer(patient::loader().memory_limit(32 << 20)), json!(4.0));
    assert_eq!(answer(patient::loader().allow_wasi(true)), json!(4.0));
    assert_eq!(answer(patient::loader().allow_wasi(true).memory_limit(16 << 20)), json!(-1.0));
}

#[test]
fn a_decision_is_ended_at_the_limit_that_the_loader_gives() {
    let endless = policy(&[("classifier#classify", "(loop $again (br $again)) unreachable")]);
    for (loader, milliseconds) in [
        (PolicyLoader::default(), 5),
        (PolicyLoader::default().decision_limit(Duration::from_millis(12)), 12),
        (PolicyLoader::default().allow_wasi(true), 50),
    ] {
        let events = upright::events::Events::default();
        let mut seen = events.subscribe();
        let slot = PolicyLifecycle::new(loader.probe(false).from_bytes(&endless).unwrap())
            .connected(upright::clock::SystemClock::shared(), events);
        slot.slot().classify(&upright::types::Fault::new(upright::types::FaultKind::Other, ""));
        let said = std::iter::from_fn(|| seen.try_recv()).map(|event| format!("{event:?}")).collect::<String>();
        assert!(said.contains(&format!("longer than {milliseconds} ms")), "{said}");
    }
}

#[test]
fn limits_out_of_range_are_refused_by_name() {
    let bytes = policy(&[]);
    let refusal = |loader: PolicyLoader| loader.from_bytes(&bytes).unwrap_err();
    for bytes in [0, (64 << 10) - 1, (4 << 30) + 1, usize::MAX] {
        let error = refusal(PolicyLoader::default().memory_limit(bytes));
        assert!(
            matches!(&error, PolicyError::Limit { limit: "memory_limit", .. }) && error.to_string().contains(&bytes.to_string()),
            "{error}"
        );
    }
    for limit in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(11), Duration::MAX] {
        let error = refusal(PolicyLoader::default().decision_limit(limit));
        assert!(matches!(&error, PolicyError::Limit { limit: "decision_limit", .. }), "{error}");
    }
}
