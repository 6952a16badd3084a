//! Upright's core: decisions about failures, circuit breakers, retries and limits, without a WebAssembly engine and
//! without a network.
//!
//! Most programs add the crate `upright`, which re-exports this one. A library that only retries may add this crate
//! alone: the built-in policy then decides as native code.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod breaker;
pub mod budget;
pub mod bulkhead;
#[cfg(any(test, feature = "testing"))]
pub mod chaos;
pub mod checkpoints;
pub mod classifier;
pub mod clock;
#[doc(hidden)]
pub mod configuration;
pub mod driving;
pub mod error;
pub mod events;
pub mod fault;
pub mod hedge;
pub mod policy;
pub mod random;
mod registry;
pub mod retry;
pub mod retryable;
pub mod store;
#[doc(hidden)]
pub mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod types;

pub use breaker::{CircuitBreaker, CircuitBreakers};
pub use budget::{RetryBudget, RetryBudgets};
pub use bulkhead::{Bulkhead, Bulkheads};
pub use classifier::ErrorClassifier;
pub use driving::Attempt;
pub use error::Error;
pub use events::Event;
pub use hedge::Hedge;
pub use policy::PolicySlot;
pub use retry::RetryStrategy;
pub use retryable::{Retryable, RetryableBlocking};
pub use types::{BreakerConfig, ErrorCategory, ErrorSeverity, RetryConfig};
