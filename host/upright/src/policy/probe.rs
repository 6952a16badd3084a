//! What a candidate must get right before it may decide.
//!
//! A policy that compiles can still trap, loop, or answer nonsense. So it is asked a few dozen questions of every function first: failures of all kinds, breakers
//! in all phases, and numbers at the ends of their ranges. Its answers need not be the default policy's; they must make sense ([`super::check`]), and be the
//! same when it is asked again, on another instance and at another place in the row: a policy that keeps something between calls is found here.

use super::check;
use super::error::PolicyError;
use super::loaded::Policy;
use super::questions::Questions;
use crate::types::*;
use std::fmt::Debug;
use std::sync::atomic::Ordering;
use upright_logic::breaker::Event;

const SECOND: u64 = 1_000_000_000;

/// A question, asked and checked; its answer as text, to the bit.
type Asked = Box<dyn Fn(&dyn Questions) -> Result<String, PolicyError>>;

/// Asks everything. A policy that has passed once is not asked again.
pub(super) fn probe(policy: &Policy) -> Result<(), PolicyError> {
    if policy.was_probed().load(Ordering::Acquire) {
        return Ok(());
    }
    let questions = questions();
    let (one, other) = (policy.twin(), policy.twin());
    let first = questions.iter().map(|(_, ask)| ask(&one)).collect::<Result<Vec<_>, _>>()?;
    for ((function, ask), answer) in questions.iter().zip(first) {
        // Twice in a row, so that what comes third is not third again.
        if ask(&other)? != answer || ask(&other)? != answer {
            return Err(PolicyError::Unequal { function });
        }
    }
    policy.was_probed().store(true, Ordering::Release);
    Ok(())
}

fn asked<R: Debug + 'static>(
    ask: impl Fn(&dyn Questions) -> Result<R, PolicyError> + 'static,
    check: impl Fn(&R) -> Result<(), PolicyError> + 'static,
) -> Asked {
    Box::new(move |policy| {
        let answer = ask(policy)?;
        check(&answer)?;
        Ok(format!("{answer:?}"))
    })
}

/// Everything that is asked, by the function.
fn questions() -> Vec<(&'static str, Asked)> {
    let mut all: Vec<(&'static str, Asked)> = Vec::new();
    for profile in Profile::ALL {
        all.push(("settings.recommend", asked(move |policy| policy.recommend(*profile), check::recommendation)));
    }
    for (attempt, random) in [(0, 0.0), (1, 0.5), (3, 1.0 - f64::EPSILON), (1024, 0.25), (u32::MAX, 0.999)] {
        let config = RetryConfig::default();
        all.push((
            "backoff.delay",
            asked(move |policy| policy.delay(&config, attempt, random), move |answer| check::delay(*answer, &config, "backoff.delay")),
        ));
    }
    for now in [0, SECOND, u64::MAX] {
        let sensible = move |answer: &Transition| check::transition(answer, None, &BreakerConfig::default(), now, "breaker.initial");
        all.push(("breaker.initial", asked(move |policy| policy.initial(now), sensible)));
    }
    let config = BreakerConfig::default();
    for (state, event) in states().into_iter().flat_map(|state| events(state.generation).map(|event| (state.clone(), event))) {
        let seen = Observation { event, now: 100 * SECOND, successes: 3 };
        let before = state.clone();
        all.push((
            "breaker.step",
            asked(
                move |policy| policy.step(&config, &state, &seen),
                move |answer| check::transition(answer, Some(&before), &config, seen.now, "breaker.step"),
            ),
        ));
    }
    for fault in faults() {
        all.push((
            "classifier.classify",
            asked(move |policy| policy.classify(&fault), |answer| check::classification(answer, "classifier.classify")),
        ));
    }
    for current in ["a", "c", "unknown", ""] {
        let chain = ["a", "b", "c"].map(str::to_owned);
        all.push((
            "degradation.next-model",
            asked(move |policy| policy.next_model(current, &chain), |answer| check::next_model(*answer, 3, "degradation.next-model")),
        ));
    }
    let workflow = [
        WorkflowEntry { key: "temperature".into(), value: WorkflowValue::Number(0.9) },
        WorkflowEntry { key: "tools".into(), value: WorkflowValue::Items(12) },
        WorkflowEntry { key: String::new(), value: WorkflowValue::Null },
    ];
    all.push(("degradation.simplify-workflow", asked(move |policy| policy.simplify_workflow(&workflow), |answer| check::edits(answer, 3))));
    let failure = upright_logic::classifier::classify(&Fault::new(FaultKind::Timeout, "timed out"));
    for (age, most) in [(0.0, 0.0), (1.0, 60.0), (61.0, 60.0)] {
        let failure = failure.clone();
        all.push(("degradation.may-serve-cached", asked(move |policy| policy.may_serve_cached(age, most, &failure), |_| Ok(()))));
    }
    for snapshot in snapshots() {
        all.push(("health.judge", asked(move |policy| policy.judge(&snapshot, &ResourceThresholds::default()), check::judgement)));
    }
    for incident in incidents() {
        let asked_of = incident.clone();
        all.push(("recovery.decide", asked(move |policy| policy.decide(&asked_of), move |answer| check::verdict(answer, &incident))));
    }
    all
}

/// A breaker's state in each phase.
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

/// A failure of every kind, and texts that are odd.
fn faults() -> Vec<Fault> {
    let mut faults: Vec<_> = FaultKind::ALL.iter().map(|kind| Fault::new(*kind, "something went wrong")).collect();
    for message in [String::new(), "model 'qwen3:8b' not found".into(), "é\u{0}\n".repeat(100), "x".repeat(MESSAGE_LIMIT)] {
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

/// Failures of all kinds as they come, and one with everything at hand, in each phase of a breaker.
fn incidents() -> Vec<Incident> {
    let plain = |failure| Incident {
        failure,
        attempt: 0,
        elapsed: 0.5,
        deadline: None,
        idempotent: true,
        retry_budget: None,
        retry: RetryConfig::default(),
        random: 0.5,
        now: 100 * SECOND,
        guard: None,
        models: None,
        at_hand: AtHand::default(),
        resources: None,
    };
    let mut incidents: Vec<_> = faults().into_iter().map(plain).collect();
    for state in states() {
        let generation = state.generation;
        incidents.push(Incident {
            attempt: 1,
            deadline: Some(30.0),
            idempotent: false,
            retry_budget: Some(1),
            guard: Some(Guard { config: BreakerConfig::default(), state, generation, successes: 7 }),
            models: Some(ModelChoice { current: "a".into(), chain: ["a", "b"].map(str::to_owned).into() }),
            at_hand: AtHand {
                fallback: true,
                cached: Some(CachedAnswer { age: 5.0, max_age: 60.0 }),
                checkpoint: true,
                can_simplify: true,
            },
            resources: Some(snapshots()[1]),
            ..plain(Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "server busy, please try again") })
        });
    }
    // At the ends of their ranges: no retry is left, and no time.
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
