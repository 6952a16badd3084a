//! Cost of a guard for calls that succeed.

use super::peers::{self, LIMIT, RETRIES, operation};
use crate::group::{Case, Group, Target, ready, succeeded};
use anyhow::Result;
use backon::Retryable;
use failsafe::futures::CircuitBreaker as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience::retry::RetryLayer;
use tower_resilience::timelimiter::TimeLimiterLayer;
use upright::retry::RetryStrategyBuilder;
use upright::store::StateAddress;
use upright::{CircuitBreaker, ErrorClassifier, PolicyLifecycle, RecoveryManager, RetryStrategy};

const EXECUTE: &str = "upright `RetryStrategy::execute`";
const CALL: &str = "upright `CircuitBreaker::call`";
const RECLOSER: &str = "recloser async";

pub(super) fn alone() -> Result<Group> {
    Ok(Group {
        id: "success",
        title: "A call that succeeds, one thread",
        note: "The operation is ready at once and each future is polled once. Upright's strategy is armed with everything (breaker, retries, \
               classifier with a history, policy in WebAssembly) and stands beside breakers alone.",
        threads: 1,
        reference: RECLOSER,
        cases: cases()?,
        targets: vec![
            Target::TimesOf { case: EXECUTE, peer: RECLOSER, at_most: 1.0 },
            Target::NoAllocation { case: EXECUTE },
            Target::NoAllocation { case: CALL },
        ],
    })
}

pub(super) fn contended() -> Result<Group> {
    Ok(Group {
        id: "success-contended",
        title: "A call that succeeds, two threads that share the breaker",
        note: "The same calls from two threads at once through one breaker; nanoseconds that each thread waits for a call.",
        threads: 2,
        reference: RECLOSER,
        cases: cases()?,
        targets: vec![Target::TimesOf { case: EXECUTE, peer: RECLOSER, at_most: 1.0 / 3.0 }],
    })
}

const WITHOUT_STATE: &str = "`execute` of a manager without state";
const AWAY: &str = "`execute` of a manager whose state is away";
const IN_FILE: &str = "`execute` of a manager whose state is a file";

pub(super) fn with_state() -> Result<Group> {
    let away = StateAddress::Nats("nats://127.0.0.1:9".to_owned());
    let file = StateAddress::File(std::env::temp_dir().join(format!("upright-bench-{}.db", std::process::id())));
    let case = |name, state: Option<StateAddress>| -> Result<Case> {
        let mut manager = RecoveryManager::builder().breaker(peers::breaker_config());
        if let Some(state) = state {
            manager = manager.state(state);
        }
        let manager = manager.build()?;
        let call = move || {
            let manager = manager.clone();
            move || ready(manager.strategy().execute::<u64, io::Error, _>(operation))
        };
        Ok(Case::new(name, call, succeeded))
    };
    Ok(Group {
        id: "success-state",
        title: "A call that succeeds, by managers that keep their breakers in a store",
        note: "The server of one cannot be reached, and is called again and again by a thread of its own. The strategy is the manager's own.",
        threads: 1,
        reference: WITHOUT_STATE,
        cases: vec![case(WITHOUT_STATE, None)?, case(AWAY, Some(away))?, case(IN_FILE, Some(file))?],
        targets: vec![
            Target::TimesOf { case: AWAY, peer: WITHOUT_STATE, at_most: 1.1 },
            Target::TimesOf { case: IN_FILE, peer: WITHOUT_STATE, at_most: 1.1 },
            Target::NoAllocation { case: AWAY },
        ],
    })
}

/// A strategy with everything that a success may touch.
pub(super) fn armed() -> RetryStrategyBuilder {
    let policy = PolicyLifecycle::built_in();
    let classifier = ErrorClassifier::default().with_policy(policy.clone());
    RetryStrategy::builder().breaker_config(peers::breaker_config()).max_retries(RETRIES).policy(policy).classifier(Arc::new(classifier))
}

fn cases() -> Result<Vec<Case>> {
    let mut cases = vec![Case::new("no guard", || || ready(operation()), succeeded)];

    let strategy = armed().build()?;
    cases.push(execute(EXECUTE, strategy));

    let breaker = CircuitBreaker::builder("service").config(peers::breaker_config()).build()?;
    let call = move || {
        let breaker = breaker.clone();
        move || ready(breaker.call(operation))
    };
    cases.push(Case::new(CALL, call, succeeded));

    let recloser = peers::recloser();
    let call = {
        let recloser = recloser.clone();
        move || {
            let recloser = recloser.clone();
            move || ready(recloser.call(operation()))
        }
    };
    cases.push(Case::new(RECLOSER, call, succeeded));

    let failsafe = peers::failsafe();
    let call = move || {
        let failsafe = failsafe.clone();
        move || ready(failsafe.call(operation()))
    };
    cases.push(Case::new("failsafe async", call, succeeded));

    let backoff = peers::backon();
    let call = move || move || ready(async move { operation.retry(backoff).await });
    cases.push(Case::new("backon retry, no breaker", call, succeeded));

    let call = move || {
        let recloser = recloser.clone();
        move || ready(async { (|| recloser.call(operation())).retry(backoff).await })
    };
    cases.push(Case::new("backon retry > recloser", call, succeeded));

    let service = peers::tower_breaker()?.layer(service_fn(|()| operation()));
    let call = move || {
        let mut service = service.clone();
        move || ready(async { service.ready().await?.call(()).await })
    };
    cases.push(Case::new("tower-resilience breaker", call, succeeded));

    cases.push(execute("upright `execute`, attempts with a time limit", armed().attempt_timeout(LIMIT).build()?));

    let retry = RetryLayer::<(), _, _>::builder().max_attempts(RETRIES as usize + 1).exponential_backoff(Duration::from_secs(1)).build();
    let service = ServiceBuilder::new()
        .layer(TimeLimiterLayer::builder().timeout_duration(LIMIT).build())
        .layer(retry)
        .layer(peers::tower_breaker()?)
        .service(service_fn(|()| operation()));
    let call = move || {
        let mut service = service.clone();
        move || ready(async { service.ready().await?.call(()).await })
    };
    cases.push(Case::new("tower-resilience timeout > retry > breaker", call, succeeded));
    Ok(cases)
}

fn execute(name: &'static str, strategy: RetryStrategy) -> Case {
    let call = move || {
        let strategy = strategy.clone();
        move || ready(strategy.execute::<u64, io::Error, _>(operation))
    };
    Case::new(name, call, succeeded)
}
