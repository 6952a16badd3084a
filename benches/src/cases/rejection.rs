//! Calls rejected by an open breaker.

use super::peers::{self, FAILURES, failing, operation};
use super::success::armed;
use crate::group::{Case, Group, Target, failed, ready};
use anyhow::Result;
use failsafe::futures::CircuitBreaker as _;
use std::future::Future;
use std::io;
use std::task::Poll;
use tower::{Layer, Service, ServiceExt, service_fn};
use upright::{CircuitBreaker, Error};

const TRY_ACQUIRE: &str = "upright `CircuitBreaker::try_acquire`";
const CALL: &str = "upright `CircuitBreaker::call`";
const EXECUTE: &str = "upright `RetryStrategy::execute`";
const RECLOSER: &str = "recloser async";

pub(super) fn group() -> Result<Group> {
    Ok(Group {
        id: "rejection",
        title: "A call that an open breaker rejects, one thread",
        note: "Upright's rejection names the breaker and the time left; the peers' say only that it is open.",
        threads: 1,
        reference: RECLOSER,
        cases: cases()?,
        targets: vec![
            Target::TimesOf { case: TRY_ACQUIRE, peer: RECLOSER, at_most: 1.0 },
            Target::TimesOf { case: CALL, peer: RECLOSER, at_most: 1.0 },
            Target::NoAllocation { case: TRY_ACQUIRE },
        ],
    })
}

fn rejected<T>(answer: &Poll<Result<T, Error>>) -> bool {
    matches!(answer, Poll::Ready(Err(Error::CircuitOpen(_))))
}

fn break_it<F: Future>(call: impl Fn() -> F) {
    for _ in 0..FAILURES {
        let _ = ready(call());
    }
}

fn cases() -> Result<Vec<Case>> {
    let breaker = CircuitBreaker::builder("service").config(peers::breaker_config()).build()?;
    break_it(|| breaker.call(failing));

    let given = breaker.clone();
    let acquire = move || {
        let breaker = given.clone();
        move || breaker.try_acquire().map(drop)
    };
    let mut cases = vec![Case::new(TRY_ACQUIRE, acquire, |answer| answer.is_err())];

    let given = breaker.clone();
    let call = move || {
        let breaker = given.clone();
        move || ready(breaker.call(operation))
    };
    cases.push(Case::new(CALL, call, rejected));

    let strategy = armed().breaker(breaker).build()?;
    let call = move || {
        let strategy = strategy.clone();
        move || ready(strategy.execute::<u64, io::Error, _>(operation))
    };
    cases.push(Case::new(EXECUTE, call, rejected));

    let recloser = peers::recloser();
    break_it(|| recloser.call(failing()));
    let _ = ready(recloser.call(failing()));
    let call = move || {
        let recloser = recloser.clone();
        move || ready(recloser.call(operation()))
    };
    cases.push(Case::new(RECLOSER, call, failed));

    let failsafe = peers::failsafe();
    break_it(|| failsafe.call(failing()));
    let call = move || {
        let failsafe = failsafe.clone();
        move || ready(failsafe.call(operation()))
    };
    cases.push(Case::new("failsafe async", call, failed));

    let mut service =
        peers::tower_breaker()?.layer(service_fn(|fail: bool| async move { if fail { failing().await } else { operation().await } }));
    for _ in 0..FAILURES {
        let _ = ready(async { service.ready().await?.call(true).await });
    }
    let call = move || {
        let mut service = service.clone();
        move || ready(async { service.ready().await?.call(false).await })
    };
    cases.push(Case::new("tower-resilience breaker", call, failed));
    Ok(cases)
}
