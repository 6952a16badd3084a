//! Vectors of judgements on resource snapshots.

use super::Collected;
use super::random::Random;
use super::values::{self, GIB};
use serde_json::json;
use upright_logic::health::{ResourceSnapshot, ResourceThresholds};

const RANDOM: usize = 150;

pub(super) fn make(collected: &mut Collected, random: &mut Random) {
    let mut ask = |name: String, snapshot: ResourceSnapshot, thresholds: ResourceThresholds| {
        collected.ask("health.judge", name, json!({ "snapshot": snapshot, "thresholds": thresholds }));
    };
    let usual = ResourceThresholds::default();
    let roomy = ResourceSnapshot {
        memory_total_bytes: 1000,
        memory_available_bytes: 500,
        disk_total_bytes: 1000,
        disk_available_bytes: 500,
        cpu_percent: Some(20.0),
    };
    // Percent of 1000 bytes in use: the threshold is at 100 available.
    for available in [0, 1, 99, 100, 101, 999, 1000, 1001, u64::MAX] {
        ask(
            format!("{available} of 1000 bytes of memory available"),
            ResourceSnapshot { memory_available_bytes: available, ..roomy },
            usual,
        );
        ask(format!("{available} of 1000 bytes of disk available"), ResourceSnapshot { disk_available_bytes: available, ..roomy }, usual);
    }
    for free in [50 * GIB - 1, 50 * GIB, 50 * GIB + 1, 90 * GIB] {
        let large = ResourceSnapshot { disk_total_bytes: 1024 * GIB, disk_available_bytes: free, ..roomy };
        ask(format!("{free} bytes free of a tebibyte"), large, usual);
    }
    for cpu in [0.0, -0.0, 89.999_999_999, 90.0, 90.000_000_001, 100.0, 1e300, -5.0] {
        ask(format!("a processor {cpu:?} % in use"), ResourceSnapshot { cpu_percent: Some(cpu), ..roomy }, usual);
    }
    ask("a processor that was not sampled yet".into(), ResourceSnapshot { cpu_percent: None, ..roomy }, usual);
    ask("memory that could not be read".into(), ResourceSnapshot { memory_total_bytes: 0, ..roomy }, usual);
    ask("a disk that could not be read".into(), ResourceSnapshot { disk_total_bytes: 0, ..roomy }, usual);
    let blind = ResourceSnapshot { memory_total_bytes: 0, disk_total_bytes: 0, cpu_percent: None, ..roomy };
    ask("nothing could be read".into(), blind, usual);
    let full = ResourceSnapshot { memory_available_bytes: 0, disk_available_bytes: 0, cpu_percent: Some(100.0), ..roomy };
    ask("everything is full".into(), full, usual);
    let third = ResourceSnapshot { memory_total_bytes: 3, memory_available_bytes: 1, ..roomy };
    ask("a share that is no binary fraction".into(), third, usual);
    let vast = ResourceSnapshot { memory_total_bytes: u64::MAX, memory_available_bytes: 1, ..roomy };
    ask("sizes that no f64 holds".into(), vast, usual);
    for percent in [0.0, 50.0, 100.0, -1.0, 1e9] {
        let limits = ResourceThresholds { memory_percent: percent, disk_percent: percent, cpu_percent: percent, ..usual };
        ask(format!("thresholds of {percent:?} %"), roomy, limits);
    }
    ask("no free disk is asked for".into(), full, ResourceThresholds { disk_free_bytes: 0, ..usual });
    for index in 0..RANDOM {
        ask(format!("random {index}"), values::snapshot(random), values::thresholds(random));
    }
}
