//! One guarded operation without a driver: for gateways, bindings to other languages, and programs with a loop of
//! their own.
//!
//! A [`Run`] keeps the state of an operation and gives the next [`Step`]. It neither waits nor calls anything, and it
//! takes [`Facts`] in place of errors. [`RetryStrategy`](crate::RetryStrategy) and the manager are drivers over it.
//!
//! ```
//! use upright::RetryStrategy;
//! use upright::driving::{Run, Step};
//! use upright::types::{Fault, FaultKind};
//!
//! let strategy = RetryStrategy::builder().max_retries(1).jitter(false).build()?;
//! let mut run = Run::begin(&strategy);
//! assert!(matches!(run.admit(), Step::Attempt(attempt) if attempt.number == 1));
//! // The call failed.
//! let step = run.failed(Fault::new(FaultKind::ConnectionRefused, "connection refused"));
//! assert!(matches!(step, Step::Wait(delay) if delay.as_secs() == 1));
//! // After the wait:
//! assert!(matches!(run.admit(), Step::Attempt(attempt) if attempt.number == 2));
//! run.succeeded();
//! # Ok::<(), upright::error::ConfigurationError>(())
//! ```

mod context;
mod drive;
mod facts;
mod run;
mod settings;

pub use context::{Alone, OperationContext};
#[doc(hidden)]
pub use drive::{Ending, Mode, drive, outcome_error, poll_limit, within};
pub use facts::Facts;
#[doc(hidden)]
pub use run::Finish;
pub use run::{Attempt, End, Rejected, Run, Step};
pub(crate) use settings::RetryIf;
pub use settings::{OnUnknown, Runtime, Settings};
