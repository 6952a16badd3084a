#![allow(clippy::unwrap_used)]

use super::*;
use alloc::vec::Vec;
use upright_shim::logic::backoff::RetryConfig;
use upright_shim::logic::breaker::{self as default_breaker, Event, Phase};
use upright_shim::logic::health::ResourceSnapshot;
use upright_shim::logic::recovery::{AtHand, CachedAnswer, Directive, Guard, ModelChoice, Reason};
use upright_shim::logic::types::{Fault, FaultKind};

const SECOND: u64 = 1_000_000_000;
const GIB: u64 = 1 << 30;

fn incident(failure: Fault) -> Incident {
    Incident { retry: RetryConfig { jitter: false, ..RetryConfig::default() }, random: 0.5, ..Incident::of(failure) }
}

fn said(status: u16, message: &str) -> Incident {
    incident(Fault { status: Some(status), ..Fault::new(FaultKind::HttpStatus, message) })
}

fn busy() -> Incident {
    said(503, "server busy, please try again")
}

fn out_of_memory() -> Incident {
    said(500, "CUDA error: out of memory")
}

fn models(chain: &[&str]) -> Option<ModelChoice> {
    Some(ModelChoice { current: "big".into(), chain: chain.iter().map(|name| (*name).into()).collect(), known: None })
}

fn left(memory: u64, disk: u64) -> Option<ResourceSnapshot> {
    Some(ResourceSnapshot {
        memory_total_bytes: 100 * GIB,
        memory_available_bytes: memory * GIB,
        disk_total_bytes: 1000 * GIB,
        disk_available_bytes: disk,
        cpu_percent: None,
    })
}

fn decided(incident: Incident) -> (Directive, Reason) {
    let verdict = Cautious::decide(incident);
    (verdict.directive, verdict.reason)
}

#[test]
fn cautious_decides_like_the_default_policy_while_memory_is_plentiful() {
    for resources in [None, left(20, GIB)] {
        let roomy = Incident { resources, models: models(&["big", "small"]), ..busy() };
        assert_eq!(decided(roomy), (Directive::RetryAfter(1.0), Reason::Retryable));
    }
}

#[test]
fn with_memory_short_a_smaller_model_comes_before_any_retry_and_then_a_lighter_workflow() {
    let short = Incident { resources: left(19, GIB), ..busy() };
    let light = AtHand { can_simplify: true, ..AtHand::default() };
    let switch = decided(Incident { models: models(&["big", "small"]), at_hand: light, ..short.clone() });
    assert_eq!(switch, (Directive::SwitchModel(1), Reason::ModelUnsuitable));
    let last = Incident { models: models(&["big"]), at_hand: light, ..short.clone() };
    assert_eq!(decided(last), (Directive::Simplify, Reason::ModelUnsuitable));
    let nothing_lighter = Incident { models: models(&["big"]), ..short.clone() };
    assert_eq!(decided(nothing_lighter), (Directive::RetryAfter(1.0), Reason::Retryable));
    assert_eq!(decided(Incident { models: models(&[]), ..short }).0, Directive::RetryAfter(1.0), "an empty chain offers nothing");
}

#[test]
fn cautious_does_not_repeat_a_non_idempotent_request_when_memory_is_short() {
    let short = Incident { resources: left(1, GIB), models: models(&["big", "small"]), ..busy() };
    assert_eq!(decided(Incident { idempotent: false, ..short.clone() }), (Directive::GiveUp, Reason::NotIdempotent));
    assert_eq!(decided(Incident { elapsed: 2.0, deadline: Some(2.0), ..short.clone() }), (Directive::GiveUp, Reason::DeadlineExceeded));
    let gone = Incident { failure: Fault::new(FaultKind::Cancelled, ""), ..short };
    assert_eq!(decided(gone), (Directive::GiveUp, Reason::Cancelled));
}

#[test]
fn no_smaller_model_is_tried_where_the_server_cannot_be_reached() {
    let refused =
        Incident { resources: left(1, GIB), models: models(&["big", "small"]), ..incident(Fault::new(FaultKind::ConnectionRefused, "")) };
    assert_eq!(decided(refused), (Directive::RetryAfter(1.0), Reason::Retryable));
}

#[test]
fn cautious_retries_a_resource_failure_at_most_once() {
    for failure in [out_of_memory().failure, Fault::new(FaultKind::TooManyOpenFiles, "")] {
        assert_eq!(decided(incident(failure.clone())), (Directive::RetryAfter(1.0), Reason::Retryable), "{failure:?}");
        for attempt in [1, 2, u32::MAX] {
            assert_eq!(decided(Incident { attempt, ..incident(failure.clone()) }), (Directive::GiveUp, Reason::AttemptsExhausted));
        }
    }
    let never = Incident { retry: RetryConfig { max_retries: 0, ..RetryConfig::default() }, ..out_of_memory() };
    assert_eq!(decided(never).1, Reason::AttemptsExhausted, "a caller that wants fewer gets fewer");
}

#[test]
fn cautious_waits_five_times_as_long_while_a_model_loads_up_to_the_cap() {
    let loading = said(503, "llm server loading model");
    let at = |attempt| decided(Incident { attempt, ..loading.clone() }).0;
    assert_eq!([0, 1, 2].map(at), [5.0, 10.0, 20.0].map(Directive::RetryAfter));
    let capped = Incident { retry: RetryConfig { max_delay: 3.0, ..loading.retry }, ..loading };
    assert_eq!(decided(capped).0, Directive::RetryAfter(3.0));
}

#[test]
fn each_rule_that_says_that_a_model_is_loading_is_one_that_the_classifier_has() {
    for text in ["llm server loading model", "timed out waiting for llama runner to start"] {
        assert_eq!(decided(said(500, text)).0, Directive::RetryAfter(5.0), "{text}");
    }
}

#[test]
fn odd_delays_stay_delays_while_a_model_is_loading() {
    for base_delay in [f64::NAN, f64::INFINITY, f64::MAX, -1.0, 0.0] {
        let loading = said(503, "llm server loading model");
        let retry = RetryConfig { base_delay, ..loading.retry };
        let Directive::RetryAfter(delay) = decided(Incident { retry, ..loading }).0 else { panic!("{base_delay}") };
        assert!((0.0..=60.0).contains(&delay), "{base_delay} gave {delay}");
    }
}

#[test]
fn with_the_disk_full_nothing_is_retried() {
    for failure in
        [busy().failure, out_of_memory().failure, Fault::new(FaultKind::Timeout, ""), Fault::new(FaultKind::ConnectionRefused, "")]
    {
        let full = Incident { resources: left(90, FULL_DISK_BYTES - 1), ..incident(failure) };
        assert_eq!(decided(full.clone()), (Directive::GiveUp, Reason::NotRetryable));
        let enough = Incident { resources: left(90, FULL_DISK_BYTES), ..full };
        assert_eq!(decided(enough).1, Reason::Retryable);
    }
}

#[test]
fn cautious_serves_from_the_cache_and_switches_no_model_on_a_full_disk() {
    let full = Incident { models: models(&["big", "small"]), ..incident(Fault::new(FaultKind::DiskFull, "No space left on device")) };
    let with = |at_hand| decided(Incident { at_hand, ..full.clone() }).0;
    assert_eq!(with(AtHand { can_simplify: true, ..AtHand::default() }), Directive::GiveUp);
    assert_eq!(with(AtHand { fallback: true, ..AtHand::default() }), Directive::UseFallback);
    let cached = Some(CachedAnswer { age: 1.0, max_age: 60.0 });
    assert_eq!(with(AtHand { cached, ..AtHand::default() }), Directive::ServeCached);
}

#[test]
fn cautious_ignores_memory_and_disk_totals_that_could_not_be_read() {
    let unread = ResourceSnapshot {
        memory_total_bytes: 0,
        memory_available_bytes: 0,
        disk_total_bytes: 0,
        disk_available_bytes: 0,
        cpu_percent: Some(f64::NAN),
    };
    let unread = Incident { resources: Some(unread), models: models(&["big", "small"]), ..busy() };
    assert_eq!(decided(unread), (Directive::RetryAfter(1.0), Reason::Retryable));
}

struct Machine {
    config: BreakerConfig,
    now: u64,
    at: Transition,
}

impl Machine {
    fn new() -> Self {
        Self { config: BreakerConfig::default(), now: 0, at: Cautious::initial(0) }
    }

    fn see(&mut self, failure: Fault, successes: u64) -> Verdict {
        let state = self.at.state.clone();
        let generation = state.generation;
        let guard = Guard { config: self.config, state, generation, successes, took: 0.0 };
        let verdict = Cautious::decide(Incident { guard: Some(guard), now: self.now, ..incident(failure) });
        self.at = verdict.breaker.clone().unwrap();
        verdict
    }

    fn phase_after(&mut self, failure: Fault, successes: u64) -> Phase {
        self.see(failure, successes);
        self.at.state.phase
    }
}

#[test]
fn two_failures_for_want_of_a_resource_open_the_breaker_and_end_the_retries() {
    let mut machine = Machine::new();
    assert_eq!(machine.phase_after(out_of_memory().failure, 0), Phase::Closed);
    machine.now = 599 * SECOND;
    let verdict = machine.see(out_of_memory().failure, 50);
    assert_eq!((machine.at.state.phase, verdict.directive, verdict.reason), (Phase::Open, Directive::GiveUp, Reason::CircuitOpen));
}

#[test]
fn resource_failures_further_apart_than_the_failure_window_do_not_open_the_breaker() {
    let mut machine = Machine::new();
    for _ in 0..10 {
        machine.now += 601 * SECOND;
        assert_eq!(machine.phase_after(out_of_memory().failure, 0), Phase::Closed);
    }
}

#[test]
fn failures_of_this_program_alone_speak_against_no_server() {
    let mut machine = Machine::new();
    for _ in 0..10 {
        assert_eq!(machine.phase_after(Fault::new(FaultKind::OutOfMemory, ""), 0), Phase::Closed);
    }
}

#[test]
fn other_failures_open_the_cautious_breaker_like_the_default_breaker() {
    let mut machine = Machine::new();
    let mut default = default_breaker::initial(0);
    let mut random = 7_u64;
    for _ in 0..2000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        machine.now += random >> 31;
        let successes = (random >> 60) & 1;
        let event = Event::Failure(default.state.generation);
        default = default_breaker::step(
            &machine.config,
            default.state,
            &upright_shim::logic::breaker::Observation { event, now: machine.now, successes, took: 0.0 },
        );
        assert_eq!(machine.phase_after(busy().failure, successes), default.state.phase);
        assert_eq!(machine.at.state.consecutive_failures, default.state.consecutive_failures);
        if default.state.phase == Phase::Open {
            (machine.at, default) = (Cautious::initial(machine.now), default_breaker::initial(machine.now));
        }
    }
}

#[test]
fn the_cautious_breaker_reads_foreign_or_damaged_memory_as_empty() {
    let mut machine = Machine::new();
    machine.see(out_of_memory().failure, 0);
    let written = machine.at.state.memory.clone();
    let mut memories = alloc::vec![Vec::new(), alloc::vec![0; written.len()], alloc::vec![255; 4096]];
    memories.extend((0..written.len()).map(|cut| written[..cut].to_vec()));
    memories.extend((0..written.len() * 8).map(|bit| {
        let mut memory = written.clone();
        memory[bit / 8] ^= 1 << (bit % 8);
        memory
    }));
    for memory in memories {
        let mut machine = Machine::new();
        machine.at.state.memory = memory;
        assert_eq!(machine.phase_after(out_of_memory().failure, 0), Phase::Closed, "nothing was remembered");
        assert_eq!(machine.phase_after(out_of_memory().failure, 0), Phase::Open, "and what was written since is");
    }
}

#[test]
fn the_cautious_breaker_ignores_results_from_before_the_trip_and_probes_like_the_default() {
    let mut machine = Machine::new();
    machine.see(out_of_memory().failure, 0);
    machine.see(out_of_memory().failure, 0);
    let opened = machine.at.clone();
    let late =
        Cautious::step(&machine.config, opened.state.clone(), &Observation { event: Event::Failure(0), now: 5, successes: 0, took: 0.0 });
    assert_eq!(late, opened);
    let elapsed = Observation { event: Event::Elapsed, now: 60 * SECOND, successes: 0, took: 0.0 };
    let probing = Cautious::step(&machine.config, opened.state, &elapsed);
    assert_eq!(probing.state.phase, Phase::HalfOpen);
    assert!(probing.state.memory.is_empty());
}

#[test]
fn the_cautious_policy_has_its_own_name_and_state_layout() {
    let (own, default) = (Cautious::describe(), metadata::describe());
    assert_ne!(own.name, default.name);
    assert_ne!(own.state_layout, default.state_layout);
}
