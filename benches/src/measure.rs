//! Measures the cases of a group in interleaved rounds.
//!
//! A machine's speed drifts: by its clock, its temperature, its other work. So the cases are not measured one after the other but in
//! rounds, each of which takes one sample of every case and begins with another one. A figure is the median over the rounds.

use crate::group::{Case, Group};
use anyhow::{Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Calls before each sample, which fill caches and pools.
const WARM_UP: u64 = 64;
/// Threads that make calls together look at the time about so often.
const CHUNK: Duration = Duration::from_micros(50);
/// They make calls for so many times as long as a thread alone: what a lock costs depends on chance.
const CONTENDED: u32 = 3;

/// How long and how often is measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Effort {
    /// Rounds; a sample of each case in each.
    pub rounds: usize,
    /// A sample makes as many calls as take about so long.
    pub sample: Duration,
}

impl Effort {
    /// For figures that are to be believed.
    pub const FULL: Self = Self { rounds: 101, sample: Duration::from_millis(4) };
    /// Only to see that everything runs.
    pub const QUICK: Self = Self { rounds: 5, sample: Duration::from_micros(400) };
}

/// What one call takes, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Span {
    /// Half of the rounds took less.
    pub median: f64,
    /// One round in ten took less.
    pub low: f64,
    /// One round in ten took more.
    pub high: f64,
}

impl Span {
    /// The span of these samples; not a number if there are none.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let last = samples.len().saturating_sub(1) as f64;
        let at = |share: f64| samples.get((last * share).round() as usize).copied().unwrap_or(f64::NAN);
        Self { median: at(0.5), low: at(0.1), high: at(0.9) }
    }
}

/// Measures a group: a figure for each case, in their order.
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

/// How many calls take about so long.
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

/// Nanoseconds a call on one thread, after some that warm up: fewer where a call takes long.
fn alone(worker: &mut dyn FnMut(u64), calls: u64) -> f64 {
    worker(WARM_UP.min(calls.max(1)));
    let began = Instant::now();
    worker(calls);
    began.elapsed().as_nanos() as f64 / calls as f64
}

/// Nanoseconds a call while several threads make calls all the time.
///
/// Each goes on for a given time instead of a given number of calls: threads that make a given number overlap only as long as the faster one
/// takes, and a lock that one of them finds free all the while is measured without the other.
fn together(case: &Case, threads: usize, calls: u64, span: Duration, runtime: &Runtime) -> Result<f64> {
    let waiting = AtomicUsize::new(threads);
    let body = || {
        let _entered = runtime.enter();
        let mut worker = case.worker();
        worker(WARM_UP.min(calls.max(1)));
        // Spinning, since a thread that sleeps wakes up late.
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
