//! Error recovery for local-first AI programs.
//!
//! A call to a model, a tool or a store fails. Trying again helps against some failures and makes others worse; a second model can answer
//! what the first cannot; an answer from an hour ago may do. This crate finds out what a failure means and does what helps.
//!
//! *What to do* is decided by a [policy]: a pure WebAssembly component that can be replaced while the program runs. *Everything that touches
//! the world* (calls, waits, clocks, state) is done here. Without further ado the built-in policy decides; you need not know that it is there.
//!
//! # One call: [`RetryStrategy`]
//!
//! Waits longer each time, stops when trying again cannot help, and says why it stopped.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use upright::RetryStrategy;
//!
//! # let fetch = || async { Ok::<_, std::io::Error>("page") };
//! let retry = RetryStrategy::builder().max_retries(3).deadline(Duration::from_secs(30)).build()?;
//! match retry.execute(fetch).await {
//!     Ok(page) => println!("{page}"),
//!     Err(error) => println!("{error}; {:?}", error.failure().map(|failure| failure.classification.action.text())),
//! }
//! # Ok(()) }
//! ```
//!
//! # One service: [`CircuitBreaker`]
//!
//! Stops calling what is failing, and finds out by itself when it works again. Mistakes of the caller do not count against the service.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use upright::{CircuitBreaker, Error};
//!
//! # let search = || async { Ok::<_, std::io::Error>(["a hit"]) };
//! let breaker = CircuitBreaker::builder("vector-index").failure_threshold(5).recovery_timeout(Duration::from_secs(60)).build()?;
//! match breaker.call(search).await {
//!     Ok(hits) => println!("{hits:?}"),
//!     Err(Error::CircuitOpen(open)) => println!("not tried; again in {:?}", open.time_left()),
//!     Err(error) => println!("{error}"),
//! }
//! # Ok(()) }
//! ```
//!
//! # One function: [`with_retry`](macro@with_retry), [`with_circuit_breaker`](macro@with_circuit_breaker)
//!
//! The same before a function, which keeps its signature. All its calls share one strategy and one breaker.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::{with_circuit_breaker, with_retry};
//!
//! #[with_retry(max_retries = 3, backoff_factor = 2.0)]
//! #[with_circuit_breaker(failure_threshold = 5, recovery_timeout = 60.0)]
//! async fn fetch(path: &str) -> Result<String, upright::Error> {
//!     Ok(format!("what is at {path}"))
//! }
//!
//! assert_eq!(fetch("/page").await?, "what is at /page");
//! # Ok(()) }
//! ```
//!
//! # Everything together: [`RecoveryManager`]
//!
//! Retries, a breaker for each model, other models, a cache, a fallback, checkpoints. The answer says where it came from.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use upright::{RecoveryManager, Served};
//!
//! # async fn ask(model: &str, question: &str) -> Result<String, std::io::Error> { Ok(format!("{model}: {question}")) }
//! let manager = RecoveryManager::builder().fallback_models(["qwen3:8b", "gemma3:4b"]).build()?;
//! let recovered = manager
//!     .operation("chat")
//!     .model("qwen3:30b")
//!     // Served without asking for a minute, and for a day if nothing else can serve.
//!     .cache("sky").fresh_for(Duration::from_secs(60)).stale_for(Duration::from_secs(86_400))
//!     .fallback(|| async { Ok::<_, std::io::Error>("I cannot answer now.".to_owned()) })
//!     .run(|attempt| async move { ask(attempt.model(), "Why is the sky blue?").await })
//!     .await?;
//! assert_eq!(recovered.served, Served::Live);
//! assert_eq!(recovered.model.as_deref(), Some("qwen3:30b"));
//! # Ok(()) }
//! ```
//!
//! # Another policy
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::policy::SwapOptions;
//! use upright::{Policy, RecoveryManager};
//!
//! let manager = RecoveryManager::builder().build()?;
//! // At any time: calls in flight finish on the policy that they began with, and breakers keep their state.
//! manager.policy().swap(Policy::from_file("my-policy.wasm")?, &SwapOptions::default())?;
//! # Ok(()) }
//! ```
//!
//! A policy that traps, takes too long or answers nonsense does no harm: the same logic answers natively, and one that does so repeatedly
//! is replaced by the one before it. [`PolicySlot`] says more.
//!
//! # Which one do I need?
//!
//! | you want | take |
//! |---|---|
//! | a call to be tried again, when that can help | [`RetryStrategy`], or in one line [`Retryable`] and [`RetryableBlocking`] |
//! | the same for a function as it is written | the attributes `with_retry` and `with_circuit_breaker` |
//! | to stop calling what is down | [`CircuitBreaker`]; one for each key: [`CircuitBreakers`] |
//! | retries of all callers together not to multiply load | [`RetryBudget`] |
//! | no more calls at once than the service can bear | [`Bulkhead`] |
//! | slow calls to get quicker | [`Hedge`] |
//! | another model, less work, an earlier answer | [`RecoveryManager`]; its parts by themselves: [`GracefulDegradation`] |
//! | long work to go on where it stopped | [`checkpoints`], kept in a [`store`], by default in a file |
//! | to know what an error means, whatever its type | [`ErrorClassifier`]; [`fault`] is how errors are read |
//! | to know whether server, models and machine are fit to work | [`HealthCheck`] |
//! | Ollama's answers whole or not at all | [`ollama`] |
//! | to look at what was decided, and put it to another policy | [`journal`], [`policy::replay`] |
//! | to see what happens | [`events`], also through `tracing`; `metrics`, with the feature of this name |
//! | recovery in a stack of tower, or in a client of `reqwest-middleware` | `tower`, `reqwest_middleware`, with the features of these names |
//! | to test that your program recovers | [`testing`] first; [`chaos`] for failures on purpose |
//! | other time, other chance | [`clock`], [`random`] |
//!
//! # What stands outside what
//!
//! Whatever the order in which a strategy or an operation is described, an attempt is guarded in this order, outermost first:
//!
//! ```text
//! deadline ▶ retries, other models ▶ circuit breaker ▶ bulkhead ▶ attempt timeout ▶ hedge ▶ your operation
//! ```
//!
//! A breaker rejects before anything is waited for; the wait in a bulkhead's queue does not use up the attempt's time; rivals share the attempt's limit and its
//! place in the bulkhead. A fallback comes last and has no limit. Everything has a default but the deadline, the attempt timeout, the budget, the bulkhead and the
//! hedge: these are off until they are set.
//!
//! The asynchronous functions wait with tokio's timer, unless they are given another [`clock::Clock`]; [`RetryStrategy::execute_blocking`] and
//! [`CircuitBreaker::call_blocking`] need no runtime. The repository's `docs/patterns/` has a page for each pattern, with its defaults and what it logs.
//!
//! # Features
//!
//! - `anyhow` (on by default): operations that fail with `anyhow::Error` keep the type of the error inside, so it is classified by what it is
//!   and can be had back by [`Error::downcast_ref`].
//! - `macros` (on by default): the attributes `#[with_retry]` and `#[with_circuit_breaker]`.
//! - `sqlite` (on by default): `store::FileStore`, the store in a file.
//! - `metrics`: counters and histograms through the `metrics` facade.
//! - `nats`: the store `NatsStore`, which a fleet shares, in a NATS server with JetStream.
//! - `tls`: `https` addresses of Ollama, by rustls with ring. Without it they are refused with a reason.
//! - `tower`: the module `tower`, with layers for stacks of tower: `RecoveryLayer` and `CircuitBreakerLayer`.
//! - `reqwest-middleware`: the module `reqwest_middleware`, with `RecoveryMiddleware` for clients of the crate of that name. Turns `anyhow` on.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

// What this crate's own tests have in common with those outside it names it so.
#[cfg(test)]
extern crate self as upright;
#[cfg(test)]
#[path = "../tests/patient/mod.rs"]
mod patient;

#[cfg(feature = "manager")]
pub mod degradation;
#[cfg(feature = "ollama")]
pub mod health;
#[cfg(feature = "ollama")]
mod machine;
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod macro_support;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(feature = "ollama")]
pub mod ollama;
#[cfg(feature = "manager")]
pub mod operation;
#[cfg(doctest)]
mod pages;
#[cfg(feature = "reqwest-middleware")]
pub mod reqwest_middleware;
#[cfg(feature = "tower")]
pub mod tower;

pub use upright_core::{
    Attempt, Bulkhead, Bulkheads, CircuitBreaker, CircuitBreakers, Error, ErrorClassifier, Event, Hedge, PolicySlot, RetryBudget,
    RetryBudgets, RetryStrategy, Retryable, RetryableBlocking, breaker, budget, bulkhead, chaos, checkpoints, classifier, clock, driving,
    error, events, fault, hedge, random, retry, retryable, testing, types,
};
#[cfg(feature = "wasm")]
pub use upright_runtime::{Policy, PolicyLifecycle, journal};

/// How long a server asks to be left alone.
pub mod retry_after {
    pub use upright_protocol::parse_retry_after;
}

/// Policies: what decides about failures.
pub mod policy {
    pub use upright_core::policy::{Answer, Ask, Decider, Decision, Function, PolicyFailure, PolicySlot, Question, Recorder};
    #[cfg(feature = "wasm")]
    pub use upright_runtime::*;
}

/// Stores: where state is kept that outlives the call, and with a durable engine the process.
pub mod store {
    pub use upright_core::store::{
        Change, ChangeKind, Changes, Entry, KEY_LIMIT, Listed, MemoryStore, Store, StoreError, StoreFuture, VALUE_LIMIT,
    };
    #[cfg(feature = "manager")]
    pub(crate) use upright_core::store::{background, seal};
    #[cfg(feature = "state")]
    pub use upright_state::*;
}

#[cfg(feature = "manager")]
pub use degradation::GracefulDegradation;
#[cfg(feature = "ollama")]
pub use health::{HealthCheck, HealthStatus};
#[cfg(feature = "manager")]
pub use manager::RecoveryManager;
#[cfg(feature = "manager")]
pub use operation::{Recovered, Served};
pub use types::{BreakerConfig, ErrorCategory, ErrorSeverity, RetryConfig};

#[cfg(feature = "metrics")]
use upright_core::events::metrics;

#[cfg(feature = "macros")]
pub use upright_macros::{with_circuit_breaker, with_retry};

/// The attributes' pages, whose examples need this crate.
#[cfg(all(doctest, feature = "macros"))]
mod attributes {
    #[doc = include_str!("../../macros/docs/with_retry.md")]
    struct WithRetry;
    #[doc = include_str!("../../macros/docs/with_circuit_breaker.md")]
    struct WithCircuitBreaker;
}

/// The project's front page: its examples are compiled as those of this crate are.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
