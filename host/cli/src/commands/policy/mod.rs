//! `upright policy`: inspects, calls, creates, signs and swaps policies.

mod bench;
mod build;
mod cases;
mod compared;
mod diff;
mod eval;
mod fleet;
mod inspect;
pub(crate) mod keys;
mod new;
mod running;
mod test;

use crate::output::{FAINT, Output};
use std::process::ExitCode;

/// Inspect, call, create and sign policies, and swap them into running programs
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArguments {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyCommand {
    Inspect(inspect::InspectArguments),
    Eval(eval::EvalArguments),
    New(new::NewArguments),
    Build(build::BuildArguments),
    Test(test::TestArguments),
    Bench(bench::BenchArguments),
    Diff(diff::DiffArguments),
    Keygen(keys::KeygenArguments),
    Sign(keys::SignArguments),
    Verify(keys::VerifyArguments),
    Swap(running::SwapArguments),
    Shadow(running::ShadowArguments),
    Rollback(running::RollbackArguments),
    History(running::HistoryArguments),
    Publish(fleet::PublishArguments),
    Fleet(fleet::FleetArguments),
}

pub(crate) fn run(arguments: &PolicyArguments, output: &Output) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        PolicyCommand::Inspect(arguments) => inspect::run(arguments, output),
        PolicyCommand::Eval(arguments) => eval::run(arguments, output),
        PolicyCommand::New(arguments) => new::run(arguments, output),
        PolicyCommand::Build(arguments) => build::run(arguments, output),
        PolicyCommand::Test(arguments) => test::run(arguments, output),
        PolicyCommand::Bench(arguments) => bench::run(arguments, output),
        PolicyCommand::Diff(arguments) => diff::run(arguments, output),
        PolicyCommand::Keygen(arguments) => keys::keygen(arguments, output),
        PolicyCommand::Sign(arguments) => keys::sign(arguments, output),
        PolicyCommand::Verify(arguments) => keys::verify(arguments, output),
        PolicyCommand::Swap(arguments) => running::swap(arguments, output),
        PolicyCommand::Shadow(arguments) => running::shadow(arguments, output),
        PolicyCommand::Rollback(arguments) => running::rollback(arguments, output),
        PolicyCommand::History(arguments) => running::history(arguments, output),
        PolicyCommand::Publish(arguments) => fleet::publish(arguments, output),
        PolicyCommand::Fleet(arguments) => fleet::fleet(arguments, output),
    }
}

fn row(name: &str, value: &str, output: &Output) -> String {
    format!("{}  {value}\n", output.paint(FAINT, format_args!("{name:<8}")))
}
