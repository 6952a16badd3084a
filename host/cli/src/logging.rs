//! Logs to standard error on request.

use crate::exit::Failure;
use std::io::{self, IsTerminal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

const VARIABLE: &str = "RUST_LOG";

/// Prefix of the targets of this program's events.
const OWN: &str = "upright";

/// `usual` are the directives where nobody asked for any.
pub(crate) fn start(verbose: bool, usual: Option<&str>) -> anyhow::Result<()> {
    let Some(filter) = filter(verbose, usual)? else { return Ok(()) };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(is_coloured()).init();
    Ok(())
}

/// Starts the log beside a view of the events that people follow.
pub(crate) fn start_beside(view: impl Layer<Registry> + Send + Sync, verbose: bool, usual: Option<&str>) -> anyhow::Result<()> {
    let filter = filter(verbose, usual)?;
    let view = view.with_filter(Targets::new().with_target(OWN, LevelFilter::INFO));
    let log = filter.map(|filter| tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(is_coloured()).with_filter(filter));
    tracing_subscriber::registry().with(view).with(log).init();
    Ok(())
}

fn is_coloured() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never && io::stderr().is_terminal()
}

/// `None` for no log.
fn filter(verbose: bool, usual: Option<&str>) -> Result<Option<EnvFilter>, Failure> {
    let wanted = std::env::var(VARIABLE).ok().filter(|directives| !directives.trim().is_empty());
    let Some(directives) = wanted.as_deref().or(verbose.then_some("upright=debug")).or(usual) else { return Ok(None) };
    let filter = EnvFilter::try_new(directives);
    filter
        .map(Some)
        .map_err(|error| Failure::bad_input(format!("{VARIABLE} is {directives:?}: {error}; expected directives such as upright=debug")))
}
