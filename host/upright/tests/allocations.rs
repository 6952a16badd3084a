//! Neither guarding a healthy call nor rejecting one allocates.
//!
//! A binary of its own, because its global allocator counts, which slows down all other tests.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::future::Future;
use std::hint::black_box;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use upright::budget::RetryBudgetConfig;
use upright::error::Error;
use upright::retry::RetryStrategyBuilder;
use upright::types::Phase;
use upright::{Bulkhead, CircuitBreaker, ErrorClassifier, Hedge, PolicyLifecycle, RetryBudget, RetryStrategy};

const CALLS: usize = 100;

/// Allocations of these calls on this thread, after a warm-up.
fn allocations<R>(mut call: impl FnMut() -> R) -> u64 {
    drop(call());
    allocation_counter::measure(|| {
        for _ in 0..CALLS {
            drop(black_box(call()));
        }
    })
    .count_total
}

fn ready<F: Future>(future: F) -> F::Output {
    let Poll::Ready(answer) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
    answer
}

async fn succeeding() -> io::Result<u64> {
    Ok(black_box(42))
}

async fn failing() -> io::Result<u64> {
    Err(io::Error::from_raw_os_error(111))
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::builder("service").failure_threshold(2).recovery_timeout(Duration::from_secs(86_400)).build().unwrap()
}

fn open() -> CircuitBreaker {
    let breaker = breaker();
    for _ in 0..2 {
        ready(breaker.call(failing)).unwrap_err();
    }
    assert_eq!(breaker.state(), Phase::Open);
    breaker
}

fn armed() -> RetryStrategyBuilder {
    let policy = PolicyLifecycle::built_in();
    let classifier = ErrorClassifier::default().with_policy(policy.clone());
    RetryStrategy::builder().policy(policy).classifier(Arc::new(classifier))
}

fn budget() -> RetryBudget {
    RetryBudget::new(RetryBudgetConfig { capacity: 1_000_000, per_second: 10.0 }).unwrap()
}

fn hedge() -> Hedge {
    Hedge::builder("service").delay(Duration::from_secs(60)).budget(budget()).build().unwrap()
}

fn bulkhead() -> Bulkhead {
    Bulkhead::builder("service").max_concurrent(4).max_queued(4).max_wait(Duration::from_secs(60)).build().unwrap()
}

#[test]
fn the_allocation_counter_counts_each_allocation() {
    assert_eq!(allocations(|| Box::new(black_box(1))), CALLS as u64);
    let breaker = CircuitBreaker::builder("service").failure_threshold(u32::MAX).build().unwrap();
    assert!(allocations(|| ready(breaker.call(failing))) >= CALLS as u64);
}

#[test]
fn a_strategy_allocates_nothing_for_a_call_that_succeeds() {
    let strategy = armed().build().unwrap();
    assert_eq!(allocations(|| ready(strategy.execute(succeeding)).unwrap()), 0);
    assert_eq!(allocations(|| strategy.execute_blocking(|| Ok::<_, io::Error>(42)).unwrap()), 0);
    assert_eq!(allocations(|| ready(strategy.execute_with_fallback(succeeding, succeeding)).unwrap()), 0);
}

#[test]
fn a_strategy_with_a_budget_a_hedge_and_a_bulkhead_allocates_nothing_for_a_call_that_succeeds() {
    let strategy = armed().budget(budget()).hedge(hedge()).bulkhead(bulkhead()).build().unwrap();
    assert_eq!(allocations(|| ready(strategy.execute(succeeding)).unwrap()), 0);
}

#[tokio::test]
async fn a_limit_of_time_allocates_nothing_for_a_call_that_is_ready_at_once() {
    let strategy = armed().attempt_timeout(Duration::from_secs(60)).deadline(Duration::from_secs(600)).build().unwrap();
    assert_eq!(allocations(|| ready(strategy.execute(succeeding)).unwrap()), 0);
}

#[test]
fn a_closed_breaker_allocates_nothing_for_a_call_that_succeeds() {
    let breaker = breaker();
    assert_eq!(allocations(|| ready(breaker.call(succeeding)).unwrap()), 0);
    assert_eq!(allocations(|| breaker.call_blocking(|| Ok::<_, io::Error>(42)).unwrap()), 0);
    assert_eq!(allocations(|| breaker.try_acquire().unwrap().success()), 0);
}

#[test]
fn an_open_breaker_allocates_nothing_for_a_rejection() {
    let breaker = open();
    assert_eq!(allocations(|| breaker.try_acquire().map(drop).unwrap_err()), 0);
    assert_eq!(allocations(|| ready(breaker.call(succeeding)).unwrap_err()), 0);
    let strategy = armed().breaker(breaker).build().unwrap();
    let rejection = || {
        let error = ready(strategy.execute(succeeding)).unwrap_err();
        assert!(matches!(error, Error::CircuitOpen(_)), "{error}");
    };
    assert_eq!(allocations(rejection), 0);
}

#[test]
fn a_token_that_is_taken_spent_or_put_back_allocates_nothing() {
    let budget = budget();
    assert_eq!(allocations(|| budget.take().unwrap().spend()), 0);
    assert_eq!(allocations(|| drop(budget.take().unwrap())), 0);
}

#[test]
fn a_hedge_and_a_bulkhead_allocate_nothing_for_a_call_that_is_ready_at_once() {
    let (hedge, bulkhead) = (hedge(), bulkhead());
    assert_eq!(allocations(|| ready(hedge.execute(succeeding)).unwrap()), 0);
    assert_eq!(allocations(|| ready(bulkhead.call(succeeding)).unwrap()), 0);
    assert_eq!(allocations(|| drop(ready(bulkhead.acquire()).unwrap())), 0);
}
