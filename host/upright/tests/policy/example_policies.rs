//! The example policies, swapped in from their committed components, change decisions as described.

use std::io;
use std::path::Path;
use std::time::Duration;
use upright::events::Events;
use upright::policy::SwapOptions;
use upright::testing::DrivenClock;
use upright::types::*;
use upright::{CircuitBreaker, Policy, PolicyLifecycle};
use upright_test_kit::patient;

fn example(name: &str) -> Policy {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples")).join(name);
    patient::loader().from_file(folder.join(format!("{name}.wasm"))).unwrap()
}

fn guarded(config: BreakerConfig) -> (DrivenClock, PolicyLifecycle, CircuitBreaker) {
    let clock = DrivenClock::new();
    let slot = patient::slot().connected(clock.shared(), Events::default());
    let breaker = CircuitBreaker::builder("ollama").config(config).policy(slot.clone()).clock(clock.shared()).build().unwrap();
    (clock, slot, breaker)
}

fn fail(breaker: &CircuitBreaker) -> Phase {
    breaker.call_blocking(|| Err::<(), _>(io::Error::from_raw_os_error(111))).unwrap_err();
    breaker.state()
}

fn fail_with(breaker: &CircuitBreaker, fault: Fault) -> Phase {
    breaker.try_acquire().unwrap().fault(fault);
    breaker.state()
}

fn succeed(breaker: &CircuitBreaker) {
    breaker.call_blocking(|| Ok::<_, io::Error>(())).unwrap();
}

fn answered_by_the_component(slot: &PolicyLifecycle) {
    assert_eq!(slot.counts().safe_mode, 0, "native code answered in the component's place");
}

#[test]
fn either_window_opens_at_its_rate_and_not_before() {
    for name in ["count-window", "time-window"] {
        let (clock, slot, breaker) = guarded(BreakerConfig::default());
        slot.swap(example(name), &SwapOptions::default()).unwrap();
        for _ in 0..20 {
            succeed(&breaker);
        }
        for failures in 1..20 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(fail(&breaker), Phase::Closed, "{name}: {failures} failures of {} calls", 20 + failures);
        }
        assert_eq!(fail(&breaker), Phase::Open, "{name}: half of forty calls");
        clock.advance(Duration::from_secs(60));
        succeed(&breaker);
        succeed(&breaker);
        assert_eq!(breaker.state(), Phase::Closed);
        answered_by_the_component(&slot);
    }
}

#[test]
fn a_swap_from_the_default_policy_clears_the_memory_and_keeps_the_rest() {
    for name in ["count-window", "time-window", "cautious"] {
        let (_, slot, breaker) = guarded(BreakerConfig { failure_threshold: 50, ..BreakerConfig::default() });
        for _ in 0..15 {
            fail(&breaker);
        }
        let before = breaker.snapshot();
        slot.swap(example(name), &SwapOptions::default()).unwrap();
        assert_eq!(fail(&breaker), Phase::Closed, "{name}: were the 15 still remembered, a window would not be far from its rate");
        let after = breaker.snapshot();
        assert_ne!(after.memory.len(), before.memory.len(), "{name} writes memory of its own");
        assert_eq!((after.phase, after.generation, after.since), (before.phase, before.generation, before.since));
        assert_eq!(after.consecutive_failures, 16, "{name} counts the row on");
        answered_by_the_component(&slot);
    }
}

#[test]
fn an_open_breaker_stays_open_over_a_swap_and_becomes_half_open_in_time() {
    for name in ["count-window", "time-window", "cautious", "decorrelated-jitter"] {
        let (clock, slot, breaker) = guarded(BreakerConfig::default());
        for _ in 0..5 {
            fail(&breaker);
        }
        slot.swap(example(name), &SwapOptions::default()).unwrap();
        clock.advance(Duration::from_secs(59));
        assert!(breaker.try_acquire().is_err(), "{name}");
        clock.advance(Duration::from_secs(1));
        succeed(&breaker);
        assert_eq!(breaker.state(), Phase::HalfOpen, "{name}");
        answered_by_the_component(&slot);
    }
}

#[test]
fn the_cautious_policy_opens_at_the_second_failure_for_want_of_memory() {
    let out_of_memory = || Fault { status: Some(500), ..Fault::new(FaultKind::HttpStatus, "CUDA error: out of memory") };
    let (_, slot, breaker) = guarded(BreakerConfig::default());
    slot.swap(example("cautious"), &SwapOptions::default()).unwrap();
    assert_eq!(fail_with(&breaker, out_of_memory()), Phase::Closed);
    succeed(&breaker);
    assert_eq!(fail_with(&breaker, out_of_memory()), Phase::Open);
    answered_by_the_component(&slot);
}

#[test]
fn decorrelated_delays_reach_three_times_the_base_at_once_and_keep_the_cap() {
    let slot = patient::slot();
    slot.swap(example("decorrelated-jitter"), &SwapOptions::default()).unwrap();
    let config = RetryConfig { max_delay: 8.0, ..RetryConfig::default() };
    assert_eq!(slot.slot().delay(&config, 0, 0.0), Duration::from_secs(1));
    assert_eq!(slot.slot().delay(&config, 0, 0.75), Duration::from_millis(2500));
    for attempt in [1, 10, u32::MAX] {
        assert!(slot.slot().delay(&config, attempt, 0.99) <= Duration::from_secs(8));
    }
    answered_by_the_component(&slot);
}
