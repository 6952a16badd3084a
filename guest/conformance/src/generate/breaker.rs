//! Vectors of circuit breaker steps.

use super::Collected;
use super::random::Random;
use super::values::{self, SECOND};
use serde_json::json;
use upright_logic::breaker::{BreakerConfig, BreakerState, Event, Observation, Phase, initial, step};

const WALKS: usize = 12;
const STEPS: usize = 16;
const RANDOM: usize = 160;

pub(super) fn make(collected: &mut Collected, random: &mut Random) {
    for now in [0, 1, SECOND, (1 << 53) + 1, u64::MAX] {
        collected.ask("breaker.initial", format!("a breaker made at {now}"), json!({ "now": now }));
    }
    edges(collected);
    for walk in 0..WALKS {
        follow(collected, random, walk);
    }
    for index in 0..RANDOM {
        let state = values::state(random);
        let now = state.since + random.below(90 * SECOND);
        let observation = observation(random, &state, now);
        ask(collected, format!("random {index}"), &values::breaker(random), &state, observation);
    }
}

fn ask(collected: &mut Collected, name: String, config: &BreakerConfig, state: &BreakerState, observation: Observation) {
    collected.ask("breaker.step", name, json!({ "config": config, "state": state, "observation": observation }));
}

fn observation(random: &mut Random, state: &BreakerState, now: u64) -> Observation {
    let generation = if random.chance(80) { state.generation } else { random.below(5) };
    let event = match random.below(8) {
        0..=2 => Event::Failure(generation),
        3 | 4 => Event::Success(generation),
        5 => Event::Ignored(generation),
        _ => Event::Elapsed,
    };
    Observation { event, now, successes: if random.chance(70) { 0 } else { random.below(30) }, took: values::took(random) }
}

fn follow(collected: &mut Collected, random: &mut Random, walk: usize) {
    let config = values::breaker(random);
    let mut now = 0;
    let mut state = initial(now).state;
    for index in 0..STEPS {
        now += random.below(2 * (config.recovery_timeout * 1e9) as u64);
        let seen = observation(random, &state, now);
        ask(collected, format!("life {walk}, step {index}"), &config, &state, seen);
        state = step(&config, state, &seen).state;
    }
}

fn state(phase: Phase) -> BreakerState {
    BreakerState { phase, consecutive_failures: 0, half_open_successes: 0, since: 100 * SECOND, generation: 7, memory: Vec::new() }
}

pub(super) fn memory(began: u64, last_failure: u64, counts: [u32; 3]) -> Vec<u8> {
    [began, last_failure].map(u64::to_le_bytes).concat().into_iter().chain(counts.map(u32::to_le_bytes).concat()).collect()
}

fn edges(collected: &mut Collected) {
    let config = BreakerConfig::default();
    let seen = |event, now| Observation { event, now, successes: 0, took: 0.0 };
    let failed = |failures| BreakerState { consecutive_failures: failures, ..state(Phase::Closed) };
    let probed = |successes| BreakerState { half_open_successes: successes, ..state(Phase::HalfOpen) };
    let opens_at = 160 * SECOND;
    let mut ask = |name: &str, config: BreakerConfig, state: BreakerState, observation| {
        ask(collected, name.to_owned(), &config, &state, observation);
    };

    ask("closed: the fourth failure does not open it", config, failed(3), seen(Event::Failure(7), 101 * SECOND));
    ask("closed to open: the fifth failure", config, failed(4), seen(Event::Failure(7), 101 * SECOND));
    ask("open: a nanosecond too early", config, state(Phase::Open), seen(Event::Elapsed, opens_at - 1));
    ask("open to half-open: the timeout has passed", config, state(Phase::Open), seen(Event::Elapsed, opens_at));
    ask("half-open: the first success", config, probed(0), seen(Event::Success(7), 101 * SECOND));
    ask("half-open to closed: the last success", config, probed(1), seen(Event::Success(7), 101 * SECOND));
    ask("half-open to open: any failure", config, probed(1), seen(Event::Failure(7), 101 * SECOND));

    for phase in Phase::ALL {
        for (age, generation) in [("this", 7), ("an older", 6), ("the first", 0), ("a newer", 8)] {
            let events = [Event::Success(generation), Event::Failure(generation), Event::Ignored(generation)];
            for event in events {
                let name = format!("{phase}: {event:?}, of {age} generation");
                ask(&name, config, state(*phase), seen(event, 150 * SECOND));
            }
        }
        ask(&format!("{phase}: time passes"), config, state(*phase), seen(Event::Elapsed, u64::MAX));
        ask(&format!("{phase}: the clock seems to run backwards"), config, state(*phase), seen(Event::Failure(7), 0));
    }

    let reported = |event, successes| Observation { event, now: 101 * SECOND, successes, took: 0.0 };
    ask("successes before a failure start the row again", config, failed(4), reported(Event::Failure(7), 1));
    ask("successes under an ignored outcome start the row again", config, failed(4), reported(Event::Ignored(7), 3));
    ask("more successes than are counted", config, failed(4), reported(Event::Success(7), u64::MAX));
    ask("a failure later than the window starts the row again", config, failed(4), seen(Event::Failure(7), 701 * SECOND));
    ask("a failure at the end of the window still counts", config, failed(4), seen(Event::Failure(7), 700 * SECOND));
    let window = |calls: u32, failures: u32| BreakerState {
        memory: memory(100 * SECOND, 100 * SECOND, [calls, failures, 0]),
        ..state(Phase::Closed)
    };
    ask("half of nineteen calls are too few calls", config, window(18, 9), seen(Event::Failure(7), 101 * SECOND));
    ask("half of twenty calls open it", config, window(19, 9), seen(Event::Failure(7), 101 * SECOND));
    ask("just under half of twenty-one calls", config, window(20, 9), seen(Event::Failure(7), 101 * SECOND));
    ask(
        "a share above one never opens it",
        BreakerConfig { failure_rate_threshold: 1.5, ..config },
        window(99, 99),
        reported(Event::Failure(7), 0),
    );
    ask("counts that are full stay full", config, window(u32::MAX, 0), reported(Event::Failure(7), 5));
    ask("a window that has passed begins anew", config, window(19, 19), seen(Event::Failure(7), 701 * SECOND));
    let foreign = |bytes: Vec<u8>| BreakerState { memory: bytes, ..failed(1) };
    ask("memory of the layout before is an empty window", config, foreign(vec![1; 24]), reported(Event::Failure(7), 0));
    ask("memory of another layout is an empty window", config, foreign(vec![7; 3]), reported(Event::Failure(7), 0));
    ask("as much memory of another layout as there may be", config, foreign(vec![0; 4096]), reported(Event::Failure(7), 0));
    ask("memory that is kept where nothing happens", config, foreign(vec![1, 2, 255]), reported(Event::Failure(6), 0));

    let impatient = BreakerConfig { slow_call_duration: Some(2.0), slow_call_rate_threshold: 0.5, ..config };
    let slow_window = |calls: u32, failures: u32, slow: u32| BreakerState {
        memory: memory(100 * SECOND, 100 * SECOND, [calls, failures, slow]),
        ..state(Phase::Closed)
    };
    let took = |event, took| Observation { event, now: 101 * SECOND, successes: 0, took };
    let almost = 2.0_f64.next_down();
    ask("slow: half of nineteen calls are too few calls", impatient, slow_window(18, 0, 9), took(Event::Success(7), 2.0));
    ask("slow: half of twenty calls open it", impatient, slow_window(19, 0, 9), took(Event::Success(7), 2.0));
    ask("slow: a call that took almost too long is not", impatient, slow_window(19, 0, 9), took(Event::Success(7), almost));
    ask("slow: just under half of twenty-one calls", impatient, slow_window(20, 0, 9), took(Event::Success(7), 2.0));
    ask("slow: a slow failure counts as both, and once", impatient, slow_window(3, 1, 1), took(Event::Failure(7), 9.0));
    ask("slow: a failure at which enough calls are slow", impatient, slow_window(19, 0, 10), took(Event::Failure(7), 0.1));
    ask("slow: a failure that was in time", impatient, slow_window(3, 1, 1), took(Event::Failure(7), 1.0));
    ask("slow: a slow success starts the row again", impatient, failed(4), took(Event::Success(7), 2.0));
    let with_others = Observation { successes: 5, ..took(Event::Success(7), 2.0) };
    ask("slow: a slow success after others that were in time", impatient, slow_window(30, 0, 4), with_others);
    ask("slow: an outcome that says nothing of the service", impatient, slow_window(19, 0, 19), took(Event::Ignored(7), 9.0));
    ask("slow: a call of an older generation", impatient, slow_window(19, 0, 19), took(Event::Success(6), 9.0));
    ask("slow: no call is without a duration", config, slow_window(19, 0, 19), took(Event::Success(7), 1e300));
    let never = BreakerConfig { slow_call_rate_threshold: 1.5, ..impatient };
    ask("slow: a share above one never opens it", never, slow_window(99, 0, 99), took(Event::Success(7), 9.0));
    let all = BreakerConfig { slow_call_rate_threshold: 1.0, ..impatient };
    ask("slow: all calls are", all, slow_window(19, 0, 19), took(Event::Success(7), 9.0));
    ask("slow: all calls but one are", all, slow_window(20, 0, 19), took(Event::Success(7), 9.0));
    ask("slow: counts that are full stay full", never, slow_window(u32::MAX, 0, u32::MAX), took(Event::Failure(7), 9.0));
    let after_it = Observation { now: 701 * SECOND, ..took(Event::Success(7), 2.0) };
    ask("slow: a window that has passed begins anew", impatient, slow_window(19, 0, 19), after_it);
    ask("slow: a probe that is slow opens it again", impatient, probed(1), took(Event::Success(7), 2.0));
    ask("slow: a probe that is in time closes it", impatient, probed(1), took(Event::Success(7), almost));
    ask("slow: a slow probe where no share can open it", never, probed(1), took(Event::Success(7), 2.0));
    ask("slow: an open breaker hears nothing of it", impatient, state(Phase::Open), took(Event::Success(7), 9.0));

    let odd = BreakerConfig {
        failure_threshold: 0,
        recovery_timeout: 0.0,
        success_threshold: 0,
        half_open_permits: 0,
        failure_window: -1.0,
        failure_rate_threshold: 0.0,
        minimum_calls: 0,
        slow_call_duration: Some(0.0),
        slow_call_rate_threshold: 0.0,
    };
    ask("thresholds of zero count as one: a failure", odd, state(Phase::Closed), reported(Event::Failure(7), 0));
    ask("thresholds of zero count as one: a success", odd, state(Phase::HalfOpen), reported(Event::Success(7), 0));
    ask("a timeout of zero is a nanosecond: too early", odd, state(Phase::Open), seen(Event::Elapsed, 100 * SECOND));
    ask("a timeout of zero is a nanosecond: passed", odd, state(Phase::Open), seen(Event::Elapsed, 100 * SECOND + 1));
    let long = BreakerConfig { recovery_timeout: 1e300, failure_window: f64::MAX, ..config };
    ask("a timeout longer than time", long, state(Phase::Open), seen(Event::Elapsed, u64::MAX - 1));
    let tiny = BreakerConfig { recovery_timeout: 5e-324, ..config };
    ask("a subnormal timeout", tiny, state(Phase::Open), seen(Event::Elapsed, 100 * SECOND + 1));
    let fraction = BreakerConfig { recovery_timeout: 0.1, ..config };
    ask("a timeout that is no binary fraction", fraction, state(Phase::Open), seen(Event::Failure(0), 101 * SECOND));
    let last = BreakerState { generation: u64::MAX, ..failed(4) };
    ask("the last generation is followed by the first", config, last, reported(Event::Failure(u64::MAX), 0));
    let full = BreakerState { consecutive_failures: u32::MAX, ..state(Phase::Closed) };
    let never = BreakerConfig { failure_threshold: u32::MAX, ..config };
    ask("as many failures as there can be", never, full, reported(Event::Failure(7), 0));
    let first = BreakerState { since: 0, generation: 0, ..state(Phase::Open) };
    ask("a breaker that opened at time zero recovers", config, first, seen(Event::Elapsed, 60 * SECOND));
    let end = BreakerState { since: u64::MAX, ..state(Phase::Open) };
    ask("a breaker that opened at the end of time", config, end, seen(Event::Elapsed, u64::MAX));
}
