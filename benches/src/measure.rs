//! Measures a group's cases in interleaved rounds.
//!
//! A machine's speed drifts with clock, temperature and load. So each round takes one sample of every case, starting
//! with another one. A figure is the median over rounds.

use crate::group::{Case, Group};
use anyhow::{Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Calls before each sample, to fill caches and pools.
const WARM_UP: u64 = 64;
/// Time between two looks at the clock in concurrent threads.
const CHUNK: Duration = Duration::from_micros(50);
/// Factor of a contended sample's time, because locks depend on chance.
const CONTENDED: u32 = 3;

/// Length and number of samples.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Effort {
    /// Number of rounds, with one sample of each case.
    pub rounds: usize,
    /// Approximate time of a sample.
    pub sample: Duration,
}

impl Effort {
    /// For reliable figures.
    pub const FULL: Self = Self { rounds: 101, sample: Duration::from_millis(4) };
    /// Only checks that everything runs.
    pub const QUICK: Self = Self { rounds: 5, sample: Duration::from_micros(400) };
}

/// Time of a call, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Span {
    /// Median over the rounds.
    pub median: f64,
    /// Tenth percentile.
    pub low: f64,
    /// Ninetieth percentile.
    pub high: f64,
}

impl Span {
    /// Span of these samples; NaN without samples.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let last = samples.len().saturating_sub(1) as f64;
        let at = |share: f64| samples.get((last * share).round() as usize).copied().unwrap_or(f64::NAN);
        Self { median: at(0.5), low: at(0.1), high: at(0.9) }
    }
}

/// Measures a group, in order of its cases.
pub fn group(group: &Group, effort: Effort, runtime: &Runtime) -> Result<Vec<Span>> {
    let _entered = runtime.enter();
    let mut calls = Vec::new();
    for case in &group.cases {
        ensure!(case.is_right(), "{}: {:?} does not answer as it should", group.id, case.name);
        calls.push(calibrate(case, if group.threads == 1 { effort.sample } else { CHUNK }));
    }
    let mut samples = vec![Vec::with_capacity(effort.rounds); group.cases.len()];
    for round in 0..effort.rounds {
        for turn in 0..group.cases.len() {
            let index = (round + turn) % group.cases.len();
            let (case, calls) = (&group.cases[index], calls[index]);
            samples[index].push(match group.threads {
                1 => alone(&mut *case.worker(), calls),
                threads => together(case, threads, calls, effort.sample * CONTENDED, runtime)?,
            });
        }
    }
    for case in &group.cases {
        ensure!(case.is_right(), "{}: {:?} answers otherwise after the measurement", group.id, case.name);
    }
    Ok(samples.into_iter().map(Span::of).collect())
}

fn calibrate(case: &Case, wanted: Duration) -> u64 {
    let wanted = wanted.as_nanos() as f64;
    let mut worker = case.worker();
    let mut calls = 1_u64;
    loop {
        let taken = alone(&mut *worker, calls) * calls as f64;
        if taken * 2.0 >= wanted {
            return ((wanted / taken) * calls as f64).max(1.0) as u64;
        }
        calls *= 2;
    }
}

/// Nanoseconds a call on one thread, after a warm-up.
fn alone(worker: &mut dyn FnMut(u64), calls: u64) -> f64 {
    worker(WARM_UP.min(calls.max(1)));
    let began = Instant::now();
    worker(calls);
    began.elapsed().as_nanos() as f64 / calls as f64
}

/// Nanoseconds a call on several threads. Threads run for a time, not for a number of calls: else the faster one ends
/// early, and the other measures a free lock.
fn together(case: &Case, threads: usize, calls: u64, span: Duration, runtime: &Runtime) -> Result<f64> {
    let waiting = AtomicUsize::new(threads);
    let body = || {
        let _entered = runtime.enter();
        let mut worker = case.worker();
        worker(WARM_UP.min(calls.max(1)));
        // Spins, because a sleeping thread wakes late.
        waiting.fetch_sub(1, Ordering::SeqCst);
        while waiting.load(Ordering::SeqCst) > 0 {
            std::hint::spin_loop();
        }
        let began = Instant::now();
        let mut made = 0_u64;
        loop {
            worker(calls);
            made += calls;
            let elapsed = began.elapsed();
            if elapsed >= span {
                return made as f64 / elapsed.as_nanos() as f64;
            }
        }
    };
    let rates = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(body)).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let mut calls_a_nanosecond = 0.0;
    for rate in rates {
        calls_a_nanosecond += rate.map_err(|_| anyhow!("{:?} panicked", case.name))?;
    }
    Ok(threads as f64 / calls_a_nanosecond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Case;

    #[test]
    fn a_span_is_the_median_between_the_tenths_at_both_ends() {
        let span = Span::of((0..=100).rev().map(f64::from).collect());
        assert_eq!((span.low, span.median, span.high), (10.0, 50.0, 90.0));
        assert!(Span::of(Vec::new()).median.is_nan());
    }

    #[test]
    fn a_case_that_answers_wrongly_is_not_measured() {
        let runtime = crate::cases::runtime().unwrap();
        let measure = |right: bool, threads| {
            let cases = vec![Case::new("a case", move || move || right, |right| *right)];
            let wrong = Group { id: "group", title: "", note: "", threads, reference: "a case", cases, targets: Vec::new() };
            group(&wrong, Effort::QUICK, &runtime)
        };
        for threads in [1, 2] {
            assert!(measure(true, threads).unwrap()[0].median > 0.0);
            assert!(measure(false, threads).unwrap_err().to_string().contains("a case"));
        }
    }
}
