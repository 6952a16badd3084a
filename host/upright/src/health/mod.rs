//! Checks whether Ollama, its models and this machine are fit to work.
//!
//! A check runs when things are bad and must not make them worse. It has one hard time limit, one request for all
//! models, and never waits for a load sample. Its message names the real cause: "connection refused" for an unknown
//! name would mislead.
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

pub use builder::{HealthCheckBuilder, Judge, ResourceReader};
pub use check::{HealthCheck, OLLAMA, RESOURCES};
pub use report::{HealthReport, HealthStatus};
#[doc(hidden)]
pub use resources::measure;
