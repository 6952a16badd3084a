//! `upright completions`: prints a shell's completion script.

use crate::arguments::Arguments;
use crate::exit::Exit;
use crate::output::Output;
use clap::CommandFactory;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright completions bash > ~/.local/share/bash-completion/completions/upright")]
pub(crate) struct CompletionsArguments {
    shell: Shell,
}

pub(crate) fn run(arguments: &CompletionsArguments, output: &Output) -> anyhow::Result<ExitCode> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "upright", &mut script);
    output.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success.into())
}
