//! Vectors of verdicts.

use super::misleading::TELLING;
use super::random::Random;
use super::values::{self, MODELS, SECOND};
use super::{Collected, hosts};
use crate::rows::fault_of;
use serde_json::json;
use upright_logic::backoff::RetryConfig;
use upright_logic::breaker::{BreakerConfig, BreakerState, Phase};
use upright_logic::health::ResourceSnapshot;
use upright_logic::recovery::{
    AtHand, CachedAnswer, Circumstances, ClientProtocol, ExchangeFacts, ExchangeVerdict, Guard, Incident, MemoryOwner, ModelChoice,
    ModelFacts, RequestFacts, WindowFacts,
};
use upright_logic::types::{Fault, FaultKind};
use upright_simulator::ROWS;

const RANDOM: usize = 150;

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
    for (name, incident) in windows() {
        ask(&name, &incident);
    }
    // A stream of its own, so that earlier draws stay unchanged.
    let mut random = Random::seeded("windows");
    for index in 0..RANDOM {
        ask(&format!("random window {index}"), &any_window(&mut random));
    }
    for (name, incident) in hosts::incidents() {
        ask(&name, &incident);
    }
}

pub(super) fn plain(failure: Fault) -> Incident {
    Incident { retry: RetryConfig { jitter: false, ..RetryConfig::default() }, random: 0.5, now: 200 * SECOND, ..Incident::of(failure) }
}

pub(super) fn busy() -> Fault {
    Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "server busy, please try again.  maximum pending requests exceeded") }
}

pub(super) fn models(current: &str) -> Option<ModelChoice> {
    Some(ModelChoice { current: current.into(), chain: ["qwen3:30b-a3b", "qwen3:8b", "gemma3:4b"].map(String::from).into(), known: None })
}

pub(super) fn closed(consecutive_failures: u32) -> BreakerState {
    BreakerState {
        phase: Phase::Closed,
        consecutive_failures,
        half_open_successes: 0,
        since: 190 * SECOND,
        generation: 2,
        memory: Vec::new(),
    }
}

pub(super) fn guard(state: BreakerState) -> Guard {
    Guard { config: BreakerConfig::default(), generation: state.generation, state, successes: 0, took: 0.0 }
}

pub(super) fn everything() -> AtHand {
    AtHand { fallback: true, cached: Some(CachedAnswer { age: 10.0, max_age: 60.0 }), checkpoint: true, can_simplify: true }
}

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

    for kind in [FaultKind::ConnectionRefused, FaultKind::Dns, FaultKind::ConnectionReset, FaultKind::Timeout, FaultKind::HttpStatus] {
        let failure = Fault { status: (kind == FaultKind::HttpStatus).then_some(500), ..Fault::new(kind, "") };
        edge(format!("not safe to repeat: {kind}"), Incident { idempotent: false, models: models("qwen3:8b"), ..plain(failure) });
    }

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

pub(super) fn refusal() -> Fault {
    let text = "request (6010 tokens) exceeds the available context size (4096 tokens), try increasing it";
    Fault { status: Some(400), ..Fault::new(FaultKind::HttpStatus, text) }
}

/// A question of 6,010 tokens for a window of 4,096, with a model that can have 8,192.
pub(super) const TOO_SMALL: WindowFacts =
    WindowFacts { needed: Some(6010), loaded: Some(4096), model_limit: Some(8192), ..WindowFacts::UNKNOWN };

fn with_window(window: WindowFacts, incident: Incident) -> Incident {
    Incident { circumstances: Some(Circumstances { window: Some(window), ..Circumstances::default() }), ..incident }
}

fn windows() -> Vec<(String, Incident)> {
    let mut edges = Vec::new();
    let mut edge = |name: String, window: WindowFacts| {
        let incident = Incident { models: models("qwen3:8b"), at_hand: everything(), ..plain(refusal()) };
        edges.push((format!("a window: {name}"), with_window(window, incident)));
    };
    for needed in [0, 4096, 7168, 7169, 7936, 7937, 8192, u32::MAX] {
        for model_limit in [Some(8192), Some(32_768), None] {
            edge(
                format!("{needed} tokens, the model's own {model_limit:?}"),
                WindowFacts { needed: Some(needed), model_limit, ..TOO_SMALL },
            );
        }
    }
    for answer_length in [0, 1, 2182, 2183, u32::MAX] {
        edge(format!("an answer of {answer_length}"), WindowFacts { answer_length: Some(answer_length), ..TOO_SMALL });
    }
    for caller_limit in [0, 4096, 6265, 6266, 8191, 100_000] {
        edge(format!("the caller allows {caller_limit}"), WindowFacts { caller_limit: Some(caller_limit), ..TOO_SMALL });
    }
    for needed in [None, Some(1), Some(4097), Some(200_000)] {
        edge(format!("an estimate of {needed:?}"), WindowFacts { needed, estimated: true, ..TOO_SMALL });
        edge(format!("nothing known but {needed:?}"), WindowFacts { needed, loaded: None, model_limit: None, ..TOO_SMALL });
    }
    for (asked, fixed) in [(4096, true), (4096, false), (8192, true), (8192, false), (100_000, true)] {
        edge(format!("{asked} was asked for, fixed {fixed}"), WindowFacts { asked: Some(asked), fixed, ..TOO_SMALL });
    }
    for memory in MemoryOwner::ALL {
        for available in [0, 2303 * 31_680, 2304 * 31_680, 4095 * 31_680, 4096 * 31_680, u64::MAX] {
            let window = WindowFacts { memory: *memory, memory_available: Some(available), bytes_per_token: Some(23_040.0), ..TOO_SMALL };
            edge(format!("{available} bytes of memory, {memory}"), window);
        }
    }
    for bytes in [0.0, -1.0, 5e-324, 1e300] {
        let window =
            WindowFacts { memory: MemoryOwner::ThisMachine, memory_available: Some(1 << 30), bytes_per_token: Some(bytes), ..TOO_SMALL };
        edge(format!("{bytes:?} bytes a token"), window);
    }
    let slow = WindowFacts { reading_speed: Some(100.0), load_time: Some(1.0), ..TOO_SMALL };
    let facts = |window, loaded_window| ModelFacts { window, loaded_window, ..ModelFacts::default() };
    let choices = [
        ("nothing known of the models", None),
        ("the next is too small", Some(vec![facts(None, None), facts(None, None), facts(Some(4096), None)])),
        ("the next is large enough", Some(vec![facts(None, None), facts(None, None), facts(Some(6266), None)])),
        ("the next is loaded large enough", Some(vec![facts(None, None), facts(None, None), facts(Some(32_768), Some(8192))])),
        ("less known than there are models", Some(vec![facts(Some(4096), None)])),
    ];
    for (name, known) in choices {
        for (time, deadline) in [("no deadline", None), ("time enough", Some(61.2)), ("too little time", Some(61.1))] {
            for current in ["qwen3:30b-a3b", "qwen3:8b", "gemma3:4b"] {
                let models = models(current).map(|models| ModelChoice { known: known.clone(), ..models });
                let incident = Incident { models, deadline, ..plain(refusal()) };
                edges.push((format!("a window: {name}, {time}, at {current}"), with_window(slow, incident)));
            }
        }
    }
    let no_memory =
        Fault { status: Some(500), ..Fault::new(FaultKind::HttpStatus, "model requires more system memory (12.3 GiB) than is available") };
    for (name, window) in [
        ("kept, cannot be loaded", WindowFacts { needed: None, asked: Some(8192), loaded: None, ..TOO_SMALL }),
        ("chosen by the caller, cannot be loaded", WindowFacts { needed: None, asked: Some(8192), fixed: true, loaded: None, ..TOO_SMALL }),
        ("needed, cannot be loaded", WindowFacts { asked: Some(8192), ..TOO_SMALL }),
    ] {
        for attempt in [0, 3] {
            let incident = Incident { attempt, models: models("qwen3:8b"), ..plain(no_memory.clone()) };
            edges.push((format!("a window: {name}, attempt {attempt}"), with_window(window, incident)));
        }
    }
    let state = BreakerState { phase: Phase::Open, ..closed(0) };
    edges.push((
        "a window: behind an open breaker".into(),
        with_window(TOO_SMALL, Incident { guard: Some(guard(state)), ..plain(refusal()) }),
    ));
    edges.push(("a window: not safe to repeat".into(), with_window(TOO_SMALL, Incident { idempotent: false, ..plain(refusal()) })));
    edges
}

fn any_window(random: &mut Random) -> Incident {
    let mut incident = any(random);
    if random.chance(70) {
        incident.failure = refusal();
    }
    if let Some(models) = &mut incident.models {
        models.known = random.sometimes(60, |random| {
            let mut tokens = || random.sometimes(70, |random| 1 << random.below_u32(18));
            (0..models.chain.len()).map(|_| ModelFacts { window: tokens(), loaded_window: tokens(), ..ModelFacts::default() }).collect()
        });
    }
    let size = |random: &mut Random| {
        let bits = random.below_u32(18);
        random.below_u32(2 << bits)
    };
    let tokens = |random: &mut Random, often| random.sometimes(often, size);
    let window = WindowFacts {
        needed: tokens(random, 85),
        estimated: random.chance(20),
        answer_length: tokens(random, 20),
        asked: tokens(random, 40),
        fixed: random.chance(15),
        loaded: tokens(random, 80),
        model_limit: tokens(random, 80),
        caller_limit: tokens(random, 20),
        memory: random.pick(MemoryOwner::ALL).to_owned(),
        memory_available: random.sometimes(60, |random| random.below(1 << 34)),
        bytes_per_token: random.sometimes(70, |random| random.span(200_000.0)),
        reading_speed: random.sometimes(40, |random| random.span(2000.0)),
        load_time: random.sometimes(40, |random| random.span(20.0)),
    };
    with_window(window, incident)
}

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
