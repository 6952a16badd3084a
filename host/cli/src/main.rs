//! The `upright` command: error recovery for local-first AI programs, from the shell.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod arguments;
mod commands;
mod demo;
mod exit;
mod logging;
mod output;
mod panics;
mod refusal;
mod values;

use arguments::{Arguments, Command};
use clap::Parser;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    panics::report_in_one_line();
    #[cfg(unix)]
    if let Some(served) = commands::exec::serve_another() {
        return served;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refusal::answer(&error),
    };
    let output = Output::new(arguments.json, arguments.color);
    run(arguments, &output).unwrap_or_else(|error| exit::report(&error))
}

fn run(arguments: Arguments, output: &Output) -> anyhow::Result<ExitCode> {
    let Arguments { command, verbose, .. } = arguments;
    if !matches!(command, Command::Serve(_)) {
        logging::start(verbose, None)?;
    }
    match command {
        Command::Run(arguments) => commands::block_on(commands::run::run(arguments, output)),
        #[cfg(unix)]
        Command::Exec(arguments) => commands::block_on(commands::exec::run(arguments, output)),
        Command::Health(arguments) => commands::block_on(commands::health::run(arguments, output)),
        Command::Classify(arguments) => commands::classify::run(&arguments, output),
        Command::Policy(arguments) => commands::policy::run(&arguments, output),
        Command::Replay(arguments) => commands::replay::run(&arguments, output),
        Command::Checkpoint(arguments) => commands::block_on(commands::checkpoint::run(arguments, output)),
        Command::State(arguments) => commands::block_on(commands::state::run(arguments, output)),
        Command::Serve(arguments) => commands::block_on(commands::serve::run(arguments, verbose, output)),
        Command::Demo(arguments) => commands::block_on(demo::run(arguments, output)),
        Command::Completions(arguments) => commands::completions::run(&arguments, output),
        Command::Man(arguments) => commands::man::run(&arguments, output),
    }
}
