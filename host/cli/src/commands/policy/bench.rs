//! `upright policy bench`: measures the cost of each function.

use super::cases;
use crate::commands::loading::Loading;
use crate::exit::Exit;
use crate::output::Output;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use upright::Policy;
use upright_core::policy::Question;
use upright_runtime::EmptyCall;

/// Number of rounds; each measures everything, so that a slow phase hits all alike.
const ROUNDS: usize = 15;

const MEASUREMENT: Duration = Duration::from_millis(5);

/// Measure the cost of each function of a policy, beside a call of an empty component
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each number is the median over all rounds of the mean over the function's conformance questions.
Run it on a quiet machine.

Example: upright policy bench policy.wasm")]
pub(crate) struct BenchArguments {
    /// WebAssembly component [default: the built-in policy]
    file: Option<PathBuf>,

    #[command(flatten)]
    loading: Loading,
}

#[derive(Debug, Serialize)]
struct Cost {
    function: String,
    nanoseconds: f64,
    /// Multiple of an empty call.
    times_empty: f64,
}

pub(super) fn run(arguments: &BenchArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let policy = arguments.loading.load(arguments.file.as_deref())?;
    for cost in measure(&policy)? {
        if output.json {
            output.json_line(&cost)?;
        } else {
            let Cost { function, nanoseconds, times_empty } = cost;
            output.line(format_args!("{function:<30} {nanoseconds:>12.0} ns {times_empty:>9.1} ×"))?;
        }
    }
    Ok(Exit::Success.into())
}

fn measure(policy: &Policy) -> anyhow::Result<Vec<Cost>> {
    const EMPTY: &str = "an empty call";
    let mut functions: Vec<(String, Vec<Question>)> = Vec::new();
    for (vector, question) in cases::vectors()? {
        // Only asked when a policy is loaded.
        if matches!(question, Question::Describe {}) {
            continue;
        }
        match functions.iter_mut().find(|(function, _)| *function == vector.function) {
            Some((_, questions)) => questions.push(question),
            None => functions.push((vector.function, vec![question])),
        }
    }
    let mut empty = EmptyCall::new()?;
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); functions.len() + 1];
    for _ in 0..ROUNDS {
        samples[0].push(mean(1000, || (0..1000).try_for_each(|_| empty.call()))?);
        for ((_, questions), samples) in functions.iter().zip(&mut samples[1..]) {
            let ask_all = || questions.iter().try_for_each(|question| policy.answer(question).map(drop));
            samples.push(mean(questions.len(), ask_all)?);
        }
    }
    let medians: Vec<f64> = samples.iter_mut().map(|samples| median(samples)).collect();
    let names = std::iter::once(EMPTY.to_owned()).chain(functions.into_iter().map(|(function, _)| function));
    let cost = |(function, nanoseconds)| Cost { function, nanoseconds, times_empty: nanoseconds / medians[0] };
    Ok(names.zip(medians.iter().copied()).map(cost).collect())
}

/// Mean time of one call, nanoseconds; `calls` makes `count` calls.
fn mean<E>(count: usize, mut calls: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let (began, mut made) = (Instant::now(), 0);
    while began.elapsed() < MEASUREMENT || made == 0 {
        calls()?;
        made += count;
    }
    Ok(began.elapsed().as_nanos() as f64 / made as f64)
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_and_no_outlier_moves_it() {
        assert_eq!(median(&mut [5.0, 1e9, 4.0, 0.0, 6.0]), 5.0);
    }

    #[test]
    fn a_mean_is_of_calls_and_not_of_batches() {
        let mut calls = 0;
        mean(10, || {
            calls += 10;
            Ok::<_, ()>(())
        })
        .unwrap();
        assert!(calls >= 10);
        assert_eq!(mean(1, || Err::<(), _>("trap")), Err("trap"));
    }
}
