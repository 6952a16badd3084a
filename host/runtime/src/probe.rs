//! Questions that a candidate must pass, since a policy that compiles can still trap, loop or answer nonsense.
//!
//! Answers must be valid ([`Question::check`]), and equal on another instance in another order, which exposes state
//! kept between calls.

use super::error::PolicyError;
use super::loader::Given;
use super::policy::Policy;
use crate::types::*;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use upright_core::policy::{Answer, Question};
use upright_logic::breaker::Event;

const SECOND: u64 = 1_000_000_000;

const REMEMBERED: usize = 256;

static PASSED: Mutex<VecDeque<(String, Given)>> = Mutex::new(VecDeque::new());

pub(super) fn probe(policy: &Policy) -> Result<(), PolicyError> {
    if has_passed(policy) {
        return Ok(());
    }
    super::link::apart(policy.is_allowed_wasi(), || ask_everything(policy))??;
    remember(policy);
    Ok(())
}

fn has_passed(policy: &Policy) -> bool {
    let passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    passed.iter().any(|(digest, given)| digest == policy.digest() && *given == policy.given())
}

pub(super) fn remember(policy: &Policy) {
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    if passed.len() == REMEMBERED {
        passed.pop_front();
    }
    passed.push_back((policy.digest().to_owned(), policy.given()));
}

fn ask_everything(policy: &Policy) -> Result<(), PolicyError> {
    #[cfg(test)]
    tests::PROBES.set(tests::PROBES.get() + 1);
    let (one, other) = (policy.twin(), policy.twin());
    let answer = |policy: &Policy, question: &Question| {
        let answer = policy.answer(question)?;
        question.check(&answer)?;
        Ok::<Answer, PolicyError>(answer)
    };
    let questions = questions();
    let first = questions.iter().map(|question| answer(&one, question)).collect::<Result<Vec<_>, _>>()?;
    for (question, first) in questions.iter().zip(first) {
        // Text distinguishes -0.0 from 0.0. Asking twice changes positions.
        let first = format!("{first:?}");
        for _ in 0..2 {
            if format!("{:?}", answer(&other, question)?) != first {
                return Err(PolicyError::Unequal { function: question.function().name() });
            }
        }
    }
    Ok(())
}

fn questions() -> Vec<Question> {
    let mut all: Vec<_> = Profile::ALL.iter().map(|profile| Question::Recommend { profile: *profile }).collect();
    let delays = [(0, 0.0), (1, 0.5), (3, 1.0 - f64::EPSILON), (1024, 0.25), (u32::MAX, 0.999)];
    all.extend(delays.map(|(attempt, random)| Question::Delay { config: RetryConfig::default(), attempt, random }));
    all.extend([0, SECOND, u64::MAX].map(|now| Question::Initial { now }));
    for state in states() {
        for (config, took) in [(BreakerConfig::default(), 0.0), (impatient(), 5.0)] {
            all.extend(events(state.generation).map(|event| {
                let observation = Observation { event, now: 100 * SECOND, successes: 3, took };
                Question::Step { config, state: state.clone(), observation }
            }));
        }
    }
    all.extend(faults().into_iter().map(|fault| Question::Classify { fault }));
    let chain = ["a", "b", "c"].map(str::to_owned);
    all.extend(["a", "c", "unknown", ""].map(|current| Question::NextModel { current: current.to_owned(), chain: chain.to_vec() }));
    let workflow = vec![
        WorkflowEntry { key: "temperature".into(), value: WorkflowValue::Number(0.9) },
        WorkflowEntry { key: "tools".into(), value: WorkflowValue::Items(12) },
        WorkflowEntry { key: String::new(), value: WorkflowValue::Null },
    ];
    all.push(Question::SimplifyWorkflow { workflow });
    let failure = upright_logic::classifier::classify(&Fault::new(FaultKind::Timeout, "timed out"));
    let ages = [(0.0, 0.0), (1.0, 60.0), (61.0, 60.0)];
    all.extend(ages.map(|(age, max_age)| Question::MayServeCached { age, max_age, failure: failure.clone() }));
    all.extend(snapshots().map(|snapshot| Question::Judge { snapshot, thresholds: ResourceThresholds::default() }));
    all.extend(incidents().into_iter().map(|incident| Question::Decide { incident }));
    all
}

fn impatient() -> BreakerConfig {
    BreakerConfig {
        minimum_calls: 1,
        slow_call_duration: Some(2.0),
        slow_call_rate_threshold: f64::MIN_POSITIVE,
        ..BreakerConfig::default()
    }
}

fn states() -> [BreakerState; 3] {
    let state = |phase, failures, generation| BreakerState {
        phase,
        consecutive_failures: failures,
        half_open_successes: 0,
        since: 10 * SECOND,
        generation,
        memory: Vec::new(),
    };
    [state(Phase::Closed, 4, 0), state(Phase::Open, 5, 1), state(Phase::HalfOpen, 5, u64::MAX)]
}

fn events(generation: u64) -> [Event; 5] {
    let older = generation.wrapping_sub(1);
    [Event::Elapsed, Event::Success(generation), Event::Failure(generation), Event::Ignored(generation), Event::Failure(older)]
}

fn faults() -> Vec<Fault> {
    let mut faults: Vec<_> = FaultKind::ALL.iter().map(|kind| Fault::new(*kind, "something went wrong")).collect();
    for message in
        [String::new(), "model 'qwen3:8b' not found".into(), "é\u{0}\n".repeat(100), "x".repeat(upright_logic::types::MESSAGE_LIMIT)]
    {
        faults.push(Fault { status: Some(599), errno: Some(i32::MIN), retry_after: Some(1e300), ..Fault::new(FaultKind::Other, message) });
    }
    faults
}

fn snapshots() -> [ResourceSnapshot; 3] {
    let snapshot = |total, available, cpu_percent| ResourceSnapshot {
        memory_total_bytes: total,
        memory_available_bytes: available,
        disk_total_bytes: total,
        disk_available_bytes: available,
        cpu_percent,
    };
    [snapshot(0, 0, None), snapshot(16 << 30, 1 << 30, Some(99.0)), snapshot(u64::MAX, u64::MAX, Some(0.0))]
}

fn incidents() -> Vec<Incident> {
    let plain = |failure| Incident { elapsed: 0.5, random: 0.5, now: 100 * SECOND, ..Incident::of(failure) };
    let mut incidents: Vec<_> = faults().into_iter().map(plain).collect();
    for state in states() {
        let generation = state.generation;
        incidents.push(Incident {
            attempt: 1,
            deadline: Some(30.0),
            idempotent: false,
            retry_budget: Some(1),
            guard: Some(Guard { config: impatient(), state, generation, successes: 7, took: 5.0 }),
            models: Some(ModelChoice { current: "a".into(), chain: ["a", "b"].map(str::to_owned).into(), known: None }),
            at_hand: Alternatives {
                fallback: true,
                cached: Some(CachedAnswer { age: 5.0, max_age: 60.0 }),
                checkpoint: true,
                can_simplify: true,
            },
            resources: Some(snapshots()[1]),
            ..plain(Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "server busy, please try again") })
        });
    }
    let last = plain(Fault::new(FaultKind::Timeout, ""));
    incidents.push(Incident {
        attempt: u32::MAX,
        elapsed: f64::MAX,
        deadline: Some(f64::MIN_POSITIVE),
        retry_budget: Some(0),
        now: u64::MAX,
        ..last
    });
    incidents
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local!(pub(super) static PROBES: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });

    #[test]
    fn the_policy_that_comes_with_this_crate_need_not_be_asked_since_it_passes() {
        let before = PROBES.get();
        Policy::built_in().unwrap().probe().unwrap();
        assert_eq!(PROBES.get(), before);
        ask_everything(&Policy::built_in().unwrap()).unwrap();
    }

    #[test]
    fn a_policy_that_passed_the_probe_is_not_probed_again_when_loaded_again() {
        // With an extra custom section.
        let bytes = [crate::policy::BUILT_IN, &[0, 2, 1, b'p']].concat();
        let load = || crate::patient::loader().from_bytes(&bytes).unwrap();
        let before = PROBES.get();
        load();
        assert_eq!(PROBES.get(), before + 1);
        load().twin().probe().unwrap();
        crate::PolicyLifecycle::native().swap(load(), &crate::SwapOptions::default()).unwrap();
        assert_eq!(PROBES.get(), before + 1);
    }

    #[test]
    fn a_probe_passed_with_a_longer_limit_does_not_count_for_a_shorter_one() {
        let policy = |seconds| {
            let loader = crate::PolicyLoader::default().decision_limit(std::time::Duration::from_secs(seconds)).probe(false);
            loader.from_bytes(crate::policy::BUILT_IN).unwrap()
        };
        policy(9).probe().unwrap();
        assert!(has_passed(&policy(9)) && has_passed(&policy(9).twin()) && !has_passed(&policy(8)));
    }
}
