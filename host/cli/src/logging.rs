//! Logs to standard error on request.

use crate::exit::Failure;
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

const VARIABLE: &str = "RUST_LOG";

/// `usual` are the directives where nobody asked for any.
pub(crate) fn start(verbose: bool, usual: Option<&str>) -> anyhow::Result<()> {
    let wanted = std::env::var(VARIABLE).ok().filter(|directives| !directives.trim().is_empty());
    let directives = match (&wanted, verbose) {
        (Some(directives), _) => directives.as_str(),
        (None, true) => "upright=debug",
        (None, false) => match usual {
            Some(usual) => usual,
            None => return Ok(()),
        },
    };
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| Failure::bad_input(format!("{VARIABLE} is {directives:?}: {error}; expected directives such as upright=debug")))?;
    let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never && io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour).init();
    Ok(())
}
