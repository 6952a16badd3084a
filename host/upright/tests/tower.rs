//! The layers keep tower's contract, also with retries, limits and clones.
//!
//! A binary of its own, because it is built only with the feature `tower`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use futures_util::future::Either;
use std::future::{Future, Pending, Ready, pending, ready};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use upright::error::{AttemptTimeout, RejectedResult};
use upright::retry::RetryStrategyBuilder;
use upright::testing::DrivenClock;
use upright::tower::{CircuitBreakerLayer, Recovery, RecoveryLayer};
use upright::types::{BreakerConfig, Phase, Reason};
use upright::{CircuitBreaker, Error, Hedge, RetryStrategy};
use upright_test_kit::refused;

fn plain(clock: &DrivenClock) -> RetryStrategyBuilder {
    RetryStrategy::builder().jitter(false).use_circuit_breaker(false).clock(clock.shared())
}

fn breaker(clock: &DrivenClock) -> CircuitBreaker {
    CircuitBreaker::builder("service").failure_threshold(1).clock(clock.shared()).build().unwrap()
}

fn half_open(clock: &DrivenClock) -> CircuitBreaker {
    let breaker = breaker(clock);
    breaker.call_blocking(|| Err::<(), _>(refused())).unwrap_err();
    clock.advance(Duration::from_secs(61));
    breaker
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Did {
    Ready(u32),
    Call(u32),
}

/// Panics when called before it is ready; its clones are not ready. Fails a set number of times, then answers with its
/// call number.
struct Strict<Request = &'static str> {
    number: u32,
    is_ready: bool,
    shared: Arc<StrictShared>,
    takes: PhantomData<fn(Request)>,
}

struct StrictShared {
    failures: u32,
    clones: AtomicU32,
    calls: AtomicU32,
    log: Mutex<Vec<Did>>,
}

impl<Request> Strict<Request> {
    fn failing(failures: u32) -> Self {
        let shared = StrictShared { failures, clones: AtomicU32::new(0), calls: AtomicU32::new(0), log: Mutex::default() };
        Self { number: 0, is_ready: false, shared: Arc::new(shared), takes: PhantomData }
    }

    fn calls(&self) -> u32 {
        self.shared.calls.load(Ordering::SeqCst)
    }

    fn watch(&self) -> Self {
        Self { number: u32::MAX, is_ready: false, shared: Arc::clone(&self.shared), takes: PhantomData }
    }
}

impl<Request> Clone for Strict<Request> {
    fn clone(&self) -> Self {
        let number = self.shared.clones.fetch_add(1, Ordering::SeqCst) + 1;
        Self { number, is_ready: false, shared: Arc::clone(&self.shared), takes: PhantomData }
    }
}

impl<Request> Service<Request> for Strict<Request> {
    type Response = u32;
    type Error = io::Error;
    type Future = Ready<Result<u32, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_ready = true;
        self.shared.log.lock().unwrap().push(Did::Ready(self.number));
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being made ready");
        self.shared.log.lock().unwrap().push(Did::Call(self.number));
        let number = self.shared.calls.fetch_add(1, Ordering::SeqCst) + 1;
        ready(if number <= self.shared.failures { Err(refused()) } else { Ok(number) })
    }
}

#[tokio::test]
async fn the_instance_that_was_made_ready_is_called_and_each_retry_makes_a_clone_ready_first() {
    let clock = DrivenClock::skipping();
    let service = Strict::failing(2);
    let watched = service.watch();
    let mut service = Recovery::new(service, plain(&clock).build().unwrap());
    assert_eq!(service.ready().await.unwrap().call("request").await.unwrap(), 3);
    assert_eq!(clock.waits().len(), 2);
    let log = watched.shared.log.lock().unwrap().clone();
    assert_eq!(log[..2], [Did::Ready(0), Did::Call(0)]);
    for retry in log[2..].chunks(2) {
        assert!(matches!(retry, [Did::Ready(ready), Did::Call(called)] if ready == called && *ready != 0), "{log:?}");
    }
    assert_eq!(log.len(), 6);
}

#[tokio::test]
async fn after_a_call_the_service_is_not_ready_until_it_is_polled() {
    let clock = DrivenClock::skipping();
    let mut service = Recovery::new(Strict::failing(0), plain(&clock).build().unwrap());
    service.ready().await.unwrap().call("first").await.unwrap();
    assert!(!service.inner().is_ready);
    service.ready().await.unwrap();
    assert!(service.inner().is_ready && !service.clone().inner().is_ready);
}

#[tokio::test]
async fn a_failure_that_trying_again_cannot_help_is_not_retried_and_keeps_its_type() {
    let clock = DrivenClock::skipping();
    let denied = service_fn(|_: ()| ready(Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied))));
    let error = Recovery::new(denied, plain(&clock).build().unwrap()).oneshot(()).await.unwrap_err();
    assert_eq!(error.failure().map(|failure| (failure.attempts, failure.reason)), Some((1, Reason::NotRetryable)));
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn retries_below_a_limit_of_one_do_not_wait_for_themselves() {
    let clock = DrivenClock::skipping();
    let strict = Strict::failing(3);
    let recovery = RecoveryLayer::new(plain(&clock).build().unwrap());
    let mut service = ServiceBuilder::new().layer(recovery).concurrency_limit(1).service(strict);
    for (expected, request) in [(4, "first"), (5, "second")] {
        assert_eq!(service.ready().await.unwrap().call(request).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn the_wait_for_a_retry_holds_no_place_below_a_limit() {
    let clock = DrivenClock::new();
    let recovery = RecoveryLayer::new(plain(&clock).build().unwrap());
    let mut service = ServiceBuilder::new().layer(recovery).concurrency_limit(1).service(Strict::failing(1));
    let mut other = service.clone();
    let mut waits = Box::pin(service.ready().await.unwrap().call("fails first"));
    assert!(poll_once(waits.as_mut()).is_pending());
    assert_eq!(clock.waits(), [Duration::from_secs(1)]);
    assert_eq!(other.ready().await.unwrap().call("meanwhile").await.unwrap(), 2);
    clock.advance(Duration::from_secs(1));
    assert_eq!(waits.await.unwrap(), 3);
}

#[tokio::test]
async fn the_recovery_layer_works_above_and_below_a_buffer() {
    let clock = DrivenClock::skipping();
    let recovery = RecoveryLayer::new(plain(&clock).build().unwrap());
    let mut above = ServiceBuilder::new().layer(recovery.clone()).buffer(2).service(Strict::failing(2));
    assert_eq!(above.ready().await.unwrap().call("request").await.unwrap(), 3);
    let mut below = ServiceBuilder::new().buffer(2).layer(recovery).service(Strict::failing(2));
    assert_eq!(below.ready().await.unwrap().call("request").await.unwrap(), 3);
}

#[tokio::test]
async fn the_recovery_layer_classifies_the_error_inside_a_buffers_error() {
    let clock = DrivenClock::skipping();
    let recovery = RecoveryLayer::new(plain(&clock).max_retries(1).build().unwrap());
    let mut service = ServiceBuilder::new().layer(recovery).buffer(2).service(Strict::failing(u32::MAX));
    let error = service.ready().await.unwrap().call("request").await.unwrap_err();
    assert_eq!(error.failure().unwrap().classification.rule, "connection-refused");
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(111));
}

#[tokio::test]
async fn clones_share_the_breaker_and_an_open_one_rejects_the_call_while_the_service_is_ready() {
    let clock = DrivenClock::skipping();
    let strict = Strict::failing(u32::MAX);
    let watched = strict.watch();
    let strategy = plain(&clock).breaker(breaker(&clock)).build().unwrap();
    let mut first = Recovery::new(strict, strategy);
    let mut second = first.clone();
    let error = first.ready().await.unwrap().call("request").await.unwrap_err();
    assert_eq!(error.failure().unwrap().reason, Reason::CircuitOpen);
    let error = second.ready().await.unwrap().call("request").await.unwrap_err();
    assert!(matches!(&error, Error::CircuitOpen(open) if &*open.breaker == "service"), "{error}");
    assert_eq!(watched.calls(), 1);
}

#[tokio::test]
async fn a_rejected_call_gives_back_the_place_that_was_kept_for_it() {
    let clock = DrivenClock::skipping();
    let breaker = breaker(&clock);
    breaker.isolate();
    let recovery = RecoveryLayer::new(plain(&clock).breaker(breaker).build().unwrap());
    let mut service = ServiceBuilder::new().layer(recovery).concurrency_limit(1).service(Strict::failing(0));
    let mut other = service.clone();
    service.ready().await.unwrap().call("rejected").await.unwrap_err();
    let context = &mut Context::from_waker(Waker::noop());
    assert!(matches!(other.poll_ready(context), Poll::Ready(Ok(()))));
}

#[derive(Clone)]
struct Readiness {
    left: Arc<AtomicU32>,
    then: fn() -> Poll<io::Result<()>>,
}

impl Readiness {
    fn times(times: u32, then: fn() -> Poll<io::Result<()>>) -> Self {
        Self { left: Arc::new(AtomicU32::new(times)), then }
    }
}

impl Service<()> for Readiness {
    type Response = ();
    type Error = io::Error;
    type Future = Ready<Result<(), io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_ready = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_ready { Poll::Ready(Ok(())) } else { (self.then)() }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Err(refused()))
    }
}

fn never() -> Poll<io::Result<()>> {
    Poll::Pending
}

fn broken() -> Poll<io::Result<()>> {
    Poll::Ready(Err(io::Error::from_raw_os_error(104)))
}

#[tokio::test]
async fn readiness_and_its_errors_pass_through() {
    let clock = DrivenClock::skipping();
    let context = &mut Context::from_waker(Waker::noop());
    let layer = RecoveryLayer::new(plain(&clock).build().unwrap());
    assert!(layer.layer(Readiness::times(0, never)).poll_ready(context).is_pending());
    let Poll::Ready(Err(error)) = layer.layer(Readiness::times(0, broken)).poll_ready(context) else { panic!("it is ready") };
    assert!(matches!(error, Error::NotReady(_)) && error.failure().is_none());
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(104));
    assert_eq!(upright::fault::fault_of(&error).errno, Some(104));
    assert!(error.to_string().starts_with("the service did not become ready: "), "{error}");

    let layer = CircuitBreakerLayer::new(breaker(&clock));
    assert!(layer.layer(Readiness::times(0, never)).poll_ready(context).is_pending());
    assert!(matches!(layer.layer(Readiness::times(0, broken)).poll_ready(context), Poll::Ready(Err(Error::NotReady(_)))));
}

#[tokio::test]
async fn a_retry_that_does_not_become_ready_runs_out_of_the_attempts_time() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).max_retries(1).attempt_timeout(Duration::from_secs(5)).build().unwrap();
    let error = Recovery::new(Readiness::times(1, never), strategy).oneshot(()).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&AttemptTimeout { limit: Duration::from_secs(5) }));
    assert_eq!(clock.waits(), [Duration::from_secs(1), Duration::from_secs(5)]);
}

#[tokio::test]
async fn a_retry_that_does_not_become_ready_ends_with_the_deadline() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).max_retries(9).deadline(Duration::from_secs(8)).build().unwrap();
    let error = Recovery::new(Readiness::times(1, never), strategy).oneshot(()).await.unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!((failure.attempts, failure.reason, failure.elapsed), (2, Reason::DeadlineExceeded, Duration::from_secs(8)));
}

#[tokio::test]
async fn a_retry_whose_readiness_fails_is_a_failed_attempt() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).max_retries(1).build().unwrap();
    let error = Recovery::new(Readiness::times(1, broken), strategy).oneshot(()).await.unwrap_err();
    assert_eq!(error.failure().unwrap().attempts, 2);
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(104));
}

#[tokio::test]
async fn a_cancelled_call_gives_the_probes_permit_back() {
    let clock = DrivenClock::skipping();
    let breaker = half_open(&clock);
    let hangs = || service_fn(|()| pending::<io::Result<()>>());
    let mut recovery = Recovery::new(hangs(), plain(&clock).breaker(breaker.clone()).build().unwrap());
    let mut guarded = CircuitBreakerLayer::new(breaker.clone()).layer(hangs());

    let mut call = Box::pin(recovery.ready().await.unwrap().call(()));
    assert!(poll_once(call.as_mut()).is_pending());
    assert!(breaker.try_acquire().is_err(), "it is no probe");
    drop(call);
    drop(breaker.try_acquire().expect("the permit was not given back"));

    let mut call = Box::pin(guarded.ready().await.unwrap().call(()));
    assert!(poll_once(call.as_mut()).is_pending());
    assert!(breaker.try_acquire().is_err(), "it is no probe");
    drop(call);
    assert!(breaker.try_acquire().is_ok(), "the permit was not given back");
}

#[tokio::test]
async fn a_call_that_is_dropped_before_it_is_polled_calls_nothing() {
    let clock = DrivenClock::skipping();
    let mut service = Recovery::new(Strict::failing(0), plain(&clock).build().unwrap());
    drop(service.ready().await.unwrap().call("request"));
    assert_eq!(service.inner().calls(), 0);
}

#[tokio::test]
async fn responses_that_are_not_accepted_are_retried_and_end_in_an_error() {
    let clock = DrivenClock::skipping();
    let layer = RecoveryLayer::new(plain(&clock).build().unwrap());
    let third = layer.clone().accepting(|number: &u32| *number >= 3).layer(Strict::failing(0));
    assert_eq!(third.oneshot("request").await.unwrap(), 3);
    let strict = Strict::failing(0);
    let watched = strict.watch();
    let error = layer.accepting(|_: &u32| false).layer(strict).oneshot("request").await.unwrap_err();
    assert!(error.downcast_ref::<RejectedResult>().is_some());
    assert_eq!((watched.calls(), error.failure().unwrap().reason), (4, Reason::AttemptsExhausted));
}

#[tokio::test]
async fn the_last_response_that_is_not_accepted_is_returned_if_the_caller_wants_it() {
    let clock = DrivenClock::skipping();
    let layer = RecoveryLayer::new(plain(&clock).max_retries(2).build().unwrap()).accepting(|_: &u32| false).returning_rejected();
    assert_eq!(layer.layer(Strict::failing(0)).oneshot("request").await.unwrap(), 3);
    let answers_once = AtomicU32::new(0);
    let worse = service_fn(move |()| {
        let first = answers_once.fetch_add(1, Ordering::SeqCst) == 0;
        ready(if first { Ok(0) } else { Err(BoxError::from(RejectedResult)) })
    });
    let mut worse = layer.layer(ServiceBuilder::new().buffer(1).service(worse));
    assert!(worse.ready().await.unwrap().call(()).await.unwrap_err().failure().is_some());
}

#[tokio::test]
async fn what_is_not_idempotent_is_not_repeated_for_a_response_that_is_not_accepted() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).build().unwrap().with_idempotent(false);
    let service = RecoveryLayer::new(strategy).accepting(|_: &u32| false).layer(Strict::failing(0));
    assert_eq!(service.oneshot("order").await.unwrap_err().failure().unwrap().reason, Reason::NotIdempotent);
}

#[derive(Default)]
struct Counted {
    clones: Arc<AtomicU32>,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self { clones: Arc::clone(&self.clones) }
    }
}

#[tokio::test]
async fn a_request_is_cloned_only_while_another_attempt_may_follow() {
    for (retries, failures, clones) in [(0, 0, 0), (0, 9, 0), (2, 0, 1), (2, 1, 2), (2, 9, 2)] {
        let clock = DrivenClock::skipping();
        let request = Counted::default();
        let counted = Arc::clone(&request.clones);
        let strategy = plain(&clock).max_retries(retries).build().unwrap();
        let outcome = Recovery::new(Strict::failing(failures), strategy).oneshot(request).await;
        assert_eq!(outcome.is_ok(), failures <= retries);
        assert_eq!(counted.load(Ordering::SeqCst), clones, "{retries} retries, {failures} failures");
    }
}

#[tokio::test]
async fn a_response_can_be_awaited_on_another_thread() {
    let clock = DrivenClock::skipping();
    let mut service = Recovery::new(Strict::failing(1), plain(&clock).build().unwrap());
    let response = service.ready().await.unwrap().call("request");
    assert_eq!(tokio::spawn(response).await.unwrap().unwrap(), 2);
}

#[derive(Clone)]
struct FirstHangs(Strict);

impl Service<&'static str> for FirstHangs {
    type Response = u32;
    type Error = io::Error;
    type Future = Either<Pending<io::Result<u32>>, Ready<io::Result<u32>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: &'static str) -> Self::Future {
        match (self.0.call(request), self.0.calls()) {
            (_, 1) => Either::Left(pending()),
            (answer, _) => Either::Right(answer),
        }
    }
}

#[tokio::test]
async fn the_hedge_attempt_of_a_slow_call_is_a_clone_that_was_made_ready() {
    let clock = DrivenClock::skipping();
    let hedge = Hedge::builder("slow").delay(Duration::from_secs(2)).build().unwrap();
    let strategy = plain(&clock).max_retries(0).hedge(hedge).build().unwrap();
    let service = Recovery::new(FirstHangs(Strict::failing(0)), &strategy);
    assert_eq!(service.oneshot("request").await.unwrap(), 2);
    assert_eq!(clock.waits(), [Duration::from_secs(2)]);
}

struct Single;

#[tokio::test]
async fn a_breaker_alone_opens_rejects_and_closes_again_for_requests_that_cannot_be_cloned() {
    let clock = DrivenClock::skipping();
    let breaker = breaker(&clock);
    let strict = Strict::failing(1);
    let watched = strict.watch();
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(strict);
    let error = service.ready().await.unwrap().call(Single).await.unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(111));
    let error = service.ready().await.unwrap().call(Single).await.unwrap_err();
    assert!(matches!(error, Error::CircuitOpen(_)), "{error}");
    assert_eq!((watched.calls(), breaker.state()), (1, Phase::Open));
    clock.advance(Duration::from_secs(61));
    for _ in 0..2 {
        service.ready().await.unwrap().call(Single).await.unwrap();
    }
    assert_eq!((watched.calls(), breaker.state()), (3, Phase::Closed));
}

#[tokio::test]
async fn a_breaker_counts_responses_that_are_not_accepted_and_hands_them_on() {
    let clock = DrivenClock::skipping();
    let breaker = breaker(&clock);
    let layer = CircuitBreakerLayer::new(breaker.clone()).accepting(|status: &u16| *status < 500);
    let mut service = layer.layer(service_fn(|status: u16| ready(Ok::<_, io::Error>(status))));
    assert_eq!(service.ready().await.unwrap().call(404).await.unwrap(), 404);
    assert_eq!(breaker.state(), Phase::Closed);
    assert_eq!(service.ready().await.unwrap().call(503).await.unwrap(), 503);
    assert_eq!(breaker.state(), Phase::Open);
}

#[tokio::test]
async fn a_probe_that_panics_gives_its_permit_back() {
    let clock = DrivenClock::skipping();
    let breaker = half_open(&clock);
    let panics = service_fn(|()| async { if true { panic!("on purpose") } else { Ok::<_, io::Error>(()) } });
    let call = CircuitBreakerLayer::new(breaker.clone()).layer(panics).oneshot(());
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    assert!(breaker.try_acquire().is_ok());
}

#[tokio::test]
async fn both_layers_stand_in_one_stack() {
    let clock = DrivenClock::skipping();
    let breaker = CircuitBreaker::builder("service").failure_threshold(3).clock(clock.shared()).build().unwrap();
    let mut service = ServiceBuilder::new()
        .layer(RecoveryLayer::new(plain(&clock).build().unwrap()))
        .layer(CircuitBreakerLayer::new(breaker.clone()))
        .concurrency_limit(1)
        .service(Strict::failing(2));
    assert_eq!(service.ready().await.unwrap().call("request").await.unwrap(), 3);
    assert_eq!(breaker.state(), Phase::Closed);
    // The breaker's rejection ends the retries above it.
    breaker.isolate();
    let error = service.ready().await.unwrap().call("request").await.unwrap_err();
    assert_eq!(error.failure().map(|failure| (failure.attempts, failure.reason)), Some((1, Reason::CircuitOpen)));
}

#[tokio::test]
async fn slow_calls_are_seen_by_a_layer() {
    const SLOW: Duration = Duration::from_secs(2);
    let clock = DrivenClock::new();
    let config = BreakerConfig { minimum_calls: 1, ..BreakerConfig::default() };
    let breaker = CircuitBreaker::builder("service").config(config).slow_call_duration(SLOW).slow_call_rate_threshold(0.01);
    let breaker = breaker.clock(clock.shared()).build().unwrap();
    let own = clock.clone();
    let service = service_fn(move |(): ()| {
        let clock = own.clone();
        async move {
            clock.advance(SLOW);
            Ok::<_, io::Error>(())
        }
    });
    let mut service = upright::tower::CircuitBreakerService::new(service, breaker.clone());
    service.ready().await.unwrap().call(()).await.unwrap();
    assert_eq!(breaker.state(), Phase::Open);
}
