//! Recovery as a middleware of the crate [`reqwest-middleware`](https://docs.rs/reqwest-middleware). Needs the feature of that name.
//!
//! A status says too little of what to do: one server's 400 passes and another's 500 never will; the words beside it, and `Retry-After`, say
//! more. And repeating a request may do its work twice. So [`RecoveryMiddleware`] puts status, wait and words before the policy, repeats
//! only what is safe to repeat, and in the end gives the caller what plain `reqwest` would.
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
//! - **An answer with status 4xx or 5xx.** The policy gets the status, `Retry-After` (seconds or a date), what kind of route it was, and up to
//!   4 KiB of the body's text, for which it waits at most a second. It tries again what passes, and a breaker counts what speaks against the
//!   server: a 404 does neither.
//! - **No answer**: a connection that is refused or lost, a time limit.
//!
//! # What is repeated
//!
//! - Requests whose method is idempotent by RFC 9110, section 9.2.2 (GET, HEAD, OPTIONS, TRACE, PUT, DELETE), and those with the header
//!   `Idempotency-Key`. [`Repeatable`] among a request's extensions overrides both.
//! - All others only after failures before which the server did nothing: it was not reached, or it refused the request (as by 429).
//! - A request whose body is a stream is sent once.
//! - What is not safe to repeat is not hedged either.
//! - With a strategy that is built with `idempotent(false)`, every request is as a POST unless it is [`Repeatable`].
//!
//! # What the caller gets
//!
//! When attempts end with an answer, whatever its status: `Ok` with status, headers and the whole body. Else an
//! [`Error::Middleware`](::reqwest_middleware::Error::Middleware) around the [`crate::Error`], which its `downcast_ref` finds:
//! [`CircuitOpen`](crate::Error::CircuitOpen) if nothing was sent.
//!
//! Limits of time hold until an answer's headers have come; the body of a good answer is the caller's to read. A failed answer with a longer
//! body than was looked at keeps its connection while a retry is waited for, since it may be the last. One strategy has one breaker: give
//! each server a client of its own.

mod body;
mod failed;
mod repeatable;

pub(crate) use failed::FailedResponse;
pub use repeatable::Repeatable;

use crate::clock::{Clock, Instant, between};
use crate::driving::Attempt;
use crate::error::{BoxError, Error};
use crate::fault::OperationError;
use crate::retry::RetryStrategy;
use ::reqwest_middleware::{Error as ClientError, Middleware, Next};
use http::Extensions;
use reqwest::{Request, Response};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For the words of an answer with an error status there is at most so much time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Retries the requests of a client as a [`RetryStrategy`] says, behind the strategy's breaker. See [`crate::reqwest_middleware`].
#[derive(Clone)]
pub struct RecoveryMiddleware {
    /// As it was given: what requests are unless more is known of them.
    given: RetryStrategy,
    harmless: RetryStrategy,
    harmful: RetryStrategy,
    once: RetryStrategy,
}

impl RecoveryMiddleware {
    /// A middleware whose clients all share this strategy, with its breaker and its budget.
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
                // What other middlewares left there is for the caller.
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

/// The error inside: the client's own wrapper hides its type from whoever walks the chain of causes.
fn unwrapped(error: ClientError) -> BoxError {
    match error {
        ClientError::Middleware(error) => error.into_boxed(),
        ClientError::Reqwest(error) => error.into(),
    }
}

/// The answer that the attempts ended with, if they did.
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

/// The time of one attempt.
struct Time<'a> {
    clock: &'a dyn Clock,
    began: Instant,
    limit: Option<Duration>,
}

impl Time<'_> {
    /// For the words of an answer. Half of what is left remains, so that an answer whose words do not come is still there in time.
    fn for_words(&self) -> Duration {
        let left = |limit: Duration| limit.saturating_sub(between(self.began, self.clock.now())) / 2;
        self.limit.map_or(PATIENCE, |limit| PATIENCE.min(left(limit)))
    }
}

/// More attempts than the strategy allows: a policy that answers so is not followed, so this is not seen.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be repeated: it is gone")]
struct NothingToRepeat;
