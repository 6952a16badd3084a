//! Guarded calls: strategies, breakers, limits, the manager, and the attributes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod breaker;
mod bulkhead;
mod driving;
mod hedge;
#[cfg(all(feature = "macros", feature = "anyhow"))]
mod macros;
mod manager;
mod one_flight;
mod operation;
mod own_errors;
mod retry;
mod retryable;
mod slow_calls;
