//! Cost of the command `upright` as a whole process.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use upright_benches::asked::Asked;
use upright_benches::group::Target;
use upright_benches::machine::Machine;
use upright_benches::measure::{Effort, Span};
use upright_benches::report::{Measured, Row, Section, keep};

const CLASSIFY: &str = "`upright classify`";
const VERSION: &str = "`upright --version`";
const EMPTY: &str = "`true`, a process that does nothing";
const METHOD: &str = "Each process is started, its output read by nobody, and waited for; the median over rounds, in each of which every \
                      process runs once.";

fn main() -> Result<()> {
    let Asked { effort, report, groups } = Asked::of_program()?;
    if !groups.is_empty() && !groups.iter().any(|wanted| wanted == "process") {
        return Ok(());
    }
    let machine = Machine::here();
    let upright = build()?;
    let upright = upright.to_str().context("the target folder's path is no text")?;
    let classify = ["classify", "--status", "503", "--endpoint", "chat", "server busy, please try again"];
    let programs = [(CLASSIFY, upright, &classify[..]), (VERSION, upright, &["--version"]), (EMPTY, "true", &[])];
    let rounds = if effort.rounds == Effort::QUICK.rounds { 3 } else { 201 };
    let mut samples = vec![Vec::with_capacity(rounds); programs.len()];
    for round in 0..rounds + 1 {
        for turn in 0..programs.len() {
            let index = (round + turn) % programs.len();
            let (_, program, arguments) = programs[index];
            let taken = run(program, arguments)?;
            if round > 0 {
                samples[index].push(taken);
            }
        }
    }
    let rows: Vec<_> = programs
        .iter()
        .zip(samples)
        .map(|((name, ..), samples)| Row { name: (*name).into(), span: Span::of(samples), allocated: None })
        .collect();
    let verdicts = vec![Target::Nanoseconds { case: CLASSIFY, at_most: 30e6 }.judge(&rows)];
    let measured = Measured {
        id: "process".into(),
        title: "The command as a whole process".into(),
        note: "The release build; `classify` decides natively and never starts the WebAssembly engine.".into(),
        reference: EMPTY.into(),
        rows,
        verdicts,
    };
    println!("{}", measured.markdown());
    if report {
        println!("{}", keep("process", &Section { machine, method: METHOD.into(), groups: vec![measured] })?.display());
    }
    Ok(())
}

/// Builds the command in this target folder, so as not to measure an old one.
fn build() -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "-p", "upright-cli"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    ensure!(status.context("cannot run cargo")?.success(), "the command cannot be built");
    // target/release/deps/program
    let folder = std::env::current_exe()?.ancestors().nth(2).context("this program lies in no target folder")?.to_owned();
    let program = folder.join("upright").with_extension(std::env::consts::EXE_EXTENSION);
    ensure!(program.exists(), "{} was not built", program.display());
    Ok(program)
}

fn run(program: &str, arguments: &[&str]) -> Result<f64> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    let taken = began.elapsed();
    ensure!(status.success(), "{program} {arguments:?}: {status}");
    Ok(taken.as_nanos() as f64)
}
