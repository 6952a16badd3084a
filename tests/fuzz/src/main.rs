//! `cargo run --release -p upright-fuzz -- [components|arguments|both|requests] (--seconds|--iterations) N [--seed S]`
//!
//! A worker process notes each iteration, so that a case that kills or hangs it is found too.

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};
use upright_fuzz::campaign::{self, Limit, Plan, Report};
use upright_fuzz::corpus::{self, Corpus};
use upright_fuzz::targets::Target;
use upright_fuzz::targets::arguments::Arguments;
use upright_fuzz::targets::components::Components;
use upright_fuzz::targets::requests::Requests;

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);
const SHOWN: usize = 2000;
const FOUND: u8 = 1;

/// Finds components and arguments that break the policy runtime, and requests that the gateway misreads.
#[derive(Parser)]
struct Options {
    /// Target to fuzz
    #[arg(value_enum, default_value = "both")]
    target: Which,
    /// Stop each target after this many seconds
    #[arg(long, value_name = "N", required_unless_present = "iterations")]
    seconds: Option<u64>,
    /// Stop each target after this many iterations
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    iterations: Option<u64>,
    /// Equal seeds give equal cases
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The first iteration, to repeat one
    #[arg(long, value_name = "I", default_value_t = 0)]
    from: u64,
    /// File for the worker's iteration
    #[arg(long, hide = true)]
    worker: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Components,
    Arguments,
    Both,
    Requests,
}

impl Which {
    const fn name(self) -> &'static str {
        match self {
            Self::Components => Components::NAME,
            Self::Arguments => Arguments::NAME,
            Self::Both => "both",
            Self::Requests => Requests::NAME,
        }
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some(note) = &options.worker {
        return work(&options, note);
    }
    let targets = match options.target {
        Which::Both => vec![Which::Components, Which::Arguments],
        one => vec![one],
    };
    let mut found = false;
    for target in targets {
        found |= watch(&options, target)?;
    }
    if !found {
        println!("nothing found");
    }
    Ok(if found { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

fn crashes() -> PathBuf {
    corpus::root().join("crashes")
}

fn watch(options: &Options, target: Which) -> Result<bool> {
    let note = std::env::temp_dir().join(format!("upright-fuzz-{}-{}", std::process::id(), target.name()));
    let mut command = Command::new(std::env::current_exe().context("cannot tell which program this is")?);
    command.arg(target.name()).arg("--seed").arg(options.seed.to_string()).arg("--from").arg(options.from.to_string());
    match (options.seconds, options.iterations) {
        (Some(seconds), _) => command.arg("--seconds").arg(seconds.to_string()),
        (None, iterations) => command.arg("--iterations").arg(iterations.unwrap_or_default().to_string()),
    };
    let mut worker = command.arg("--worker").arg(&note).spawn().context("cannot start the worker")?;
    let (mut seen, mut since) = (String::new(), Instant::now());
    let ended = loop {
        if let Some(status) = worker.try_wait()? {
            break Some(status);
        }
        let now = std::fs::read_to_string(&note).unwrap_or_default();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            worker.kill()?;
            worker.wait()?;
            break None;
        }
        thread::sleep(LOOK);
    };
    let iteration = std::fs::read_to_string(&note).unwrap_or_default().trim().parse::<u64>();
    // It may never have been written.
    let _ = std::fs::remove_file(&note);
    let how = match ended {
        Some(status) if status.success() => return Ok(false),
        Some(status) if status.code() == Some(FOUND.into()) => return Ok(true),
        Some(status) => died(status),
        None => format!("took longer than {} s", PATIENCE.as_secs()),
    };
    let iteration = iteration.with_context(|| format!("{}: the worker {how} before the first iteration", target.name()))?;
    let corpus = Corpus::read()?;
    let files = match target {
        Which::Requests => campaign::write_down(&Requests::default(), options.seed, iteration, &crashes())?,
        Which::Components => campaign::write_down(&Components::new(&corpus), options.seed, iteration, &crashes())?,
        _ => campaign::write_down(&Arguments::new(&corpus)?, options.seed, iteration, &crashes())?,
    };
    println!("{}: FOUND: iteration {iteration} of seed {} {how}", target.name(), options.seed);
    files.iter().for_each(|file| println!("  written to {}", file.display()));
    Ok(true)
}

fn shown(text: &str) -> String {
    if text.len() <= SHOWN { text.to_owned() } else { format!("{} … ({} bytes)", &text[..text.floor_char_boundary(SHOWN)], text.len()) }
}

fn died(status: ExitStatus) -> String {
    format!("ended the process ({status})")
}

fn work(options: &Options, note: &Path) -> Result<ExitCode> {
    std::panic::set_hook(Box::new(|panic| {
        // The main thread's panics are caught and reported; others would go unnoticed.
        if thread::current().name() != Some("main") {
            eprintln!("on another thread: {panic}");
            std::process::abort();
        }
    }));
    let limit = match (options.seconds, options.iterations) {
        (Some(seconds), _) => Limit::Time(Duration::from_secs(seconds)),
        (None, iterations) => Limit::Iterations(iterations.unwrap_or_default()),
    };
    let plan = Plan { seed: options.seed, from: options.from, limit };
    let mut file = File::create(note).with_context(|| format!("cannot write {}", note.display()))?;
    let begins = |iteration: u64| {
        let _ = file.seek(SeekFrom::Start(0)).and_then(|_| write!(file, "{iteration:20}"));
    };
    let corpus = Corpus::read()?;
    let started = Instant::now();
    let report = match options.target {
        Which::Requests => campaign::run(&Requests::default(), plan, &crashes(), begins),
        Which::Components => campaign::run(&Components::new(&corpus), plan, &crashes(), begins),
        _ => campaign::run(&Arguments::new(&corpus)?, plan, &crashes(), begins),
    };
    Ok(tell(options, &report, started.elapsed()))
}

fn tell(options: &Options, report: &Report, took: Duration) -> ExitCode {
    let name = options.target.name();
    println!("{name}: {} iterations of seed {} from {} on, in {:.1} s", report.iterations, options.seed, options.from, took.as_secs_f64());
    for (what, how_often) in &report.tally {
        println!("  {how_often:>9}  {what}");
    }
    println!("  memory: {} MiB in the beginning, {} MiB in the end", report.memory.0 >> 20, report.memory.1 >> 20);
    let Some(finding) = &report.finding else { return ExitCode::SUCCESS };
    println!("{name}: FOUND in iteration {} of seed {}: {}", finding.iteration, options.seed, shown(&finding.broken.to_string()));
    println!("the smallest case that still fails: {}", shown(&finding.smallest));
    finding.files.iter().for_each(|file| println!("  written to {}", file.display()));
    if let Some(error) = &finding.not_written {
        println!("  not written: {error}");
    }
    println!("again: upright-fuzz {name} --seed {} --from {} --iterations 1", options.seed, finding.iteration);
    ExitCode::from(FOUND)
}
