//! Recovery as a middleware for the crate [`reqwest-middleware`](https://docs.rs/reqwest-middleware). Needs the feature
//! of that name.
//!
//! A status alone does not decide a retry: one server's 400 passes, another's 500 never will. [`RecoveryMiddleware`]
//! also gives the policy the error text and `Retry-After`. It repeats only safe requests, and finally returns the
//! response that plain `reqwest` would.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use reqwest_middleware::ClientBuilder;
//! use std::time::Duration;
//! use upright::RetryStrategy;
//! use upright::reqwest_middleware::{RecoveryMiddleware, Repeatable};
//!
//! let strategy = RetryStrategy::builder().max_retries(3).attempt_timeout(Duration::from_secs(30)).build()?;
//! let client = ClientBuilder::new(reqwest::Client::new()).with(RecoveryMiddleware::new(strategy)).build();
//! let models = client.get("http://127.0.0.1:11434/api/tags").send().await?.text().await?;
//! // A POST that does no harm when it is made twice.
//! let question = client.post("http://127.0.0.1:11434/api/embed").with_extension(Repeatable(true)).body("{}");
//! println!("{models} {}", question.send().await?.status());
//! # Ok(()) }
//! ```
//!
//! # What is a failure
//!
//! - **Status 4xx or 5xx.** The policy gets the status, `Retry-After`, the kind of route, and up to 4 KiB of the body.
//!   Reading the body takes at most one second. Temporary failures are retried, and a breaker counts the server's. A
//!   404 is neither.
//! - **No answer**: a connection refused or lost, a timeout.
//!
//! # What is repeated
//!
//! - Requests with an idempotent method by RFC 9110, section 9.2.2 (GET, HEAD, OPTIONS, TRACE, PUT, DELETE), or with
//!   the header `Idempotency-Key`. [`Repeatable`] in the extensions overrides both.
//! - All others only if the server did nothing: it was not reached, or refused (as by 429). They are not hedged.
//! - A streamed body is sent once.
//! - With `idempotent(false)` in the strategy every request counts as a POST unless it is [`Repeatable`].
//!
//! # What the caller gets
//!
//! An answer is `Ok` with status, headers and whole body. Otherwise an
//! [`Error::Middleware`](::reqwest_middleware::Error::Middleware) holds the [`crate::Error`], found by `downcast_ref`:
//! [`CircuitOpen`](crate::Error::CircuitOpen) if nothing was sent.
//!
//! Time limits end at an answer's headers. A long failed answer keeps its connection while a retry waits, since it may
//! be the last. A strategy has one breaker: give each server its own client.

mod body;
mod failed;
mod repeatable;

use failed::FailedResponse;
pub use repeatable::Repeatable;

use crate::driving::Attempt;
use crate::error::{BoxError, Error};
use crate::retry::RetryStrategy;
use ::reqwest_middleware::{Error as ClientError, Middleware, Next};
use http::Extensions;
use reqwest::{Request, Response};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use upright_core::clock::{Clock, Instant, between};
use upright_core::fault::OperationError;

/// Maximum time for reading an error text.
const PATIENCE: Duration = Duration::from_secs(1);

/// Retries a client's requests by a [`RetryStrategy`], behind its breaker. See [`crate::reqwest_middleware`].
#[derive(Clone)]
pub struct RecoveryMiddleware {
    given: RetryStrategy,
    harmless: RetryStrategy,
    harmful: RetryStrategy,
    once: RetryStrategy,
}

impl RecoveryMiddleware {
    /// A middleware whose clients share this strategy, with its breaker and retry budget.
    pub fn new(strategy: impl Into<RetryStrategy>) -> Self {
        let strategy = strategy.into();
        Self {
            harmless: strategy.with_idempotent(true),
            harmful: strategy.with_idempotent(false),
            once: strategy.without_retries(),
            given: strategy,
        }
    }

    fn strategy(&self, request: &Request, extensions: &Extensions) -> &RetryStrategy {
        if repeatable::is_stream(request) {
            return &self.once;
        }
        let said = extensions.get().map(|Repeatable(said)| *said);
        if said.unwrap_or_else(|| self.given.is_idempotent() && repeatable::is_safe(request)) { &self.harmless } else { &self.harmful }
    }
}

impl std::fmt::Debug for RecoveryMiddleware {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RecoveryMiddleware").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Middleware for RecoveryMiddleware {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response, ClientError> {
        let strategy = self.strategy(&request, extensions);
        let clock = &**strategy.shared().runtime.clock();
        let latest = Mutex::new(None);
        let (given, slot) = (&*extensions, &latest);
        let mut request = Some(request);
        let send = |attempt: Attempt| {
            let request = if strategy.may_repeat(&attempt) { request.as_ref().and_then(Request::try_clone) } else { request.take() };
            let (next, mut extensions) = (next.clone(), given.clone());
            let time = Time { clock, began: clock.now(), limit: attempt.time_left };
            async move {
                let outcome = next.run(request.ok_or(NothingToRepeat)?, &mut extensions).await;
                // The caller gets the extensions of other middlewares.
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(extensions);
                match outcome {
                    Ok(response) if is_failure(&response) => Err(FailedResponse::read(response, time).await.into()),
                    outcome => outcome.map_err(unwrapped),
                }
            }
        };
        let outcome = strategy.execute_accepting(send, |_| true).await;
        if let Some(latest) = latest.into_inner().unwrap_or_else(PoisonError::into_inner) {
            *extensions = latest;
        }
        outcome.or_else(|error| answered(error).map_err(ClientError::middleware))
    }
}

fn is_failure(response: &Response) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

/// Returns the inner error: the client's wrapper hides its type in the chain of causes.
fn unwrapped(error: ClientError) -> BoxError {
    match error {
        ClientError::Middleware(error) => error.into_boxed(),
        ClientError::Reqwest(error) => error.into(),
    }
}

fn answered(error: Error) -> Result<Response, Error> {
    let Error::Failed(mut failure) = error else { return Err(error) };
    match failure.source.downcast::<FailedResponse>() {
        Ok(answer) => Ok(answer.into_response()),
        Err(source) => {
            failure.source = source;
            Err(Error::Failed(failure))
        }
    }
}

struct Time<'a> {
    clock: &'a dyn Clock,
    began: Instant,
    limit: Option<Duration>,
}

impl Time<'_> {
    /// Half of the time left, so that an answer without its text still arrives in time.
    fn for_words(&self) -> Duration {
        let left = |limit: Duration| limit.saturating_sub(between(self.began, self.clock.now())) / 2;
        self.limit.map_or(PATIENCE, |limit| PATIENCE.min(left(limit)))
    }
}

/// More attempts than allowed: never seen, because such a policy is not followed.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be repeated: it is gone")]
struct NothingToRepeat;
