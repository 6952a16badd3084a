//! NaN, infinity, subnormal numbers and negative zero, which JSON lacks: component against native code.
//!
//! Without negative and NaN caps, whose answers the host would replace with native ones.

use upright::types::*;
use upright::{PolicyLifecycle, PolicySlot};
use upright_test_kit::patient;

const ODD: [f64; 14] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    -5e-324,
    0.0,
    -0.0,
    1.0,
    -1.0,
    f64::EPSILON,
    1e300,
];

const CAPS: [f64; 6] = [f64::INFINITY, f64::MAX, 60.0, 5e-324, 0.0, -0.0];

/// Also NaNs with sign bit and payload; hosts and engines may change these bits.
fn nans() -> [f64; 3] {
    [f64::NAN, -f64::NAN, f64::from_bits(0x7ff8_dead_beef_0001)]
}

struct Both {
    component: PolicyLifecycle,
    native: PolicySlot,
}

impl Both {
    fn new() -> Self {
        let both = Self { component: patient::slot(), native: PolicySlot::native() };
        assert!(both.component.policy().is_some(), "no component runs here");
        both
    }

    fn delay(&self, config: &RetryConfig, attempt: u32, random: f64) {
        let (component, native) = (self.component.slot().delay(config, attempt, random), self.native.delay(config, attempt, random));
        assert_eq!(component, native, "{config:?}, attempt {attempt}, random {random}");
    }

    fn decide(&self, incident: &Incident) {
        assert_eq!(self.component.slot().decide(incident), self.native.decide(incident), "{incident:?}");
    }

    fn finish(self, at_least: u64) {
        let counts = self.component.counts();
        assert_eq!((counts.safe_mode, counts.rollbacks), (0, 0), "native code answered in the component's place");
        assert!(counts.decisions >= at_least, "only {} answers were compared", counts.decisions);
        println!("compared {} answers", counts.decisions);
    }
}

fn configs() -> impl Iterator<Item = RetryConfig> {
    let bases = ODD.into_iter().flat_map(|base_delay| ODD.map(|backoff_factor| (base_delay, backoff_factor)));
    bases.flat_map(|(base_delay, backoff_factor)| {
        CAPS.map(|max_delay| RetryConfig {
            base_delay,
            backoff_factor,
            max_delay,
            jitter_range: JitterRange { low: backoff_factor, high: base_delay },
            ..RetryConfig::default()
        })
    })
}

#[test]
fn delays_are_the_same_for_odd_settings() {
    let both = Both::new();
    for config in configs() {
        for (attempt, random) in [(0, f64::NAN), (1, 5e-324), (7, f64::INFINITY), (1024, -0.0), (u32::MAX, 0.5)] {
            both.delay(&config, attempt, random);
            both.delay(&RetryConfig { jitter: false, ..config }, attempt, random);
        }
    }
    both.finish(10_000);
}

#[test]
fn every_bit_pattern_of_nan_is_the_same_to_both() {
    let both = Both::new();
    for nan in nans() {
        both.delay(&RetryConfig { base_delay: nan, ..RetryConfig::default() }, 3, 0.5);
        both.delay(&RetryConfig { backoff_factor: nan, ..RetryConfig::default() }, 3, nan);
        both.decide(&incident(Some(nan), nan));
    }
    both.finish(9);
}

fn fault(retry_after: Option<f64>) -> Fault {
    Fault { status: Some(429), retry_after, ..Fault::new(FaultKind::HttpStatus, "too many requests") }
}

fn incident(retry_after: Option<f64>, elapsed: f64) -> Incident {
    Incident { elapsed, random: 0.5, ..Incident::of(fault(retry_after)) }
}

#[test]
fn classifications_are_the_same_whatever_the_server_asks_for() {
    let both = Both::new();
    for seconds in ODD.into_iter().chain(nans()) {
        let fault = fault(Some(seconds));
        assert_eq!(both.component.slot().classify(&fault), both.native.classify(&fault), "{seconds}");
    }
    both.finish(17);
}

#[test]
fn verdicts_are_the_same_for_odd_times() {
    let both = Both::new();
    for first in ODD {
        for second in ODD {
            let plain = incident(Some(first), second);
            both.decide(&plain);
            both.decide(&Incident { deadline: Some(first), ..incident(None, second) });
            both.decide(&Incident { random: first, deadline: Some(second), ..plain.clone() });
            let cached = Some(CachedAnswer { age: first, max_age: second });
            both.decide(&Incident { attempt: 3, at_hand: Alternatives { cached, ..Alternatives::default() }, ..plain.clone() });
            let resources = ResourceSnapshot {
                memory_total_bytes: 100,
                memory_available_bytes: 5,
                disk_total_bytes: 0,
                disk_available_bytes: 0,
                cpu_percent: Some(first),
            };
            both.decide(&Incident { resources: Some(resources), ..plain });
        }
    }
    for retry in configs().step_by(3) {
        both.decide(&Incident { retry, ..incident(Some(5e-324), -0.0) });
    }
    both.finish(1300);
}

#[test]
fn breakers_move_the_same_with_odd_settings() {
    let both = Both::new();
    for recovery_timeout in ODD {
        for failure_window in ODD {
            for failure_rate_threshold in ODD {
                let config = BreakerConfig { recovery_timeout, failure_window, failure_rate_threshold, ..BreakerConfig::default() };
                for phase in Phase::ALL {
                    let state = BreakerState {
                        phase: *phase,
                        consecutive_failures: 2,
                        half_open_successes: 0,
                        since: 5,
                        generation: 1,
                        memory: window(),
                    };
                    let guard = Guard { config, state, generation: 1, successes: 0, took: 0.0 };
                    both.decide(&Incident { now: 1_000_000_000, guard: Some(guard), ..incident(None, 0.0) });
                }
            }
        }
    }
    both.finish(8000);
}

fn window() -> Vec<u8> {
    [5_u64, 5].map(u64::to_le_bytes).concat().into_iter().chain([40_u32, 15, 15].map(u32::to_le_bytes).concat()).collect()
}

#[test]
fn breakers_move_the_same_for_odd_durations_of_calls() {
    let both = Both::new();
    for duration in ODD {
        for slow_call_rate_threshold in ODD {
            for took in ODD {
                let config = BreakerConfig { slow_call_duration: Some(duration), slow_call_rate_threshold, ..BreakerConfig::default() };
                for phase in Phase::ALL {
                    let state = BreakerState {
                        phase: *phase,
                        consecutive_failures: 2,
                        half_open_successes: 0,
                        since: 5,
                        generation: 1,
                        memory: window(),
                    };
                    let guard = Guard { config, state, generation: 1, successes: 0, took };
                    both.decide(&Incident { now: 1_000_000_000, guard: Some(guard), ..incident(None, 0.0) });
                }
            }
        }
    }
    both.finish(8000);
}

#[test]
fn judgements_are_the_same_for_odd_percentages() {
    let both = Both::new();
    for cpu in ODD {
        for limit in ODD {
            let snapshot = ResourceSnapshot {
                memory_total_bytes: 3,
                memory_available_bytes: 1,
                disk_total_bytes: 7,
                disk_available_bytes: 2,
                cpu_percent: Some(cpu),
            };
            let thresholds = ResourceThresholds { memory_percent: limit, disk_percent: limit, disk_free_bytes: 3, cpu_percent: limit };
            let (component, native) = (both.component.slot().judge(&snapshot, &thresholds), both.native.judge(&snapshot, &thresholds));
            // `==` ignores the sign of zero.
            let bits = |judgement: &Judgement| judgement.findings.iter().map(|finding| finding.percent.to_bits()).collect::<Vec<_>>();
            assert_eq!((&component, bits(&component)), (&native, bits(&native)), "{cpu} {limit}");
        }
    }
    both.finish(196);
}

#[test]
fn workflows_are_simplified_the_same_for_odd_numbers() {
    let both = Both::new();
    let entry = |key: &str, number| WorkflowEntry { key: key.into(), value: WorkflowValue::Number(number) };
    let keys = ["temperature", "max_iterations", "top_p", "seed"];
    let workflow: Vec<_> = keys.iter().flat_map(|key| ODD.map(|number| entry(key, number))).collect();
    let (component, native) = (both.component.slot().simplify_workflow(&workflow), both.native.simplify_workflow(&workflow));
    assert_eq!(component, native);
    assert!(!native.is_empty());
    both.finish(1);
}
