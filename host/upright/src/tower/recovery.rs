//! A retry strategy as a layer.

use super::accept::{Accept, AcceptAll};
use crate::driving::Attempt;
use crate::error::{BoxError, Error, RejectedResult};
use crate::retry::RetryStrategy;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem::replace;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Retries calls of a service by a [`RetryStrategy`], behind its breaker. See [`crate::tower`].
#[derive(Clone)]
pub struct RecoveryLayer<A = AcceptAll> {
    settings: Settings<A>,
}

#[derive(Clone)]
struct Settings<A> {
    strategy: RetryStrategy,
    accept: A,
    return_rejected: bool,
}

impl RecoveryLayer {
    /// A layer whose services share this strategy, with its breaker and retry budget.
    pub fn new(strategy: impl Into<RetryStrategy>) -> Self {
        Self { settings: Settings { strategy: strategy.into(), accept: AcceptAll, return_rejected: false } }
    }
}

impl<A> RecoveryLayer<A> {
    /// Sets which `Ok` responses are successes; by default all. The others may be retried. If attempts end with one,
    /// the caller gets [`RejectedResult`] in [`Error::Failed`], or [the response](RecoveryLayer::returning_rejected).
    pub fn accepting<Response, F: Fn(&Response) -> bool>(self, accept: F) -> RecoveryLayer<F> {
        let Settings { strategy, return_rejected, .. } = self.settings;
        RecoveryLayer { settings: Settings { strategy, accept, return_rejected } }
    }

    /// Returns a rejected last response as `Ok`, not as an error. Callers of HTTP expect a status and a body.
    #[must_use]
    pub fn returning_rejected(mut self) -> Self {
        self.settings.return_rejected = true;
        self
    }
}

impl<S, A: Clone> Layer<S> for RecoveryLayer<A> {
    type Service = Recovery<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Recovery { inner, settings: self.settings.clone() }
    }
}

impl<A> fmt::Debug for RecoveryLayer<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RecoveryLayer").finish_non_exhaustive()
    }
}

/// A service whose calls are retried, made by [`RecoveryLayer`].
///
/// Each call allocates its future and clones the service. Each attempt that another may follow clones the request, so
/// with `max_retries(0)` and no hedge none is cloned.
#[derive(Clone)]
pub struct Recovery<S, A = AcceptAll> {
    inner: S,
    settings: Settings<A>,
}

impl<S> Recovery<S> {
    /// Retries this service's calls by this strategy.
    pub fn new(inner: S, strategy: impl Into<RetryStrategy>) -> Self {
        RecoveryLayer::new(strategy).layer(inner)
    }
}

impl<S, A> Recovery<S, A> {
    /// The inner service.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, A> fmt::Debug for Recovery<S, A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recovery").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, Request, A> Service<Request> for Recovery<S, A>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Request: Clone + Send + 'static,
    A: Accept<S::Response> + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = RecoveryFuture<S::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context).map_err(|error| Error::NotReady(error.into()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The instance made ready is the one to call; its clone is not ready.
        let clone = self.inner.clone();
        let ready = replace(&mut self.inner, clone);
        RecoveryFuture { inner: Box::pin(recover(ready, request, self.settings.clone())) }
    }
}

/// Response of a call that may be retried. Dropping it ends the call.
#[must_use = "futures do nothing unless they are polled"]
pub struct RecoveryFuture<Response> {
    inner: Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>,
}

impl<Response> Future for RecoveryFuture<Response> {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(context)
    }
}

impl<Response> fmt::Debug for RecoveryFuture<Response> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RecoveryFuture").finish_non_exhaustive()
    }
}

async fn recover<S, Request, A>(ready: S, request: Request, settings: Settings<A>) -> Result<S::Response, Error>
where
    S: Service<Request> + Clone,
    S::Error: Into<BoxError>,
    Request: Clone,
    A: Accept<S::Response> + Clone,
{
    let Settings { strategy, accept, return_rejected } = settings;
    let last_rejected = Mutex::new(None);
    let (shared, slot) = (&strategy, &last_rejected);
    let put = move |response| *slot.lock().unwrap_or_else(PoisonError::into_inner) = response;
    let mut supply = Supply { ready: Some(ready), spare: None, request: Some(request) };
    let operation = move |attempt: Attempt| {
        let call = supply.next(shared.may_repeat(&attempt));
        let accept = accept.clone();
        async move {
            // Forgets the rejected response of an earlier attempt.
            put(None);
            let response = call.ok_or(NothingToRepeat)?.make().await?;
            if accept.accepts(&response) {
                return Ok(response);
            }
            put(return_rejected.then_some(response));
            Err(BoxError::from(RejectedResult))
        }
    };
    let outcome = strategy.execute_accepting(operation, |_| true).await;
    match (outcome, last_rejected.into_inner().unwrap_or_else(PoisonError::into_inner)) {
        (Err(error), Some(response)) if error.downcast_ref::<RejectedResult>().is_some() => Ok(response),
        (outcome, _) => outcome,
    }
}

struct Supply<S, Request> {
    ready: Option<S>,
    spare: Option<S>,
    request: Option<Request>,
}

struct Call<S, Request> {
    service: S,
    is_ready: bool,
    request: Request,
}

/// More attempts than allowed: never seen, because such a policy is not followed.
#[derive(Debug, thiserror::Error)]
#[error("the call cannot be repeated: its request is gone")]
struct NothingToRepeat;

impl<S: Clone, Request: Clone> Supply<S, Request> {
    fn next(&mut self, another_may_follow: bool) -> Option<Call<S, Request>> {
        fn take<T: Clone>(kept: &mut Option<T>, keep: bool) -> Option<T> {
            if keep { kept.clone() } else { kept.take() }
        }
        let request = take(&mut self.request, another_may_follow)?;
        if let Some(service) = self.ready.take() {
            self.spare = another_may_follow.then(|| service.clone());
            return Some(Call { service, is_ready: true, request });
        }
        Some(Call { service: take(&mut self.spare, another_may_follow)?, is_ready: false, request })
    }
}

impl<S, Request> Call<S, Request> {
    async fn make(self) -> Result<S::Response, BoxError>
    where
        S: Service<Request>,
        S::Error: Into<BoxError>,
    {
        let Self { mut service, is_ready, request } = self;
        if !is_ready {
            poll_fn(|context| service.poll_ready(context)).await.map_err(Into::into)?;
        }
        let response = service.call(request);
        // The call under way no longer needs the service.
        drop(service);
        response.await.map_err(Into::into)
    }
}
