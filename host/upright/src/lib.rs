//! Error recovery for local-first AI programs.
//!
//! When a call to a model, a tool or a store fails, what to do next is decided by a [policy](policy): a pure WebAssembly component that can be
//! replaced while the program runs. Everything that touches the world is done here.
//!
//! Start with [`RetryStrategy`] for one call, [`CircuitBreaker`] for one service, or [`RecoveryManager`] for everything together.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod breaker;
pub mod budget;
pub mod checkpoints;
pub mod classifier;
pub mod clock;
mod configuration;
pub mod degradation;
pub mod error;
pub mod events;
pub mod fault;
pub mod health;
pub mod manager;
pub mod ollama;
pub mod operation;
pub mod policy;
pub mod random;
pub mod retry;
pub mod retry_after;
mod session;
pub mod store;
pub mod testing;
pub mod types;

pub use breaker::{CircuitBreaker, CircuitBreakers};
pub use budget::RetryBudget;
pub use classifier::ErrorClassifier;
pub use degradation::GracefulDegradation;
pub use error::Error;
pub use events::Event;
pub use health::{HealthCheck, HealthStatus};
pub use manager::RecoveryManager;
pub use operation::{Recovered, Served};
pub use policy::{Policy, PolicySlot};
pub use retry::RetryStrategy;
pub use session::Attempt;
pub use types::{BreakerConfig, ErrorCategory, ErrorSeverity, RetryConfig};
