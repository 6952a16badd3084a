//! Random values of the contract's types.

use super::random::Random;
use upright_logic::backoff::{JitterRange, RetryConfig};
use upright_logic::breaker::{BreakerConfig, BreakerState, Phase};
use upright_logic::classifier::rules::{RULES, Said};
use upright_logic::health::{ResourceSnapshot, ResourceThresholds};
use upright_logic::types::{Endpoint, ErrorLabels, Fault, FaultKind};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const GIB: u64 = 1 << 30;

pub(super) const MODELS: [&str; 14] = [
    "qwen3",
    "qwen3:latest",
    "Qwen3:LATEST",
    "qwen3:8b",
    " qwen3:8b",
    "Qwen3:8B",
    "library/qwen3:8b",
    "registry.ollama.ai/library/qwen3:8b",
    "gemma3:4b",
    "gemma3:3b",
    "qwen3:30b-a3b",
    "me/qwen3:8b",
    "localhost:5000/library/qwen3",
    "local/smollm2",
];

const LABELS: [&str; 10] = [
    "exceed_context_size_error",
    "context_length_exceeded",
    "insufficient_quota",
    "model_not_found",
    "overloaded_error",
    "invalid_request_error",
    "server_error",
    "404",
    "500",
    "",
];

const WORDS: [&str; 12] = [
    "Error:",
    "while answering",
    "upstream said",
    "id 8f429c",
    "after 30 seconds",
    "at 10.0.0.7:5000",
    "HTTP 503",
    "status=429",
    "(os error 5)",
    "4500 tokens",
    "é…",
    "user_404",
];

pub(super) fn retry(random: &mut Random) -> RetryConfig {
    let low = random.span(1.0);
    RetryConfig {
        max_retries: random.below_u32(7),
        base_delay: random.span(5.0),
        max_delay: random.pick(&[0.0, 1.0, 5.0, 60.0, 300.0]),
        backoff_factor: if random.chance(50) { 2.0 } else { 1.0 + random.span(4.0) },
        jitter: random.chance(60),
        jitter_range: JitterRange { low, high: low + random.span(1.0) },
        jitter_may_exceed_max: random.chance(20),
    }
}

pub(super) fn breaker(random: &mut Random) -> BreakerConfig {
    BreakerConfig {
        failure_threshold: 1 + random.below_u32(6),
        recovery_timeout: random.pick(&[0.5, 5.0, 30.0, 60.0]),
        success_threshold: 1 + random.below_u32(3),
        half_open_permits: 1 + random.below_u32(4),
        failure_window: random.pick(&[1.0, 10.0, 60.0, 600.0]),
        failure_rate_threshold: random.pick(&[0.1, 0.5, 0.75, 1.0, 2.0]),
        minimum_calls: 1 + random.below_u32(20),
        slow_call_duration: random.sometimes(50, |random| random.pick(&[0.1, 0.5, 2.0, 30.0])),
        slow_call_rate_threshold: random.pick(&[0.1, 0.5, 0.75, 1.0, 2.0]),
    }
}

pub(super) fn took(random: &mut Random) -> f64 {
    match random.below(4) {
        0 => 0.0,
        1 => random.pick(&[0.1, 0.5, 2.0, 30.0]),
        _ => random.span(4.0),
    }
}

pub(super) fn state(random: &mut Random) -> BreakerState {
    let phase = random.pick(Phase::ALL);
    let since = random.below(100 * SECOND);
    BreakerState {
        phase,
        consecutive_failures: if phase == Phase::Closed { random.below_u32(6) } else { 0 },
        half_open_successes: if phase == Phase::HalfOpen { random.below_u32(3) } else { 0 },
        since,
        generation: random.below(5),
        memory: memory(random, since),
    }
}

fn memory(random: &mut Random, since: u64) -> Vec<u8> {
    match random.below(4) {
        0 => {
            let began = since + random.below(SECOND);
            let failed = began + random.below(20 * SECOND);
            let calls = random.below_u32(40);
            let (failures, slow) = (random.below_u32(calls + 1), random.below_u32(calls + 1));
            super::breaker::memory(began, failed, [calls, failures, slow])
        }
        1 => (0..random.below(8)).map(|_| random.next() as u8).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn message(random: &mut Random) -> String {
    let mut parts = Vec::new();
    for _ in 0..random.below(3) {
        parts.push(random.pick(&WORDS).to_owned());
    }
    if random.chance(60) {
        let rule = random.pick(&RULES.iter().collect::<Vec<_>>());
        if let Said::Any(phrases) = rule.said {
            parts.push(said(random.pick(phrases)));
        }
    }
    parts.join(" ")
}

pub(super) fn said(phrase: &str) -> String {
    phrase.replace("{}", "'some name'").replace(" .. ", " 1.5 of \"it\", and ").replace('*', "s").replace(['^', '$'], "")
}

fn labels(random: &mut Random) -> Option<ErrorLabels> {
    random.sometimes(25, |random| ErrorLabels {
        error_type: random.sometimes(60, |random| random.pick(&LABELS).to_owned()),
        error_code: random.sometimes(60, |random| random.pick(&LABELS).to_owned()),
    })
}

pub(super) fn fault(random: &mut Random) -> Fault {
    let kind = match random.below(10) {
        0..=3 => FaultKind::HttpStatus,
        4 | 5 => FaultKind::Other,
        6 => FaultKind::StreamError,
        _ => random.pick(FaultKind::ALL),
    };
    let status = match kind {
        FaultKind::HttpStatus => Some(random.pick(&[400, 401, 403, 404, 408, 429, 499, 500, 502, 503, 504, 529])),
        _ => random.sometimes(10, |random| random.pick(&[200, 404, 500])),
    };
    Fault {
        kind,
        status,
        errno: random.sometimes(15, |random| random.pick(&[2, 5, 12, 13, 24, 28, 104, 110, 111, 113])),
        endpoint: random.pick(Endpoint::ALL),
        message: message(random),
        labels: labels(random),
        retry_after: random.sometimes(20, |random| random.span(90.0)),
        should_retry: random.sometimes(8, |random| random.chance(50)),
        points_to: random.sometimes(8, |_| "https://ollama.com/connect".to_owned()),
    }
}

pub(super) fn snapshot(random: &mut Random) -> ResourceSnapshot {
    let memory_total_bytes = random.pick(&[0, 8 * GIB, 16 * GIB, 64 * GIB]);
    let disk_total_bytes = random.pick(&[0, 100 * GIB, 1024 * GIB]);
    ResourceSnapshot {
        memory_total_bytes,
        memory_available_bytes: random.below(memory_total_bytes + 1) / (1 << random.below(5)),
        disk_total_bytes,
        disk_available_bytes: random.below(disk_total_bytes + 1) / (1 << random.below(5)),
        cpu_percent: random.sometimes(70, |random| random.span(100.0)),
    }
}

pub(super) fn thresholds(random: &mut Random) -> ResourceThresholds {
    if random.chance(50) {
        return ResourceThresholds::default();
    }
    ResourceThresholds {
        memory_percent: random.span(100.0),
        disk_percent: random.span(100.0),
        disk_free_bytes: random.below(100 * GIB),
        cpu_percent: random.span(100.0),
    }
}
