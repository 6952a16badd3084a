//! The top level of the command line; the options of each command are declared in its module.

#[cfg(unix)]
use crate::commands::exec;
use crate::commands::{checkpoint, classify, completions, health, man, policy, replay, run, serve, state};
use crate::demo;
use crate::exit::EXIT_CODES;
use crate::output::ColorWhen;
use clap::{Parser, Subcommand};

const GLOBAL: &str = "Options of all commands";

/// Error recovery for local-first AI programs
#[derive(Debug, Parser)]
#[command(name = "upright", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Arguments {
    /// Print data as JSON, one object per line
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,

    /// When to use colours; auto uses them on a terminal unless NO_COLOR is set
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorWhen,

    /// Log internals to standard error; RUST_LOG selects what is logged
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::RunArguments),
    #[cfg(unix)]
    Exec(exec::ExecArguments),
    Health(health::HealthArguments),
    Classify(classify::ClassifyArguments),
    Policy(policy::PolicyArguments),
    Replay(replay::ReplayArguments),
    Checkpoint(checkpoint::CheckpointArguments),
    State(state::StateArguments),
    Serve(serve::ServeArguments),
    Demo(demo::DemoArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
