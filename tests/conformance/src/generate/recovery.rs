//! Verdicts.

use super::Collected;
use super::misleading::TELLING;
use super::random::Random;
use super::values::{self, MODELS, SECOND};
use crate::rows::fault_of;
use serde_json::json;
use upright_fault_server::ROWS;
use upright_logic::backoff::RetryConfig;
use upright_logic::breaker::{BreakerConfig, BreakerState, Phase};
use upright_logic::health::ResourceSnapshot;
use upright_logic::recovery::{
    AtHand, CachedAnswer, Circumstances, ClientProtocol, ExchangeFacts, ExchangeVerdict, Guard, Incident, ModelChoice, RequestFacts,
};
use upright_logic::types::{Fault, FaultKind};

const RANDOM: usize = 170;

pub(super) fn make(collected: &mut Collected, random: &mut Random) {
    let mut ask = |name: &str, incident: &Incident| {
        collected.ask("recovery.decide", name, json!({ "incident": incident }));
    };
    for row in ROWS {
        for path in row.endpoints.iter().take(1) {
            let incident = Incident { models: models("qwen3:30b-a3b"), guard: Some(guard(closed(3))), ..plain(fault_of(row, path)) };
            ask(&format!("{} on {path}, first attempt", row.name), &incident);
        }
    }
    for kind in FaultKind::ALL {
        let incident = plain(Fault::new(*kind, ""));
        ask(&format!("{kind}, first attempt"), &incident);
        ask(
            &format!("{kind}, last attempt, not repeatable, with all at hand"),
            &Incident { attempt: 3, idempotent: false, models: models("qwen3:8b"), at_hand: everything(), ..incident },
        );
    }
    for (name, incident) in edges() {
        ask(&name, &incident);
    }
    for text in TELLING.into_iter().step_by(3) {
        ask(&format!("told by text alone: {text}"), &plain(Fault::new(FaultKind::Other, text)));
    }
    for index in 0..RANDOM {
        ask(&format!("random {index}"), &any(random));
    }
}

fn plain(failure: Fault) -> Incident {
    Incident { retry: RetryConfig { jitter: false, ..RetryConfig::default() }, random: 0.5, now: 200 * SECOND, ..Incident::of(failure) }
}

fn busy() -> Fault {
    Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "server busy, please try again.  maximum pending requests exceeded") }
}

fn models(current: &str) -> Option<ModelChoice> {
    Some(ModelChoice { current: current.into(), chain: ["qwen3:30b-a3b", "qwen3:8b", "gemma3:4b"].map(String::from).into(), known: None })
}

fn closed(consecutive_failures: u32) -> BreakerState {
    BreakerState {
        phase: Phase::Closed,
        consecutive_failures,
        half_open_successes: 0,
        since: 190 * SECOND,
        generation: 2,
        memory: Vec::new(),
    }
}

fn guard(state: BreakerState) -> Guard {
    Guard { config: BreakerConfig::default(), generation: state.generation, state, successes: 0, took: 0.0 }
}

fn everything() -> AtHand {
    AtHand { fallback: true, cached: Some(CachedAnswer { age: 10.0, max_age: 60.0 }), checkpoint: true, can_simplify: true }
}

/// Incidents at the borders of each rule.
fn edges() -> Vec<(String, Incident)> {
    let mut edges = Vec::new();
    let mut edge = |name: String, incident: Incident| edges.push((name, incident));
    let out_of_memory = Fault { status: Some(500), ..Fault::new(FaultKind::HttpStatus, "cudaMalloc failed: out of memory") };
    let missing = Fault { status: Some(404), ..Fault::new(FaultKind::HttpStatus, "model 'qwen3:30b' not found") };
    let quota = Fault { status: Some(429), ..Fault::new(FaultKind::HttpStatus, "you've reached your weekly usage limit") };

    for attempt in [0, 1, 2, 3, 4, 1024, u32::MAX] {
        edge(format!("attempt {attempt} of three retries"), Incident { attempt, ..plain(busy()) });
        let many = RetryConfig { max_retries: u32::MAX, jitter: false, ..RetryConfig::default() };
        edge(format!("attempt {attempt} of as many as can be"), Incident { attempt, retry: many, ..plain(busy()) });
    }
    edge("no retries are allowed".into(), Incident { retry: RetryConfig { max_retries: 0, ..RetryConfig::default() }, ..plain(busy()) });

    for budget in [0, 1, u32::MAX] {
        for attempt in [0, 3] {
            let incident = Incident { attempt, retry_budget: Some(budget), at_hand: everything(), ..plain(busy()) };
            edge(format!("a budget of {budget} more retries at attempt {attempt} of three"), incident);
        }
    }

    // The delay is 1 s: the next attempt begins before, at and after the deadline.
    for elapsed in [0.0, 0.999_999_999, 1.0, 1.000_000_001, 1.999_999_999, 2.0, 5.0, -1.0] {
        let late = Incident { elapsed, deadline: Some(2.0), models: models("qwen3:8b"), at_hand: everything(), ..plain(busy()) };
        edge(format!("{elapsed:?} s of two passed"), late);
    }
    edge("a deadline of zero".into(), Incident { deadline: Some(0.0), ..plain(busy()) });
    edge("a deadline below zero".into(), Incident { deadline: Some(-1.0), ..plain(busy()) });
    edge("a deadline far away".into(), Incident { elapsed: 1e300, deadline: Some(f64::MAX), ..plain(busy()) });

    for seconds in [0.0, 0.1, 1.0, 7.0, 59.999, 60.0, 60.000_001, 86_400.0, 1e300, -1.0, 5e-324] {
        let asked = Fault { retry_after: Some(seconds), ..busy() };
        edge(format!("the server asks for {seconds:?} s"), plain(asked.clone()));
        if seconds >= 1.0 {
            let late = Incident { elapsed: 1.0, deadline: Some(30.0), models: models("qwen3:8b"), ..plain(asked) };
            edge(format!("the server asks for {seconds:?} s and 29 s are left"), late);
        }
    }
    let patient = Fault { retry_after: Some(7.0), ..busy() };
    edge("what the server asks for is not jittered".into(), Incident { retry: RetryConfig::default(), random: 0.9, ..plain(patient) });

    for current in MODELS {
        edge(format!("the model {current:?} is missing"), Incident { models: models(current), ..plain(missing.clone()) });
    }
    let chain = |chain: &[&str]| {
        Some(ModelChoice { current: "qwen3:8b".into(), chain: chain.iter().map(|name| (*name).to_owned()).collect(), known: None })
    };
    edge("a missing model and an empty chain".into(), Incident { models: chain(&[]), ..plain(missing.clone()) });
    let repeats = chain(&["qwen3:8b", "Qwen3:8B", "library/qwen3:8b", "gemma3:4b", "qwen3:8b"]);
    edge("a missing model and a chain with repeats".into(), Incident { models: repeats, ..plain(missing.clone()) });
    edge("a missing model and no choice".into(), Incident { at_hand: everything(), ..plain(missing.clone()) });

    // What is at hand, piece by piece.
    for bits in 0..16_u8 {
        let has = |bit: u8| bits & 1 << bit != 0;
        let cached = has(1).then_some(CachedAnswer { age: 60.0, max_age: 60.0 });
        let at_hand = AtHand { fallback: has(0), cached, checkpoint: has(2), can_simplify: has(3) };
        let slow = plain(Fault::new(FaultKind::Timeout, ""));
        edge(format!("attempts exhausted by timeouts, at hand {bits:04b}"), Incident { attempt: 3, at_hand, ..slow });
    }
    let stale = AtHand { cached: Some(CachedAnswer { age: 60.000_1, max_age: 60.0 }), ..AtHand::default() };
    edge("a cached answer just too old".into(), Incident { attempt: 3, at_hand: stale, ..plain(busy()) });
    let mistake = Fault::new(FaultKind::InvalidInput, "temperature must be a number");
    edge("an old answer would hide a mistake".into(), Incident { at_hand: everything(), models: models("qwen3:8b"), ..plain(mistake) });
    let gone = Fault::new(FaultKind::Cancelled, "");
    edge("a caller that went away".into(), Incident { at_hand: everything(), models: models("qwen3:8b"), ..plain(gone) });
    edge("a quota for weeks".into(), Incident { at_hand: everything(), models: models("qwen3:8b"), ..plain(quota) });

    // What is not safe to repeat.
    for kind in [FaultKind::ConnectionRefused, FaultKind::Dns, FaultKind::ConnectionReset, FaultKind::Timeout, FaultKind::HttpStatus] {
        let failure = Fault { status: (kind == FaultKind::HttpStatus).then_some(500), ..Fault::new(kind, "") };
        edge(format!("not safe to repeat: {kind}"), Incident { idempotent: false, models: models("qwen3:8b"), ..plain(failure) });
    }

    // Memory.
    let short = |available| ResourceSnapshot {
        memory_total_bytes: 1000,
        memory_available_bytes: available,
        disk_total_bytes: 0,
        disk_available_bytes: 0,
        cpu_percent: None,
    };
    for attempt in [0, 1] {
        for available in [99, 100, 500] {
            let incident =
                Incident { attempt, resources: Some(short(available)), models: models("qwen3:8b"), ..plain(out_of_memory.clone()) };
            edge(format!("out of memory at attempt {attempt}, {available} of 1000 bytes available"), incident);
        }
        edge(format!("out of memory at attempt {attempt}, memory not read"), Incident { attempt, ..plain(out_of_memory.clone()) });
    }
    edge("short of memory says nothing of a busy server".into(), Incident { resources: Some(short(1)), ..plain(busy()) });

    // Answers of no use.
    let asked = RequestFacts {
        protocol: ClientProtocol::Direct,
        streamed: true,
        tools: false,
        format: false,
        thinking: true,
        images: false,
        seed_fixed: false,
        temperature: None,
        allows_empty: false,
    };
    for (what, request) in [
        ("nothing fixed", asked),
        ("a fixed seed", RequestFacts { seed_fixed: true, ..asked }),
        ("a temperature of 0", RequestFacts { temperature: Some(0.0), ..asked }),
        ("a temperature of 0.7", RequestFacts { temperature: Some(0.7), ..asked }),
    ] {
        for verdict in [ExchangeVerdict::Empty, ExchangeVerdict::UsedUpLength, ExchangeVerdict::Repetition] {
            let exchange = ExchangeFacts {
                verdict,
                delivered_text: 0,
                delivered_thinking: 12,
                delivered_tool_calls: 0,
                thinking: 12,
                prompt_tokens: Some(10),
                answer_tokens: Some(4),
            };
            let circumstances = Circumstances { request: Some(request), exchange: Some(exchange), ..Circumstances::default() };
            let failure = Fault::new(FaultKind::EmptyAnswer, "");
            let incident = Incident { circumstances: Some(circumstances), models: models("qwen3:8b"), ..plain(failure) };
            edge(format!("an answer of no use, {verdict}, with {what}"), incident);
        }
    }

    // The breaker.
    for failures in [0, 3, 4, 5] {
        edge(format!("the breaker had counted {failures} failures"), Incident { guard: Some(guard(closed(failures))), ..plain(busy()) });
    }
    for phase in [Phase::Open, Phase::HalfOpen] {
        let state = BreakerState { phase, ..closed(0) };
        for (age, generation) in [("this", 2), ("an older", 1)] {
            let guard = Guard { generation, ..guard(state.clone()) };
            let incident = Incident { guard: Some(guard), models: models("qwen3:8b"), ..plain(busy()) };
            edge(format!("a breaker that is {phase}, a call of {age} generation"), incident);
        }
    }
    let stale = Guard { generation: 1, ..guard(closed(4)) };
    edge("a call of an older generation does not open the breaker".into(), Incident { guard: Some(stale), ..plain(busy()) });
    let refreshed = Guard { successes: 1, ..guard(closed(4)) };
    edge("a success before the failure keeps the breaker closed".into(), Incident { guard: Some(refreshed), ..plain(busy()) });
    let impatient =
        BreakerConfig { slow_call_duration: Some(2.0), slow_call_rate_threshold: 0.5, minimum_calls: 2, ..BreakerConfig::default() };
    let half = BreakerState { memory: super::breaker::memory(190 * SECOND, 190 * SECOND, [1, 0, 0]), ..closed(0) };
    for took in [0.0, 1.9, 2.0, 600.0] {
        let slow = Guard { config: BreakerConfig { failure_rate_threshold: 2.0, ..impatient }, took, ..guard(half.clone()) };
        edge(format!("a failure that took {took:?} s of at most two"), Incident { guard: Some(slow), ..plain(busy()) });
    }
    let nothing = Guard { config: impatient, took: 9.0, ..guard(half) };
    edge("a slow failure that says nothing of the service".into(), Incident { guard: Some(nothing), ..plain(missing.clone()) });
    edge("a missing model speaks against no breaker".into(), Incident { guard: Some(guard(closed(4))), ..plain(missing) });
    let rejected = Fault { retry_after: Some(5.0), ..Fault::new(FaultKind::CircuitOpen, "") };
    edge("a breaker's rejection is worked around".into(), Incident { models: models("qwen3:8b"), idempotent: false, ..plain(rejected) });
    edges
}

/// Any incident.
fn any(random: &mut Random) -> Incident {
    let elapsed = random.span(60.0);
    let now = 100 * SECOND + random.below(100 * SECOND);
    let failure = values::fault(random);
    Incident {
        attempt: random.below_u32(5),
        elapsed,
        deadline: random.sometimes(30, |random| elapsed + random.span(30.0) - 5.0),
        idempotent: random.chance(75),
        retry_budget: random.sometimes(15, |random| random.below_u32(3)),
        retry: values::retry(random),
        random: random.unit(),
        now,
        guard: random.sometimes(35, |random| {
            let state = values::state(random);
            let generation = if random.chance(80) { state.generation } else { random.below(5) };
            Guard { config: values::breaker(random), generation, state, successes: random.below(3), took: values::took(random) }
        }),
        models: random.sometimes(40, |random| ModelChoice {
            current: random.pick(&MODELS).into(),
            chain: (0..random.below(4)).map(|_| random.pick(&MODELS).to_owned()).collect(),
            known: None,
        }),
        at_hand: AtHand {
            fallback: random.chance(30),
            cached: random.sometimes(25, |random| CachedAnswer { age: random.span(90.0), max_age: 60.0 }),
            checkpoint: random.chance(10),
            can_simplify: random.chance(30),
        },
        resources: random.sometimes(15, values::snapshot),
        ..Incident::of(failure)
    }
}
