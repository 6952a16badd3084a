//! A thousand swaps under eight deciding threads. `cargo test --test soak -- --nocapture` prints the figures.
//!
//! A binary of its own, because it measures the memory of its process.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use upright::CircuitBreaker;
use upright::policy::SwapOptions;
use upright::types::*;
use upright_test_kit::patient;

const THREADS: u64 = 8;
const SWAPS: u64 = 1000;
/// Maximum growth: two policies of 16 warm instances, and temporaries.
const ROOM: u64 = 64 << 20;

/// Memory in use by this process, bytes; `None` where the system does not say.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[test]
fn a_thousand_swaps_under_eight_threads_fail_no_call_mix_no_answers_lose_no_state_and_leave_memory_flat() {
    let steady = include_bytes!("../../../guest/examples/steady/steady.wasm");
    let policies = [patient::policy(steady), patient::built_in()];
    let slot = patient::slot();
    let config = RetryConfig { jitter: false, ..RetryConfig::default() };
    let open = CircuitBreaker::builder("open")
        .policy(slot.clone())
        .failure_threshold(1)
        .recovery_timeout(Duration::from_secs(86_400))
        .build()
        .unwrap();
    open.call_blocking(|| Err::<(), _>(std::io::Error::from_raw_os_error(111))).unwrap_err();
    let generation = open.snapshot().generation;

    let (done, decisions) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut after_100, mut longest) = (None, Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let delay = slot.slot().delay(&config, 3, 0.5).as_secs();
                    assert!([1, 8].contains(&delay), "a mixture: {delay}");
                    decisions.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..SWAPS {
            let policy = &policies[round as usize % 2];
            let began = Instant::now();
            slot.swap(patient::loader().from_bytes(policy.bytes()).unwrap(), &SwapOptions::default()).unwrap();
            longest = longest.max(began.elapsed());
            let seen = decisions.load(Ordering::Relaxed);
            while decisions.load(Ordering::Relaxed) < seen + THREADS {
                std::thread::yield_now();
            }
            if round == 100 {
                after_100 = memory();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let counts = slot.counts();
    assert_eq!((counts.swaps, counts.safe_mode, counts.rollbacks), (SWAPS, 0, 0));
    assert_eq!((open.state(), open.snapshot().generation), (Phase::Open, generation));
    let memory = after_100.zip(memory());
    if let Some((before, after)) = memory {
        assert!(after <= before + ROOM, "memory grew from {before} to {after} bytes");
    }
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{SWAPS} swaps, {} decisions, 0 failed, 0 mixed; memory after 100 swaps and after all, MiB: {:.1?}; the longest swap {:.2} ms",
        decisions.into_inner(),
        memory.map(|(before, after)| (mebibytes(before), mebibytes(after))),
        longest.as_secs_f64() * 1e3
    );
}
