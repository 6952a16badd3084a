//! One failure: classification, breaker step, verdict. In WebAssembly and natively.

use super::empty::Empty;
use crate::group::{Case, Group, Target};
use anyhow::{Result, ensure};
use std::io;
use upright::types::*;
use upright::{CircuitBreaker, PolicyLifecycle, PolicySlot};

const EMPTY: &str = "an empty component call";
const DECIDE: &str = "decide, WebAssembly: `PolicySlot::decide`";

const MESSAGE: &str = "server busy, please try again.  maximum pending requests were exceeded";
const SECOND: u64 = 1_000_000_000;

pub(super) fn group() -> Result<Group> {
    Ok(Group {
        id: "decision",
        title: "One failure, decided in WebAssembly and natively",
        note: "The incident has a message of 70 bytes and a breaker that has seen a failure already. The empty call is a function without \
               parameters and results on an engine that is configured as Upright's: the least that a call of a component costs.",
        threads: 1,
        reference: EMPTY,
        cases: cases()?,
        targets: vec![Target::TimesOf { case: DECIDE, peer: EMPTY, at_most: 8.0 }],
    })
}

fn fault() -> Fault {
    Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, MESSAGE) }
}

fn guard(state: BreakerState) -> Guard {
    // Never opens, so that all failures cost the same.
    let config = BreakerConfig { failure_threshold: u32::MAX, failure_rate_threshold: 2.0, ..BreakerConfig::default() };
    Guard { config, generation: state.generation, state, successes: 1, took: 0.0 }
}

pub(super) fn incident(policy: &PolicySlot) -> Incident {
    let state = BreakerState {
        phase: Phase::Closed,
        consecutive_failures: 0,
        half_open_successes: 0,
        since: 190 * SECOND,
        generation: 2,
        memory: Vec::new(),
    };
    let first = Incident { random: 0.5, now: 200 * SECOND, guard: Some(guard(state)), ..Incident::of(fault()) };
    let state = policy.decide(&first).breaker.map(|transition| transition.state);
    Incident { attempt: 1, now: 201 * SECOND, guard: state.map(guard), ..first }
}

fn cases() -> Result<Vec<Case>> {
    ensure!(MESSAGE.len() == 70, "the message has {} bytes", MESSAGE.len());
    let (component, native) = (PolicyLifecycle::built_in(), PolicySlot::native());
    ensure!(component.policy().is_some(), "no component can run here");
    let component = PolicySlot::from(component);
    let incident = incident(&component);
    ensure!(incident.guard.is_some(), "the policy did not move the breaker");
    let fault = fault();
    let retried = |verdict: &Verdict| matches!(verdict.directive, Directive::RetryAfter(_)) && verdict.breaker.is_some();

    let empty = Empty::new()?;
    let call = move || {
        let mut instance = empty.instance();
        move || instance.as_mut().is_ok_and(|instance| instance.call())
    };
    let mut cases = vec![Case::new(EMPTY, call, |done| *done)];

    for (name, slot) in [(DECIDE, component.clone()), ("decide, native: `PolicySlot::native().decide`", native.clone())] {
        let incident = incident.clone();
        let call = move || {
            let (slot, incident) = (slot.clone(), incident.clone());
            move || slot.decide(std::hint::black_box(&incident))
        };
        cases.push(Case::new(name, call, retried));
    }
    let given = incident.clone();
    let call = move || {
        let incident = given.clone();
        move || upright_logic::recovery::decide(std::hint::black_box(&incident).clone())
    };
    cases.push(Case::new("decide, native: `upright_logic::recovery::decide`", call, retried));

    for (name, slot) in [
        ("the whole failing path, WebAssembly: `try_acquire()?.failure(&error)`", component.clone()),
        ("the whole failing path, native", native.clone()),
    ] {
        let config = BreakerConfig { failure_threshold: u32::MAX, failure_rate_threshold: 2.0, ..BreakerConfig::default() };
        let breaker = CircuitBreaker::builder("service").config(config).policy(slot).build()?;
        let call = move || {
            let breaker = breaker.clone();
            let error = io::Error::other(MESSAGE);
            move || breaker.try_acquire().map(|permit| permit.failure(std::hint::black_box(&error)))
        };
        cases.push(Case::new(name, call, |answer| answer.is_ok()));
    }

    for (name, slot) in [("classify, WebAssembly: `PolicySlot::classify`", component.clone()), ("classify, native", native.clone())] {
        let fault = fault.clone();
        let call = move || {
            let (slot, fault) = (slot.clone(), fault.clone());
            move || slot.classify(std::hint::black_box(&fault))
        };
        cases.push(Case::new(name, call, |answer: &Classification| answer.retryable));
    }

    for (name, slot) in [("delay, WebAssembly: `PolicySlot::delay`", component), ("delay, native", native)] {
        let call = move || {
            let slot = slot.clone();
            let config = RetryConfig::default();
            move || slot.delay(std::hint::black_box(&config), 1, 0.5)
        };
        cases.push(Case::new(name, call, |delay| !delay.is_zero()));
    }
    Ok(cases)
}
