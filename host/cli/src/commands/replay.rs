//! `upright replay`: replays a journal with another policy.

mod journals;
mod table;

use crate::commands::loading::Loading;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use journals::Journal;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use upright_operations::replay::{Replay, ReplayReport, Replayer};

/// Replay the decisions of a journal with another policy, and show the differences
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: upright replay journal.jsonl.1 journal.jsonl --policy my-policy.wasm
          upright replay /var/lib/my-program --policy new.wasm --against old.wasm --fail-on-change")]
pub(crate) struct ReplayArguments {
    /// Journals, oldest first; a folder stands for its journals, - for standard input
    #[arg(required = true, value_name = "JOURNAL")]
    journals: Vec<PathBuf>,

    /// Policy to replay with, a WebAssembly component [default: the built-in policy]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Policy to compare with [default: the answers in the journal]
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,

    /// End with exit code 1 if any decision differs
    #[arg(long)]
    fail_on_change: bool,

    #[command(flatten)]
    loading: Loading,
}

/// Differs each time, so not part of the report.
#[derive(Serialize)]
struct Rate {
    decisions: u64,
    seconds: f64,
    decisions_per_second: f64,
}

pub(crate) fn run(arguments: &ReplayArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let journals = journals::find(&arguments.journals)?;
    let replayer = |file| replayer(arguments.loading, file);
    let policy = replayer(arguments.policy.as_deref())?;
    let against = arguments.against.as_deref().map(|file| replayer(Some(file))).transpose()?;
    let begun = Instant::now();
    let report = replay(&journals, Replay::new(policy, against))?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = Rate { decisions: report.entries, seconds, decisions_per_second: report.entries as f64 / seconds.max(f64::MIN_POSITIVE) };
    if output.json {
        output.json_line(&report)?;
        output.json_line(&rate)?;
    } else {
        output.print(&table::of(&report, output))?;
        let Rate { decisions, seconds, decisions_per_second } = rate;
        output.line(format_args!("{decisions} decisions in {seconds:.3} s, {decisions_per_second:.0} a second"))?;
    }
    let failed = arguments.fail_on_change && report.differing > 0;
    Ok(if failed { Exit::Failed } else { Exit::Success }.into())
}

fn replay(journals: &[Journal], mut replay: Replay) -> Result<ReplayReport, Failure> {
    for journal in journals {
        replay.begin(&journal.name());
        journal.read(&mut replay)?;
    }
    Ok(replay.report())
}

fn replayer(loading: Loading, file: Option<&Path>) -> Result<Replayer, Failure> {
    Replayer::new(loading.load(file)?).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}
