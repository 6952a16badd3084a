//! Hostile policies are refused with a reason, or contained.
//!
//! `cargo test -p upright --test policy hostile -- --nocapture` prints the table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};
use upright::events::Events;
use upright::policy::{PolicyLifecycle, PolicyLoader, PolicySlot, Stage, SwapOptions};
use upright::testing::DrivenClock;
use upright::types::*;
use upright_runtime::STRIKES;
use upright_test_kit::policies::hostile::{GIVES_UP, sensible};
use upright_test_kit::policies::{self, hurried, policy, unprobed};

static BUILT_IN: &[u8] = include_bytes!("../../../runtime/policy.wasm");

fn incident() -> Incident {
    let state =
        BreakerState { phase: Phase::Closed, consecutive_failures: 0, half_open_successes: 0, since: 0, generation: 0, memory: Vec::new() };
    Incident {
        retry: RetryConfig { jitter: false, ..RetryConfig::default() },
        random: 0.5,
        guard: Some(Guard { config: BreakerConfig::default(), state, generation: 0, successes: 0, took: 0.0 }),
        models: Some(ModelChoice { current: "a".into(), chain: vec!["a".into(), "b".into()], known: None }),
        ..Incident::of(Fault::new(FaultKind::ConnectionRefused, "connection refused"))
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

fn files() -> Vec<(&'static str, Vec<u8>, Stage, &'static str)> {
    let text = |text: &str| wat::parse_str(text).unwrap();
    let foreign = wasmtime::Engine::default().precompile_component(&text("(component)")).unwrap();
    let header = |rest: Vec<u8>| [&BUILT_IN[..8], &rest[..]].concat();
    vec![
        ("an empty file", Vec::new(), Stage::Inspection, "empty"),
        ("random bytes", noise(4096), Stage::Inspection, "not WebAssembly"),
        ("a component's header before random bytes", header(noise(4096)), Stage::Compilation, "valid component"),
        ("a core module", text("(module)"), Stage::Inspection, "core WebAssembly module"),
        ("a foreign precompiled file", foreign, Stage::Inspection, "precompiled"),
        ("a truncated file", BUILT_IN[..BUILT_IN.len() / 2].to_vec(), Stage::Compilation, "valid component"),
        (
            "an importer of WASI",
            text("(component (import \"wasi:cli/environment@0.2.0\" (instance)))"),
            Stage::Inspection,
            "wasi:cli/environment@0.2.0",
        ),
        (
            "an importer of an unknown interface",
            text("(component (import \"evil:corp/exfiltrate\" (instance)))"),
            Stage::Inspection,
            "evil:corp/exfiltrate",
        ),
        (
            "a wrong version of the contract",
            text("(component (instance $i) (export \"upright:policy/types@9.0.0\" (instance $i)))"),
            Stage::Inspection,
            "9.0.0",
        ),
        ("an empty component", text("(component)"), Stage::Inspection, "does not export"),
        ("a name that writes on a terminal", named_by_an_escape(), Stage::Probe, "control characters"),
        ("a control character in the name of a parameter", escape_in_a_parameter(), Stage::Compilation, "kebab case"),
        ("a start function that never ends", looping_start(), Stage::Probe, "longer than"),
    ]
}

fn looping_start() -> Vec<u8> {
    policy(&[("start", "(loop $again (br $again))")])
}

fn named_by_an_escape() -> Vec<u8> {
    policy(&[("metadata#describe", "(i32.store8 (i32.const 64) (i32.const 27)) (i32.const 16)")])
}

fn escape_in_a_parameter() -> Vec<u8> {
    [&BUILT_IN[..8], b"\x07\x0d\x01\x40\x01\x06conf\x1bg\x75\x00\x75"].concat()
}

fn attacks() -> Vec<(String, &'static str, String, &'static str)> {
    let traps =
        sensible().into_iter().map(|(function, _)| (format!("a trap in {function}"), function, "unreachable".to_owned(), "trapped"));
    let row = |name: &str, function, body: &str, says| (name.to_owned(), function, body.to_owned(), says);
    let verdict = |directive: &str| GIVES_UP.replace("(i32.store8 (i32.const 215088) (i32.const 12))", directive);
    traps
        .chain([
            row("an infinite loop", "recovery#decide", "(loop $again (br $again)) unreachable", "longer than 5 ms"),
            row("deep recursion", "recovery#decide", "(call $decide (local.get 0))", "stack"),
            row("a memory bomb", "recovery#decide", "(drop (memory.grow (i32.const 4096))) unreachable", "bytes of memory"),
            row("a crawling memory bomb", "recovery#decide", "(loop $again (drop (memory.grow (i32.const 1))) (br $again)) unreachable", "bytes of memory"),
            row("a huge result", "degradation#simplify-workflow", "(i32.store (i32.const 216004) (i32.const 0x7fffffff)) (i32.const 216000)", "trapped"),
            row("a result outside its memory", "recovery#decide", "(i32.const -8)", "trapped"),
            row("a rule's name of 40,000 bytes", "classifier#classify",
                "(i32.store (i32.const 213016) (i32.const 217000)) (i32.store (i32.const 213020) (i32.const 40000)) (i32.const 213000)", "40000 bytes"),
            row("a rule's name that forges a line of a log", "classifier#classify",
                "(i32.store8 (i32.const 82) (i32.const 10)) (i32.store (i32.const 213016) (i32.const 80)) (i32.store (i32.const 213020) (i32.const 5)) (i32.const 213000)", "control characters"),
            row("a rule's name that is no text", "classifier#classify",
                "(i32.store8 (i32.const 90) (i32.const 255)) (i32.store (i32.const 213016) (i32.const 90)) (i32.store (i32.const 213020) (i32.const 1)) (i32.const 213000)", "trapped"),
            row("an unknown case of an enum", "recovery#decide", &verdict("(i32.store8 (i32.const 215088) (i32.const 77))"), "trapped"),
            row("a delay that is not a number", "backoff#delay", "(f64.const nan)", "NaN"),
            row("an endless delay", "backoff#delay", "(f64.const inf)", "inf"),
            row("a negative delay", "backoff#delay", "(f64.const -1)", "-1"),
            row("a delay past its cap", "backoff#delay", "(f64.const 60.001)", "60.001"),
            row("a retry that is not a number", "recovery#decide",
                &verdict("(i32.store8 (i32.const 215088) (i32.const 0)) (f64.store (i32.const 215096) (f64.const nan))"), "NaN"),
            row("a model outside the chain", "recovery#decide",
                &verdict("(i32.store8 (i32.const 215088) (i32.const 2)) (i32.store (i32.const 215096) (i32.const 7))"), "model 7"),
            row("a fallback that nobody gave", "recovery#decide", &verdict("(i32.store8 (i32.const 215088) (i32.const 11))"), "fallback"),
            row("a breaker that leaps to another generation", "recovery#decide",
                &GIVES_UP.replace("(i64.store (i32.const 215056) (i64.load offset=320 (local.get 0)))", "(i64.store (i32.const 215056) (i64.const 99))"), "generation 99"),
            row("a breaker that begins in a generation of its own", "breaker#initial",
                "(i64.store (i32.const 211024) (i64.const -1)) (i32.const 211000)", "in generation 18446744073709551615"),
            row("a breaker that begins open", "breaker#initial",
                "(i32.store8 (i32.const 211000) (i32.const 1)) (i32.store8 (i32.const 211040) (i32.const 1)) (i32.const 211000)", "is open in generation 0"),
            row("an edit of an entry that is not there", "degradation#simplify-workflow",
                "(i32.store (i32.const 216000) (i32.const 216016)) (i32.store (i32.const 216004) (i32.const 1)) (i32.store (i32.const 216016) (i32.const 9)) (i32.const 216000)", "edits"),
        ])
        .collect()
}

fn ask(slot: &PolicySlot, function: &str) -> String {
    let workflow = [WorkflowEntry { key: "temperature".into(), value: WorkflowValue::Number(0.9) }];
    let failure = PolicySlot::native().classify(&incident().failure);
    let snapshot = ResourceSnapshot {
        memory_total_bytes: 10,
        memory_available_bytes: 5,
        disk_total_bytes: 10,
        disk_available_bytes: 5,
        cpu_percent: None,
    };
    match function {
        "settings#recommend" => format!("{:?}", slot.recommend(Profile::Slow)),
        "backoff#delay" => format!("{:?}", slot.delay(&incident().retry, 3, 0.5)),
        "classifier#classify" => format!("{:?}", slot.classify(&incident().failure)),
        "degradation#next-model" => format!("{:?}", slot.next_model("a", &["a".into(), "b".into()])),
        "degradation#simplify-workflow" => format!("{:?}", slot.simplify_workflow(&workflow)),
        "degradation#may-serve-cached" => format!("{:?}", slot.may_serve_cached(Duration::from_secs(1), Duration::from_secs(2), &failure)),
        "health#judge" => format!("{:?}", slot.judge(&snapshot, &ResourceThresholds::default())),
        "breaker#initial" => {
            let breaker = upright::CircuitBreaker::builder("b").policy(slot.clone()).build().unwrap();
            format!("{:?}", breaker.state())
        }
        "breaker#step" => {
            let clock = DrivenClock::new();
            let breaker =
                upright::CircuitBreaker::builder("b").policy(slot.clone()).failure_threshold(1).clock(clock.shared()).build().unwrap();
            let _ = breaker.call_blocking(|| Err::<(), _>(std::io::Error::from_raw_os_error(111)));
            clock.advance(Duration::from_secs(61));
            let _ = breaker.call_blocking(|| Ok::<_, std::io::Error>(()));
            format!("{:?}", breaker.state())
        }
        _ => format!("{:?}", slot.decide(&incident())),
    }
}

#[test]
fn every_attack_is_refused_with_a_reason_or_contained() {
    let mut table = String::new();
    let mut row = |name: &str, outcome: &str, reason: &str| {
        let reason: String = reason.chars().take(110).collect();
        writeln!(table, "{name:<45} {outcome:<22} {reason}").unwrap();
    };
    for (name, bytes, stage, says) in files() {
        let error = PolicyLoader::default().from_bytes(&bytes).map(drop).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.stage(), stage, "{name}: {text}");
        assert!(text.contains(says) && !text.contains(char::is_control), "{name}: {text}");
        row(name, &format!("refused: {stage}"), &text);
    }
    for (name, function, body, says) in attacks() {
        let mut bodies = policies::hostile::owned(&sensible(), function, &body);
        if function == "breaker#step" {
            bodies = policies::hostile::owned(&bodies, "recovery#decide", "unreachable");
        }
        let bytes = policy(&bodies);
        let clock = DrivenClock::new();
        let slot = PolicyLifecycle::built_in().connected(clock.shared(), Events::default());
        let before = slot.description().name;
        let refused = slot.swap(hurried(&bytes), &SwapOptions::default()).unwrap_err();
        assert!(refused.stage() == Stage::Probe && refused.to_string().contains(says), "{name}: {refused}");
        assert_eq!(slot.description().name, before);
        row(&name, "refused: probe", &refused.to_string());

        // Without a probe it is contained: safe mode answers, and after its strikes it is removed.
        slot.swap(hurried(&bytes), &unprobed()).unwrap();
        let native = ask(&PolicySlot::native(), function);
        let mut longest = Duration::ZERO;
        let mut asked = 0;
        while slot.description().name == "hostile" {
            assert!(asked < STRIKES + 1, "{name}: still there after {asked} questions");
            let began = Instant::now();
            let answer = ask(slot.slot(), function);
            longest = longest.max(began.elapsed());
            asked += 1;
            assert!(answer == native, "{name}: {answer} instead of {native}");
        }
        assert_eq!((slot.description().name, slot.counts().rollbacks), (before, 1));
        row(&name, "contained, rolled back", &format!("safe mode answered within {:.1} ms", longest.as_secs_f64() * 1e3));
    }
    println!("{table}");
}
