//! What the example programs share: their arguments, the server, and a voice that tells what recovery does as it does it.
//!
//! It holds no recovery of its own: each program shows that by itself.

mod arguments;
mod voice;

pub use arguments::Arguments;
pub use voice::{narrated, sentence};

use anyhow::Context;
use upright::HealthCheck;
use upright::clock::SystemClock;
use upright::ollama::{BaseUrl, Budgets, OllamaClient};

/// A client of the server that `OLLAMA_HOST` names.
///
/// # Errors
/// Where the variable cannot be read as an address.
pub fn ollama(budgets: Budgets) -> anyhow::Result<OllamaClient> {
    let address = BaseUrl::from_environment().context("OLLAMA_HOST")?;
    Ok(OllamaClient::new(address, budgets, SystemClock::shared())?)
}

/// A health check of the same server and of this machine, whose memory is as the arguments pretend.
///
/// # Errors
/// As [`ollama`].
pub fn health(arguments: &Arguments) -> anyhow::Result<HealthCheck> {
    let check = HealthCheck::builder(BaseUrl::from_environment().context("OLLAMA_HOST")?);
    let check = match arguments.pretended_memory() {
        Some(snapshot) => check.resources(std::sync::Arc::new(move || snapshot)),
        None => check,
    };
    Ok(check.build()?)
}
