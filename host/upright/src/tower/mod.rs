//! Layers for stacks of [tower](https://docs.rs/tower). Needs the feature `tower`.
//!
//! Retries that ignore tower's contract work until they meet a service that counts on it: one that panics, or has no room, when it is
//! called without having been made ready. [`RecoveryLayer`] calls the very instance that its caller made ready, and each retry makes a clone
//! ready before it calls it. [`CircuitBreakerLayer`] is a breaker alone, for requests that cannot be cloned.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use upright::RetryStrategy;
//! use upright::tower::RecoveryLayer;
//!
//! let strategy = RetryStrategy::builder().max_retries(3).attempt_timeout(Duration::from_secs(10)).build()?;
//! let mut service = ServiceBuilder::new()
//!     .layer(RecoveryLayer::new(strategy).accepting(|status: &u16| *status < 500))
//!     // Below the recovery: it limits attempts, and a wait for a retry holds no place.
//!     .concurrency_limit(8)
//!     .service(service_fn(|path: &'static str| async move { Ok::<_, std::io::Error>(path.len() as u16) }));
//! assert_eq!(service.ready().await?.call("/models").await?, 7);
//! # Ok(()) }
//! ```
//!
//! # Where the layer is in the way of nothing
//!
//! - **Readiness** is the inner service's own. An open breaker does not make a service unready: nothing would wake its caller when it closes,
//!   so the call is rejected instead, with [`Error::CircuitOpen`](crate::Error::CircuitOpen). The time that a caller waits for readiness
//!   before the call is its own; in a retry it counts against the attempt's limit and the deadline.
//! - **Clones** share breaker and budget, and are not ready until they are polled.
//! - **Dropping** a response's future ends the call or the wait; nothing stays counted, and a probe's permit is given back.
//! - **Errors** are [`crate::Error`]. One of the inner service's readiness is [`Error::NotReady`](crate::Error::NotReady); no breaker
//!   counts it. [`Error::downcast_ref`](crate::Error::downcast_ref) finds the service's own error in both cases.

mod accept;
mod breaker;
mod recovery;

pub use accept::{Accept, AcceptAll};
pub use breaker::{CircuitBreakerFuture, CircuitBreakerLayer, CircuitBreakerService};
pub use recovery::{Recovery, RecoveryFuture, RecoveryLayer};
