//! A circuit breaker as a layer.

use super::accept::{Accept, AcceptAll};
use crate::error::{BoxError, CircuitOpen, Error, RejectedResult};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;
use upright_core::breaker::{CircuitBreaker, OwnedPermit};

/// Puts a [`CircuitBreaker`] before a service. Requests and services need not be `Clone`; allocates nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
/// use upright::CircuitBreaker;
/// use upright::tower::CircuitBreakerLayer;
///
/// let breaker = CircuitBreaker::builder("search").failure_threshold(5).build()?;
/// let mut search = ServiceBuilder::new()
///     .layer(CircuitBreakerLayer::new(breaker))
///     .service(service_fn(|words: &'static str| async move { Ok::<_, std::io::Error>([words]) }));
/// assert_eq!(search.ready().await?.call("a hit").await?, ["a hit"]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CircuitBreakerLayer<A = AcceptAll> {
    breaker: CircuitBreaker,
    accept: A,
}

impl CircuitBreakerLayer {
    /// A layer whose services share this breaker.
    pub fn new(breaker: CircuitBreaker) -> Self {
        Self { breaker, accept: AcceptAll }
    }
}

impl<A> CircuitBreakerLayer<A> {
    /// Sets which `Ok` responses are successes; by default all. The others count as failures but return unchanged.
    pub fn accepting<Response, F: Fn(&Response) -> bool>(self, accept: F) -> CircuitBreakerLayer<F> {
        CircuitBreakerLayer { breaker: self.breaker, accept }
    }
}

impl<S, A: Clone> Layer<S> for CircuitBreakerLayer<A> {
    type Service = CircuitBreakerService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreakerService { inner, breaker: self.breaker.clone(), accept: self.accept.clone() }
    }
}

impl<A> fmt::Debug for CircuitBreakerLayer<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CircuitBreakerLayer").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

/// A service behind a breaker, made by [`CircuitBreakerLayer`]. After a rejection the inner service stays ready.
#[derive(Clone)]
pub struct CircuitBreakerService<S, A = AcceptAll> {
    inner: S,
    breaker: CircuitBreaker,
    accept: A,
}

impl<S> CircuitBreakerService<S> {
    /// Puts this service behind this breaker.
    pub fn new(inner: S, breaker: CircuitBreaker) -> Self {
        CircuitBreakerLayer::new(breaker).layer(inner)
    }
}

impl<S, A> CircuitBreakerService<S, A> {
    /// The inner service.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, A> fmt::Debug for CircuitBreakerService<S, A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, breaker, .. } = self;
        formatter.debug_struct("CircuitBreakerService").field("inner", inner).field("breaker", breaker).finish_non_exhaustive()
    }
}

impl<S, Request, A> Service<Request> for CircuitBreakerService<S, A>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
    A: Accept<S::Response> + Clone,
{
    type Response = S::Response;
    type Error = Error;
    type Future = CircuitBreakerFuture<S::Future, A>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context).map_err(|error| Error::NotReady(error.into()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let state = match self.breaker.try_acquire_owned() {
            Ok(permit) => State::Called { call: self.inner.call(request), permit: Some(permit), accept: self.accept.clone() },
            Err(open) => State::Rejected { open: Some(open) },
        };
        CircuitBreakerFuture { state }
    }
}

pin_project! {
    /// Response of the service, or the breaker's rejection. Dropping it ends the call uncounted.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct CircuitBreakerFuture<F, A> {
        #[pin]
        state: State<F, A>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, A> {
        Called {
            #[pin]
            call: F,
            permit: Option<OwnedPermit>,
            accept: A,
        },
        Rejected {
            open: Option<CircuitOpen>,
        },
    }
}

impl<F, A, Response, E> Future for CircuitBreakerFuture<F, A>
where
    F: Future<Output = Result<Response, E>>,
    E: Into<BoxError>,
    A: Accept<Response>,
{
    type Output = Result<Response, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Called { call, permit, accept } => {
                let outcome = ready!(call.poll(context));
                // Polled after its end.
                let Some(permit) = permit.take() else { return Poll::Pending };
                Poll::Ready(match outcome {
                    Ok(response) => {
                        if accept.accepts(&response) {
                            permit.success();
                        } else {
                            // Only the breaker sees this error; the caller gets the response.
                            let _ = permit.failed(RejectedResult.into());
                        }
                        Ok(response)
                    }
                    Err(error) => Err(permit.failed(error.into())),
                })
            }
            StateProjection::Rejected { open } => match open.take() {
                Some(open) => Poll::Ready(Err(open.into())),
                None => Poll::Pending,
            },
        }
    }
}

impl<F, A> fmt::Debug for CircuitBreakerFuture<F, A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CircuitBreakerFuture").finish_non_exhaustive()
    }
}
