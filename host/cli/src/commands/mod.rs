//! The commands, one module each.

pub(crate) mod address;
pub(crate) mod checkpoint;
pub(crate) mod classify;
pub(crate) mod completions;
// Needs process groups and signals.
#[cfg(unix)]
pub(crate) mod exec;
pub(crate) mod health;
mod import;
pub(crate) mod loading;
pub(crate) mod man;
pub(crate) mod policy;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod state;

use crate::exit::Failure;
use std::process::ExitCode;
use upright::ollama::{BaseUrl, ENVIRONMENT_VARIABLE};

pub(crate) fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // A pending name lookup would delay the exit.
    runtime.shutdown_background();
    outcome
}

pub(crate) fn address(flag: Option<BaseUrl>) -> Result<BaseUrl, Failure> {
    flag.map_or_else(|| BaseUrl::from_environment().map_err(|error| Failure::bad_input(format!("{ENVIRONMENT_VARIABLE}: {error}"))), Ok)
}
