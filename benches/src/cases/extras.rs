//! Cost of a retry budget, a hedge and a bulkhead for healthy calls.

use super::peers::{LIMIT, operation};
use super::success::armed;
use crate::group::{Case, Group, Target, ready, succeeded};
use anyhow::{Result, anyhow};
use std::io;
use std::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::hedge::HedgeLayer;
use tower_resilience::retry::RetryBudgetBuilder;
use upright::budget::RetryBudgetConfig;
use upright::{Bulkhead, Hedge, RetryBudget};

const NOTHING: &str = "no guard";
const BUDGET: &str = "upright `RetryBudget`: take and spend";
const HEDGE: &str = "upright `Hedge::execute`";
const BULKHEAD: &str = "upright `Bulkhead::call`";
const ALL: &str = "upright `RetryStrategy::execute` with all three";

const TOKENS: u32 = 1_000_000_000;
const DELAY: Duration = Duration::from_secs(2);
const ROOM: u32 = 4;

pub(super) fn group() -> Result<Group> {
    let limits = [BUDGET, HEDGE, BULKHEAD].map(|case| [Target::Nanoseconds { case, at_most: 100.0 }, Target::NoAllocation { case }]);
    Ok(Group {
        id: "extras",
        title: "Budget, hedge and bulkhead while nothing is wrong, one thread",
        note: "A bucket that is never empty, a hedge whose delay is never reached, a bulkhead with room for four calls and a queue.",
        threads: 1,
        reference: NOTHING,
        cases: cases()?,
        targets: limits.into_iter().flatten().chain([Target::NoAllocation { case: ALL }]).collect(),
    })
}

fn cases() -> Result<Vec<Case>> {
    let mut cases = vec![Case::new(NOTHING, || || ready(operation()), succeeded)];

    let budget = RetryBudget::new(RetryBudgetConfig { capacity: TOKENS, per_second: f64::from(TOKENS) })?;
    let given = budget.clone();
    let call = move || {
        let budget = given.clone();
        move || budget.take().map(|token| token.spend()).is_some()
    };
    cases.push(Case::new(BUDGET, call, |taken| *taken));

    let bucket = RetryBudgetBuilder::new().token_bucket().tokens_per_second(f64::from(TOKENS)).max_tokens(TOKENS as usize);
    let bucket = bucket.build().map_err(|error| anyhow!("{error:?}"))?;
    let call = move || {
        let bucket = bucket.clone();
        move || bucket.try_withdraw()
    };
    cases.push(Case::new("tower-resilience token bucket: withdraw", call, |taken| *taken));

    let hedge = Hedge::builder("service").delay(DELAY).max_hedges(1).budget(budget.clone()).build()?;
    let given = hedge.clone();
    let call = move || {
        let hedge = given.clone();
        move || ready(hedge.execute(operation))
    };
    cases.push(Case::new(HEDGE, call, succeeded));

    let layer = HedgeLayer::builder().delay(DELAY).max_hedged_attempts(2).build();
    let service = layer.layer(service_fn(|()| async { operation().await.map_err(|error| error.kind()) }));
    let call = move || {
        let mut service = service.clone();
        move || ready(async { service.ready().await?.call(()).await })
    };
    cases.push(Case::new("tower-resilience hedge", call, succeeded));

    let bulkhead = Bulkhead::builder("service").max_concurrent(ROOM).max_queued(16).max_wait(LIMIT).build()?;
    let given = bulkhead.clone();
    let call = move || {
        let bulkhead = given.clone();
        move || ready(bulkhead.call(operation))
    };
    cases.push(Case::new(BULKHEAD, call, succeeded));

    let layer = BulkheadLayer::builder().max_concurrent_calls(ROOM as usize).max_wait_duration(LIMIT).build();
    let service = layer.map_err(|error| anyhow!("{error:?}"))?.layer(service_fn(|()| operation()));
    let call = move || {
        let mut service = service.clone();
        move || ready(async { service.ready().await?.call(()).await })
    };
    cases.push(Case::new("tower-resilience bulkhead", call, succeeded));

    let strategy = armed().budget(budget).hedge(hedge).bulkhead(bulkhead).build()?;
    let call = move || {
        let strategy = strategy.clone();
        move || ready(strategy.execute::<u64, io::Error, _>(operation))
    };
    cases.push(Case::new(ALL, call, succeeded));
    Ok(cases)
}
