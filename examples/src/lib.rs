//! Shared parts of the examples: arguments, server, and a narrator of recovery. Each program shows its recovery itself.

mod arguments;
mod voice;

pub use arguments::Arguments;
pub use voice::{narrated, sentence};

use anyhow::Context;
use upright::HealthCheck;
use upright::ollama::{BaseUrl, OllamaClient, Timeouts};

/// A client of the server in `OLLAMA_HOST`.
///
/// # Errors
/// If the variable is no address.
pub fn ollama(budgets: Timeouts) -> anyhow::Result<OllamaClient> {
    let address = BaseUrl::from_environment().context("OLLAMA_HOST")?;
    Ok(OllamaClient::builder(address).timeouts(budgets).build()?)
}

/// A health check of the server in `OLLAMA_HOST` and of this machine, with the simulated memory.
///
/// # Errors
/// If the variable is no address.
pub fn health(arguments: &Arguments) -> anyhow::Result<HealthCheck> {
    let check = HealthCheck::builder(BaseUrl::from_environment().context("OLLAMA_HOST")?);
    let check = match arguments.pretended_memory() {
        Some(snapshot) => check.resources(std::sync::Arc::new(move || snapshot)),
        None => check,
    };
    Ok(check.build()?)
}
