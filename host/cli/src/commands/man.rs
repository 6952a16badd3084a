//! `upright man`: writes the manual pages.

use crate::arguments::Arguments;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use clap::CommandFactory;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the manual pages, one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright man ~/.local/share/man/man1 && man upright-run")]
pub(crate) struct ManArguments {
    /// Folder of the pages; made if it is missing
    dir: PathBuf,
}

pub(crate) fn run(arguments: &ManArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let dir = &arguments.dir;
    let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Arguments::command(), dir));
    written.map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}; expected a folder that can be written to", dir.display())))?;
    if output.json {
        output.json_line(&json!({ "dir": dir.display().to_string() }))?;
    } else {
        output.line(format_args!("{}: the pages upright.1, upright-run.1 and so on", dir.display()))?;
    }
    Ok(Exit::Success.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_a_page_for_every_command_with_its_options() {
        let folder = std::env::temp_dir().join(format!("upright-man-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        clap_mangen::generate_to(Arguments::command(), &folder).unwrap();
        for command in Arguments::command().get_subcommands() {
            let page = fs::read_to_string(folder.join(format!("upright-{}.1", command.get_name()))).unwrap();
            assert!(page.contains("NAME"), "{}: {page}", command.get_name());
        }
        let page = fs::read_to_string(folder.join("upright-policy-swap.1")).unwrap();
        assert!(page.contains("home"), "{page}");
        fs::remove_dir_all(folder).unwrap();
    }
}
