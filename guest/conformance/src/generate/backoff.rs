//! Vectors of delays.

use super::Collected;
use super::random::Random;
use super::values;
use serde_json::json;
use upright_logic::backoff::{JitterRange, RetryConfig};

const RANDOM: usize = 330;

const ALMOST_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

pub(super) fn make(collected: &mut Collected, random: &mut Random) {
    let mut ask = |name: String, config: &RetryConfig, attempt: u32, random: f64| {
        collected.ask("backoff.delay", name, json!({ "config": config, "attempt": attempt, "random": random }));
    };
    let jittered = RetryConfig::default();
    let plain = RetryConfig { jitter: false, ..jittered };
    for attempt in [0, 1, 2, 3, 4, 5, 6, 7, 63, 64, 1022, 1023, 1024, 1025, 1_000_000, u32::MAX - 1, u32::MAX] {
        ask(format!("attempt {attempt} without jitter"), &plain, attempt, 0.5);
        ask(format!("attempt {attempt} with jitter"), &jittered, attempt, 0.25);
    }
    for number in [0.0, f64::MIN_POSITIVE, f64::EPSILON, 0.1, 0.5, 1.0 / 3.0, 0.9, ALMOST_ONE] {
        ask(format!("the random number {number:e}"), &jittered, 3, number);
    }
    for number in [1.0, 1.5, -1.0, -0.0] {
        ask(format!("the random number {number:?}, which is out of range or at its border"), &jittered, 3, number);
    }
    let configs = [
        ("a cap of zero", RetryConfig { max_delay: 0.0, ..jittered }),
        ("a base of zero", RetryConfig { base_delay: 0.0, ..jittered }),
        ("a cap below the base", RetryConfig { max_delay: 0.25, ..jittered }),
        ("a factor of one", RetryConfig { backoff_factor: 1.0, ..jittered }),
        ("a factor below one", RetryConfig { backoff_factor: 0.5, ..jittered }),
        ("a factor of zero", RetryConfig { backoff_factor: 0.0, ..jittered }),
        ("a huge factor", RetryConfig { backoff_factor: 1e308, ..jittered }),
        ("a huge factor and a huge cap", RetryConfig { backoff_factor: 1e300, max_delay: f64::MAX, ..jittered }),
        ("a factor that is no binary fraction", RetryConfig { backoff_factor: 1.1, max_delay: 1e9, ..jittered }),
        ("a tiny base", RetryConfig { base_delay: f64::MIN_POSITIVE, ..jittered }),
        ("a subnormal base", RetryConfig { base_delay: 5e-324, max_delay: 1e-300, ..jittered }),
        ("a negative base", RetryConfig { base_delay: -1.0, ..jittered }),
        ("a negative cap", RetryConfig { max_delay: -1.0, ..jittered }),
        ("a negative factor", RetryConfig { backoff_factor: -2.0, ..jittered }),
        ("jitter past the cap, where it may", RetryConfig { max_delay: 4.0, jitter_may_exceed_max: true, ..jittered }),
        ("jitter past the cap, where it may not", RetryConfig { max_delay: 4.0, ..jittered }),
        ("jitter of no width", RetryConfig { jitter_range: JitterRange { low: 1.0, high: 1.0 }, ..jittered }),
        ("full jitter", RetryConfig { jitter_range: JitterRange { low: 0.0, high: 1.0 }, ..jittered }),
        ("a jitter range upside down", RetryConfig { jitter_range: JitterRange { low: 1.2, high: 0.8 }, ..jittered }),
        ("a negative jitter range", RetryConfig { jitter_range: JitterRange { low: -1.0, high: -0.5 }, ..jittered }),
        (
            "a huge jitter range that may exceed the cap",
            RetryConfig { jitter_range: JitterRange { low: 1e308, high: f64::MAX }, jitter_may_exceed_max: true, ..jittered },
        ),
        (
            "the specification's other configuration",
            RetryConfig { max_retries: 5, base_delay: 2.0, max_delay: 120.0, backoff_factor: 3.0, ..jittered },
        ),
    ];
    for (name, config) in configs {
        for attempt in [0, 2, 1024, u32::MAX] {
            ask(format!("{name}, attempt {attempt}"), &config, attempt, 0.75);
        }
    }
    for index in 0..RANDOM {
        let config = values::retry(random);
        let attempt = if random.chance(90) { random.below_u32(12) } else { random.below_u32(u32::MAX) };
        ask(format!("random {index}"), &config, attempt, random.unit());
    }
}
