//! A run without a driver does what the drivers do: steps, permits, places and errors.

use std::time::Duration;
use upright::driving::{Facts, Rejected, Run, Step};
use upright::events::Events;
use upright::testing::DrivenClock;
use upright::types::{Fault, FaultKind, Phase, Reason};
use upright::{Bulkhead, CircuitBreaker, Error, Event, RetryStrategy};

fn refused() -> Fault {
    Fault::new(FaultKind::ConnectionRefused, "connection refused")
}

fn strategy(clock: &DrivenClock) -> upright::retry::RetryStrategyBuilder {
    RetryStrategy::builder().max_retries(2).jitter(false).clock(clock.shared())
}

#[test]
fn a_run_waits_between_attempts_and_ends_with_the_last_error() {
    let clock = DrivenClock::new();
    let mut run = Run::begin(&strategy(&clock).build().unwrap());
    for (number, wait) in [(1, 1), (2, 2)] {
        assert!(matches!(run.admit(), Step::Attempt(attempt) if attempt.number == number));
        assert!(matches!(run.failed(refused()), Step::Wait(delay) if delay == Duration::from_secs(wait)));
        clock.advance(Duration::from_secs(wait));
    }
    assert!(matches!(run.admit(), Step::Attempt(_)));
    let Step::Fail(end) = run.failed(refused()) else { panic!("a third retry") };
    assert_eq!((end.attempts, end.reason, end.elapsed), (3, Reason::AttemptsExhausted, Duration::from_secs(3)));
    let error = end.into_error(Some("the last one".into()));
    assert!(matches!(&error, Error::Failed(failure) if failure.source.to_string() == "the last one"), "{error}");
}

#[test]
fn an_answer_that_broke_after_its_delivery_began_counts_against_the_service_and_announces_no_retry() {
    let clock = DrivenClock::new();
    let breaker = CircuitBreaker::builder("b").failure_threshold(1).clock(clock.shared()).build().unwrap();
    let events = Events::default();
    let mut seen = events.subscribe();
    let strategy = strategy(&clock).breaker(breaker.clone()).events(events).build().unwrap();
    let mut run = Run::begin(&strategy);
    assert!(matches!(run.admit(), Step::Attempt(_)));
    run.broken(refused());
    assert_eq!(breaker.state(), Phase::Open);
    let seen: Vec<_> = std::iter::from_fn(|| seen.try_recv()).collect();
    assert!(matches!(seen.as_slice(), [Event::AttemptFailed { attempt: 1, .. }]), "{seen:?}");
}

#[test]
fn outcomes_move_the_breaker_and_an_open_one_rejects() {
    let clock = DrivenClock::new();
    let breaker = CircuitBreaker::builder("b").failure_threshold(1).recovery_timeout(Duration::from_secs(60));
    let breaker = breaker.clock(clock.shared()).build().unwrap();
    let strategy = strategy(&clock).breaker(breaker.clone()).max_retries(0).build().unwrap();
    let mut run = Run::begin(&strategy);
    assert!(matches!(run.admit(), Step::Attempt(_)));
    assert!(matches!(run.failed(refused()), Step::Fail(_)));
    assert_eq!(breaker.state(), Phase::Open);
    let Step::Fail(end) = Run::begin(&strategy).admit() else { panic!("an open breaker let a call pass") };
    assert!(matches!(end.rejected, Some(Rejected::CircuitOpen(_))));
    assert!(matches!(end.into_error(None), Error::CircuitOpen(_)));
    clock.advance(Duration::from_secs(61));
    let mut probe = Run::begin(&strategy);
    assert!(matches!(probe.admit(), Step::Attempt(_)));
    assert!(matches!(Run::begin(&strategy).admit(), Step::Fail(_)), "a second probe");
    drop(probe);
    assert!(matches!(Run::begin(&strategy).admit(), Step::Attempt(_)), "the dropped probe kept its permit");
}

#[test]
fn a_run_holds_a_place_in_the_bulkhead_until_its_attempt_ends_or_it_is_dropped() {
    let clock = DrivenClock::new();
    let bulkhead = Bulkhead::builder("b").max_concurrent(1).build().unwrap();
    let strategy = strategy(&clock).bulkhead(bulkhead.clone()).max_retries(0).build().unwrap();
    let mut first = Run::begin(&strategy);
    assert!(matches!(first.admit(), Step::Attempt(_)));
    assert_eq!(bulkhead.available(), 0);
    let Step::Fail(end) = Run::begin(&strategy).admit() else { panic!("two calls in a place for one") };
    assert!(matches!(end.into_error(None), Error::BulkheadFull(_)));
    assert!(matches!(first.failed(refused()), Step::Fail(_)));
    assert_eq!(bulkhead.available(), 1, "the failed attempt kept its place");
    let mut second = Run::begin(&strategy);
    assert!(matches!(second.admit(), Step::Attempt(_)));
    second.succeeded();
    assert_eq!(bulkhead.available(), 1);
    let mut third = Run::begin(&strategy);
    assert!(matches!(third.admit(), Step::Attempt(_)));
    drop(third);
    assert_eq!(bulkhead.available(), 1);
}

#[test]
fn facts_are_read_from_an_error_by_the_strategys_readers() {
    let clock = DrivenClock::new();
    let reader = |_: &(dyn std::error::Error + 'static)| Some(Fault::new(FaultKind::Timeout, "slow"));
    let run = Run::begin(&strategy(&clock).fault_reader(reader).build().unwrap());
    let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert_eq!(run.facts(&error).fault.kind, FaultKind::Timeout);
    assert_eq!(Facts::of(&error).fault.kind, FaultKind::PermissionDenied);
    let late = upright::error::AttemptTimeout { limit: Duration::from_secs(3) };
    assert_eq!(Facts::of(&late).timed_out, Some(Duration::from_secs(3)));
}
