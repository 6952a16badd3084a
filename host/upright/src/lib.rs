//! Error recovery for local-first AI programs.
//!
//! A call to a model, a tool or a store fails. A retry helps against some failures and makes others worse. Another
//! model can answer when the first cannot, and an answer from an hour ago may do. This crate reads what a failure
//! means and does what helps.
//!
//! A [policy] decides *what to do*: a pure WebAssembly component that can be replaced while the program runs. The
//! crate does everything that *touches the world*: calls, waits, clocks, state. The built-in policy decides by
//! default, and you need not know that it is there.
//!
//! # One call: [`RetryStrategy`]
//!
//! Waits longer before each retry, stops when a retry cannot help, and says why it stopped.
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
//! **An error that no rule knows is not retried,** and the log says so: a retry might repeat harm. Say what your own
//! errors mean by [`retry_if`](retry::RetryStrategyBuilder::retry_if), or retry all unknown ones by
//! [`on_unknown`](retry::RetryStrategyBuilder::on_unknown):
//!
//! ```
//! use upright::RetryStrategy;
//! use upright::driving::OnUnknown;
//!
//! # #[derive(Debug, thiserror::Error)]
//! # #[error("job {state}")]
//! # struct JobError { state: &'static str }
//! let jobs = RetryStrategy::builder().retry_if(|error: &JobError| error.state == "pending").build()?;
//! let anything = RetryStrategy::builder().on_unknown(OnUnknown::Retry).build()?;
//! # Ok::<(), upright::error::ConfigurationError>(())
//! ```
//!
//! # One service: [`CircuitBreaker`]
//!
//! Stops calling a failing service, and finds out by itself when the service works again. A caller's own mistakes do
//! not count.
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
//!     Err(Error::CircuitOpen(open)) => println!("rejected; try again in {:?}", open.time_left()),
//!     Err(error) => println!("{error}"),
//! }
//! # Ok(()) }
//! ```
//!
//! # One function: [`with_retry`](macro@with_retry), [`with_circuit_breaker`](macro@with_circuit_breaker)
//!
//! Attributes guard a function and keep its signature. All its calls share one strategy and one breaker.
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
//! Retries, a breaker for each model, other models, a cache, a fallback, checkpoints. The answer names its source.
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
//!     // Serves a cached answer without a call for a minute, and for a day if the call fails.
//!     .cache("sky")
//!     .fresh_for(Duration::from_secs(60))
//!     .stale_for(Duration::from_secs(86_400))
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
//! A policy that traps, takes too long or answers nonsense does no harm: the built-in logic answers in its place. A
//! policy that fails repeatedly is replaced by the one before it. [`PolicyLifecycle`] has the details.
//!
//! A manager runs its policy as a component. A strategy or a breaker by itself decides by the same code without
//! WebAssembly, with equal answers to the bit, until it is given a policy.
//!
//! # Which one do I need?
//!
//! | you want | take |
//! |---|---|
//! | to retry a call when a retry can help | [`RetryStrategy`], or in one line [`Retryable`] and [`RetryableBlocking`] |
//! | to guard a function as it is written | the attributes `with_retry` and `with_circuit_breaker` |
//! | to stop calling a service that is down | [`CircuitBreaker`]; one for each key: [`CircuitBreakers`] |
//! | to limit the retries of all callers together | [`RetryBudget`] |
//! | to limit concurrent calls | [`Bulkhead`] |
//! | to shorten slow calls | [`Hedge`] |
//! | another model, less work, an earlier answer | [`RecoveryManager`]; its parts by themselves: [`GracefulDegradation`] |
//! | to resume long work where it stopped | [`checkpoints`], kept in a [`store`] |
//! | to know what an error means | [`ErrorClassifier`]; [`fault`] reads errors |
//! | to know whether server, models and machine are healthy | [`HealthCheck`] |
//! | Ollama's answers whole or not at all | [`ollama`] |
//! | a loop of your own, or a binding to another language | [`driving`] |
//! | to look at decisions | [`journal`]; put to another policy by the crate `upright-operations` |
//! | to see what happens | [`events`], also through `tracing`; `metrics`, with the feature of this name |
//! | recovery in a stack of tower, or in a client of `reqwest-middleware` | `tower`, `reqwest_middleware`, with the features of these names |
//! | to test that your program recovers | `testing` first, `chaos` for failures on purpose, with the feature `testing` |
//! | to control time and randomness in tests | [`clock`], [`random`] |
//!
//! # The order of guards
//!
//! The order of a builder's calls does not matter. The guards of an attempt always stand in this order, outermost
//! first:
//!
//! ```text
//! deadline ▶ retries, other models ▶ circuit breaker ▶ bulkhead ▶ attempt timeout ▶ hedge ▶ your operation
//! ```
//!
//! A breaker rejects before any wait. The wait in a bulkhead's queue does not use up the attempt's time. Hedge
//! attempts share the attempt's limit and its place in the bulkhead. A fallback comes last and has no limit. The
//! deadline, the attempt timeout, the budget, the bulkhead and the hedge are off by default.
//!
//! Asynchronous functions wait with tokio's timer, or with another [`clock::Clock`].
//! [`RetryStrategy::execute_blocking`] and [`CircuitBreaker::call_blocking`] need no runtime. The repository's
//! `docs/patterns/` has a page for each pattern, with defaults and log lines.
//!
//! # Features
//!
//! On by default:
//!
//! - `manager`: [`RecoveryManager`], with `wasm`, `ollama` and `state`.
//! - `wasm`: WebAssembly policies and journals. Without it the built-in policy decides as native code.
//! - `ollama`: the client of Ollama, and health checks.
//! - `state`: stores that are opened by their address; `sqlite`: the store in a file.
//! - `anyhow`: operations that fail with `anyhow::Error` keep the type of the error inside, so it is classified by
//!   its type, and [`Error::downcast_ref`] finds it.
//! - `macros`: the attributes `#[with_retry]` and `#[with_circuit_breaker]`.
//!
//! Without default features: retries, breakers, budgets, bulkheads, hedges and checkpoints, with fewer than 40
//! dependencies.
//!
//! Off by default:
//!
//! - `metrics`: counters and histograms through the `metrics` facade.
//! - `nats`: the store `NatsStore`, which a fleet shares, in a NATS server with JetStream.
//! - `testing`: the modules `testing` and `chaos`, for tests of programs that recover.
//! - `tls`: `https` addresses of Ollama, by rustls with ring. Without it they are refused with a reason.
//! - `tower`: the module `tower`, with layers for stacks of tower.
//! - `reqwest-middleware`: the module `reqwest_middleware`, for clients of the crate of that name. Turns `anyhow` on.
//! - `wasi`: policies may import a WASI in which there is nothing.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

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
    RetryBudgets, RetryStrategy, Retryable, RetryableBlocking, budget, bulkhead, checkpoints, classifier, driving, error, events, hedge,
    retry, retryable, types,
};
#[cfg(feature = "testing")]
pub use upright_core::{chaos, testing};
#[cfg(feature = "wasm")]
pub use upright_runtime::{Policy, PolicyLifecycle};

/// Circuit breakers: stop calling a service that fails, and find out when it works again.
pub mod breaker {
    pub use upright_core::breaker::{CircuitBreakerBuilder, OwnedPermit, Permit, SavedState};
}

/// Time, from one trait, so that a test can drive it.
pub mod clock {
    pub use upright_core::clock::{AnchoredClock, Clock, Instant, SharedClock, Sleep, SystemClock};
}

/// Facts about failures, read from errors.
pub mod fault {
    pub use upright_core::fault::{DescribesItself, FaultReader, KnownFault, OperationError, fault_of, find_in_chain};
    pub use upright_protocol::parse_retry_after;
}

/// Journals of decisions.
#[cfg(feature = "wasm")]
pub mod journal {
    pub use upright_runtime::journal::{Entry, Journal, JournalBuilder, JournalCounts, JournalError, JournalText};
}

/// Policies: what decides about failures.
pub mod policy {
    pub use upright_core::policy::{PolicyFailure, PolicySlot};
    #[cfg(feature = "wasm")]
    pub use upright_runtime::{
        CONTRACT_VERSION, HistoryEntry, Policy, PolicyError, PolicyLifecycle, PolicyLoader, SlotCounts, Stage, SwapOptions,
        shadow::{Promotion, ShadowOptions, ShadowReport},
        signature::{PublicKey, SignatureError, Trust},
    };
}

/// Randomness, from one trait, so that a test can seed it.
pub mod random {
    pub use upright_core::random::{Random, SeededRandom, SharedRandom, SystemRandom};
}

/// Stores: where state is kept that outlives the call, and with a durable engine the process.
pub mod store {
    pub use upright_core::store::{
        Change, ChangeKind, Changes, Entry, KEY_LIMIT, Listed, MemoryStore, Store, StoreError, StoreFuture, VALUE_LIMIT,
    };
    #[cfg(feature = "sqlite")]
    pub use upright_state::FileStore;
    #[cfg(feature = "state")]
    pub use upright_state::StateAddress;
    #[cfg(feature = "nats")]
    pub use upright_state::{Connectivities, Connectivity, NatsOptions, NatsStore};
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

#[cfg(all(feature = "metrics", feature = "ollama"))]
use upright_core::events::metrics;

#[cfg(feature = "macros")]
pub use upright_macros::{with_circuit_breaker, with_retry};
