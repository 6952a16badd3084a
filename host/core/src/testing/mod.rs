//! Tests your code without waiting, chance or a server.
//!
//! Asynchronous tests need a runtime for `#[tokio::test]`:
//!
//! ```toml
//! [dev-dependencies]
//! tokio = { version = "1", features = ["macros", "rt"] }
//! ```
//!
//! - [`DrivenClock`]: time that your test drives or skips
//! - [`Script`]: operations with scripted outcomes
//! - [`TestPolicy`]: scripted decisions
//! - [`AwayStore`]: an unreachable store
//! - [`EventLog`]: events, in order
//! - [`FixedRandom`], [`SeededRandom`](crate::random::SeededRandom): repeatable chance
//! - [`Chaos`](crate::chaos::Chaos): seeded failures, delays and hangs
//!
//! # A first test
//!
//! Pass your code its strategy or manager, so that tests can change the clock. The body of a `#[tokio::test]`:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::io::{Error, ErrorKind::ConnectionRefused};
//! use upright::RetryStrategy;
//! use upright::testing::{DrivenClock, Script};
//!
//! // Your code.
//! async fn title<F: Future<Output = Result<String, Error>>>(retry: &RetryStrategy, fetch: impl FnMut() -> F) -> String {
//!     retry.execute(fetch).await.unwrap_or_else(|_| "no title".to_owned())
//! }
//!
//! let clock = DrivenClock::skipping();
//! let retry = RetryStrategy::builder().clock(clock.shared()).build().unwrap();
//! let fetch = Script::failing(2, || Error::from(ConnectionRefused)).then_ok("Upright".to_owned());
//! assert_eq!(title(&retry, || fetch.call()).await, "Upright");
//! assert_eq!((fetch.calls(), clock.waits().len()), (3, 2));
//! # }
//! ```
//!
//! A fourth call would panic, since the script has ended. [`Script`] also hangs, delays and panics.
//!
//! # Delays
//!
//! [`FixedRandom`] at its middle removes jitter:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::{io, sync::Arc, time::Duration};
//! use upright::RetryStrategy;
//! use upright::testing::FixedRandom;
//! use upright::testing::{DrivenClock, Script};
//!
//! let clock = DrivenClock::skipping();
//! let retry = RetryStrategy::builder().clock(clock.shared()).random(Arc::new(FixedRandom::middle())).build().unwrap();
//! let save = Script::always(|| Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)));
//! assert!(retry.execute(|| save.call()).await.is_err());
//! assert_eq!(clock.waits(), [1, 2, 4].map(Duration::from_secs));
//! # }
//! ```
//!
//! # Decisions
//!
//! Tests of *your* code should not depend on classification. [`TestPolicy`] decides as scripted and shows its
//! incidents:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::io;
//! use upright::RetryStrategy;
//! use upright::testing::{DrivenClock, Script, TestPolicy};
//! use upright::types::Directive;
//!
//! let policy = TestPolicy::new().directives([Directive::RetryAfter(0.0), Directive::GiveUp]);
//! let retry = RetryStrategy::builder().policy(policy.slot()).clock(DrivenClock::skipping().shared()).build().unwrap();
//! let parse = Script::failing(2, || io::Error::other("no such word")).then_ok(());
//! assert!(retry.execute(|| parse.call()).await.is_err());
//! assert_eq!(policy.incidents()[1].attempt, 1);
//! # }
//! ```
//!
//! # Events
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::{io, time::Duration};
//! use upright::testing::{DrivenClock, EventLog, Outcome, Script};
//! use upright::{Event, RetryStrategy, error::AttemptTimeout, events::Events};
//!
//! let (clock, events) = (DrivenClock::skipping(), Events::default());
//! let log = EventLog::of(&events);
//! let limited = RetryStrategy::builder().attempt_timeout(Duration::from_secs(5)).max_retries(1);
//! let retry = limited.clock(clock.shared()).events(events).build().unwrap();
//! let ask = Script::<(), io::Error>::new([Outcome::Hang, Outcome::Hang]);
//! let error = retry.execute(|| ask.call()).await.unwrap_err();
//! assert!(error.downcast_ref::<AttemptTimeout>().is_some());
//! assert_eq!(ask.cancelled(), 2);
//! assert!(matches!(
//!     log.take()[..],
//!     [Event::AttemptFailed { .. }, Event::RetryScheduled { .. }, Event::AttemptFailed { .. }, Event::GaveUp { .. }]
//! ));
//! # }
//! ```

mod clock;
mod log;
mod policy;
mod script;
mod store;

pub use crate::random::FixedRandom;
pub use clock::DrivenClock;
pub use log::EventLog;
pub use policy::TestPolicy;
pub use script::{Outcome, Script, ScriptEnded};
pub use store::AwayStore;
