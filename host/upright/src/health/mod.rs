//! Whether Ollama, its models and this machine are fit to work.
//!
//! A health check is asked when things are bad, so it must not make them worse: each check has one hard limit of time however slowly
//! the server drips, all models together cost one request, and reading the machine's load never waits for a sample.
//! And its message must be worth reading: "connection refused" for an unknown name sends people to the wrong place.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::health::HealthCheck;
//! use upright::ollama::BaseUrl;
//!
//! let health = HealthCheck::new(BaseUrl::from_environment()?)?;
//! for status in &health.check_all(&["qwen3:8b", "gemma3:4b"]).await {
//!     println!("{}: {} - {}", status.component, if status.healthy { "OK" } else { "FAIL" }, status.message);
//! }
//! # Ok(()) }
//! ```

mod builder;
mod check;
mod cpu;
pub(crate) mod disk;
mod explain;
mod report;
mod resources;

pub use builder::{DEFAULT_TIMEOUT, HealthCheckBuilder, Judge, ResourceReader};
pub use check::{HealthCheck, OLLAMA, RESOURCES};
pub use report::{HealthReport, HealthStatus};
pub use resources::{ResourceProbe, models_directory};
