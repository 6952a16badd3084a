//! Measures the cases of a group in interleaved rounds.
//!
//! A machine's speed drifts: by its clock, its temperature, its other work. So the cases are not measured one after the other but in
//! rounds, each of which takes one sample of every case and begins with another one. A figure is the median over the rounds.

use crate::group::{Case, Group};
use anyhow::{Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

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
        calls.push(calibrate(case, group.threads, effort.sample, runtime)?);
    }
    let mut samples = vec![Vec::with_capacity(effort.rounds); group.cases.len()];
    for round in 0..effort.rounds {
        for turn in 0..group.cases.len() {
            let index = (round + turn) % group.cases.len();
            samples[index].push(sample(&group.cases[index], group.threads, calls[index], runtime)?);
        }
    }
    for case in &group.cases {
        ensure!(case.is_right(), "{}: {:?} answers otherwise after the measurement", group.id, case.name);
    }
    Ok(samples.into_iter().map(Span::of).collect())
}

/// How many calls take about as long as a sample shall.
fn calibrate(case: &Case, threads: usize, wanted: Duration, runtime: &Runtime) -> Result<u64> {
    let wanted = wanted.as_nanos() as f64;
    let mut calls = 64_u64;
    loop {
        let taken = sample(case, threads, calls, runtime)? * calls as f64;
        if taken * 2.0 >= wanted {
            return Ok(((wanted / taken) * calls as f64).max(1.0) as u64);
        }
        calls *= 2;
    }
}

/// One sample: nanoseconds that a call took, on the average of the threads.
fn sample(case: &Case, threads: usize, calls: u64, runtime: &Runtime) -> Result<f64> {
    if threads == 1 {
        return Ok(timed(&mut *case.worker(), calls, || {}).as_nanos() as f64 / calls as f64);
    }
    let barrier = Barrier::new(threads);
    let spans = thread::scope(|scope| {
        let body = || {
            let _entered = runtime.enter();
            timed(&mut *case.worker(), calls, || {
                barrier.wait();
            })
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(body)).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let mut sum = 0.0;
    for span in spans {
        sum += span.map_err(|_| anyhow!("{:?} panicked", case.name))?.as_nanos() as f64;
    }
    Ok(sum / threads as f64 / calls as f64)
}

/// The time of so many calls, after some that warm up caches and a wait until all are there.
fn timed(worker: &mut dyn FnMut(u64), calls: u64, meet: impl Fn()) -> Duration {
    worker(32);
    meet();
    let began = Instant::now();
    worker(calls);
    began.elapsed()
}
