//! Layers for [tower](https://docs.rs/tower). Needs the feature `tower`.
//!
//! Some services panic when called before they are ready. [`RecoveryLayer`] calls the instance that its caller made
//! ready, and makes a clone ready for each retry. [`CircuitBreakerLayer`] is a breaker alone, for requests that cannot
//! be cloned.
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
//! - **Readiness** is the inner service's. An open breaker leaves a service ready, since nothing would wake a waiting
//!   caller; it rejects the call with [`Error::CircuitOpen`](crate::Error::CircuitOpen). Waiting for readiness counts
//!   only in retries: against timeout and deadline.
//! - **Clones** share breaker and retry budget, and must be polled ready.
//! - **Dropping** a response's future ends the call or wait, and returns a probe's permit.
//! - **Errors** are [`crate::Error`]. A failed readiness is [`Error::NotReady`](crate::Error::NotReady), which no
//!   breaker counts. [`Error::downcast_ref`](crate::Error::downcast_ref) finds the service's own error.

mod accept;
mod breaker;
mod recovery;

pub use accept::{Accept, AcceptAll};
pub use breaker::{CircuitBreakerFuture, CircuitBreakerLayer, CircuitBreakerService};
pub use recovery::{Recovery, RecoveryFuture, RecoveryLayer};
