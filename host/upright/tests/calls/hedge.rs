//! Hedges: who starts, who wins, their cost, and the losers' end.

use std::cell::Cell;
use std::io;
use upright::budget::RetryBudgetConfig;
use upright::events::Events;
use upright::testing::{DrivenClock, EventLog, Outcome, Script};
use upright::types::{BreakerConfig, Phase, Reason};
use upright::{CircuitBreaker, Error, Event, Hedge, RecoveryManager, RetryBudget, RetryStrategy};
use upright_test_kit::driven::{Driven, seconds};
use upright_test_kit::refused;

fn gives(value: u32, after: u64, clock: &DrivenClock) -> Outcome<u32, io::Error> {
    Outcome::Ok(value).after(seconds(after), clock.shared())
}

fn fails(kind: io::ErrorKind, after: u64, clock: &DrivenClock) -> Outcome<u32, io::Error> {
    Outcome::Fail(kind.into()).after(seconds(after), clock.shared())
}

fn hedge(clock: &DrivenClock) -> upright::hedge::HedgeBuilder {
    Hedge::builder("search").delay(seconds(2)).clock(clock.shared())
}

fn budget(retries: u32) -> RetryBudget {
    RetryBudget::with_clock(RetryBudgetConfig { capacity: retries, per_second: 0.0 }, DrivenClock::new().shared()).unwrap()
}

fn strategy(clock: &DrivenClock) -> upright::retry::RetryStrategyBuilder {
    RetryStrategy::builder().jitter(false).use_circuit_breaker(false).clock(clock.shared())
}

#[test]
fn a_call_that_is_ready_at_once_gets_no_hedge_attempt_and_starts_no_timer() {
    let clock = DrivenClock::new();
    let hedge = hedge(&clock).build().unwrap();
    let search = Script::new([Ok::<_, io::Error>(1)]);
    assert_eq!(Driven::new(hedge.execute(|| search.call())).poll().unwrap().unwrap(), 1);
    assert_eq!((search.calls(), clock.waits()), (1, vec![]));
}

#[test]
fn a_call_that_ends_within_the_delay_gets_no_hedge_attempt() {
    let clock = DrivenClock::new();
    let hedge = hedge(&clock).build().unwrap();
    let search = Script::new([gives(1, 1, &clock)]);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    assert_eq!(call.ended_after(seconds(1), &clock).unwrap(), 1);
}

#[test]
fn a_slow_call_gets_a_hedge_attempt_whose_success_wins_and_the_slow_one_is_dropped() {
    let clock = DrivenClock::new();
    let hedge = hedge(&clock).build().unwrap();
    let search = Script::new([gives(1, 60, &clock), gives(2, 3, &clock)]);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    assert!(call.after(seconds(1), &clock).is_none());
    assert_eq!(search.calls(), 1);
    assert!(call.after(seconds(1), &clock).is_none());
    assert_eq!((search.calls(), search.cancelled()), (2, 0));
    assert_eq!(call.ended_after(seconds(3), &clock).unwrap(), 2);
    drop(call);
    assert_eq!((search.calls(), search.cancelled()), (2, 1));
}

#[test]
fn a_slow_call_that_ends_first_all_the_same_wins_and_its_hedge_attempt_is_dropped() {
    let clock = DrivenClock::new();
    let hedge = hedge(&clock).build().unwrap();
    let search = Script::new([gives(1, 3, &clock), gives(2, 60, &clock)]);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    assert!(call.after(seconds(2), &clock).is_none());
    assert_eq!(call.ended_after(seconds(1), &clock).unwrap(), 1);
    drop(call);
    assert_eq!((search.calls(), search.cancelled()), (2, 1));
}

#[test]
fn dropping_the_call_drops_all_that_is_in_flight() {
    let clock = DrivenClock::new();
    let hedge = hedge(&clock).max_hedges(2).build().unwrap();
    let search = Script::<u32, io::Error>::always(|| Outcome::Hang);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    assert!(call.after(seconds(2), &clock).is_none());
    assert!(call.after(seconds(2), &clock).is_none());
    drop(call);
    assert_eq!((search.calls(), search.cancelled()), (3, 3));
}

#[test]
fn a_failure_before_the_hedge_delay_is_returned_at_once() {
    let clock = DrivenClock::new();
    let hedge = hedge(&clock).build().unwrap();
    let search = Script::new([fails(io::ErrorKind::TimedOut, 1, &clock)]);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    assert_eq!(call.ended_after(seconds(1), &clock).unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_failure_waits_for_the_hedge_attempts_in_flight() {
    let clock = DrivenClock::new();
    let hedge = hedge(&clock).build().unwrap();
    let search = Script::new([fails(io::ErrorKind::TimedOut, 3, &clock), gives(2, 5, &clock)]);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    assert!(call.after(seconds(2), &clock).is_none());
    assert!(call.after(seconds(1), &clock).is_none());
    assert_eq!(call.ended_after(seconds(4), &clock).unwrap(), 2);
}

#[test]
fn of_several_failed_hedge_attempts_the_last_failure_is_returned() {
    for (first, second) in [(3, 5), (9, 1)] {
        let clock = DrivenClock::new();
        let hedge = hedge(&clock).build().unwrap();
        let search = Script::new([fails(io::ErrorKind::TimedOut, first, &clock), fails(io::ErrorKind::BrokenPipe, second, &clock)]);
        let mut call = Driven::begun(hedge.execute(|| search.call()));
        let error = (0..9).find_map(|_| call.after(seconds(1), &clock)).unwrap().unwrap_err();
        assert_eq!(error.kind() == io::ErrorKind::TimedOut, first > second, "{error}");
    }
}

#[test]
fn no_more_hedge_attempts_are_sent_than_wanted_each_a_delay_after_the_one_before() {
    let clock = DrivenClock::new();
    let hedge = hedge(&clock).max_hedges(3).build().unwrap();
    let search = Script::<u32, io::Error>::always(|| Outcome::Hang);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    let calls: Vec<_> = (0..10)
        .map(|_| {
            assert!(call.after(seconds(1), &clock).is_none());
            search.calls()
        })
        .collect();
    assert_eq!(calls, [1, 2, 2, 3, 3, 4, 4, 4, 4, 4]);
}

#[test]
fn an_empty_budget_sends_no_hedge_attempt_and_the_call_goes_on() {
    let clock = DrivenClock::new();
    let budget = budget(1);
    let hedge = hedge(&clock).max_hedges(5).budget(budget.clone()).build().unwrap();
    let search = Script::new([gives(1, 60, &clock), Outcome::Hang]);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    assert!(call.after(seconds(2), &clock).is_none());
    assert_eq!((search.calls(), budget.left()), (2, 0));
    for _ in 0..57 {
        assert!(call.after(seconds(1), &clock).is_none());
    }
    assert_eq!(call.ended_after(seconds(1), &clock).unwrap(), 1);
    assert_eq!(search.calls(), 2);
}

#[test]
fn retries_and_hedge_attempts_together_take_no_more_than_the_budget_holds() {
    for holds in [0, 1, 2, 3, 4, 7] {
        let clock = DrivenClock::skipping();
        let budget = budget(8);
        (holds..8).for_each(|_| budget.take().unwrap().spend());
        let hedge = Hedge::builder("search").delay(seconds(2)).max_hedges(2).build().unwrap();
        let strategy = strategy(&clock).max_retries(20).budget(budget.clone()).hedge(hedge).build().unwrap();
        let (calls, hedges, attempts) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let operation = |attempt: upright::Attempt| {
            calls.set(calls.get() + 1);
            hedges.set(hedges.get() + u32::from(attempt.hedge > 0));
            attempts.set(attempt.number);
            async {
                tokio::task::yield_now().await;
                Err::<(), _>(refused())
            }
        };
        let mut call = Driven::new(strategy.execute_accepting(operation, |_| true));
        let error = (0..1000).find_map(|_| call.poll()).unwrap().unwrap_err();
        assert_eq!((calls.get(), hedges.get() + attempts.get(), budget.left()), (holds + 1, holds + 1, 0));
        assert_eq!(error.failure().unwrap().reason, Reason::BudgetExhausted);
    }
}

#[test]
fn a_hedges_own_budget_comes_before_the_strategys() {
    let clock = DrivenClock::new();
    let (own, shared) = (budget(1), budget(1));
    let hedge = Hedge::builder("search").delay(seconds(2)).budget(own.clone()).build().unwrap();
    let strategy = strategy(&clock).budget(shared.clone()).hedge(hedge).build().unwrap();
    let search = Script::new([Outcome::Hang, gives(2, 1, &clock)]);
    let mut call = Driven::begun(strategy.execute(|| search.call()));
    assert!(call.after(seconds(2), &clock).is_none());
    assert_eq!(call.ended_after(seconds(1), &clock).unwrap(), 2);
    assert_eq!((own.left(), shared.left()), (0, 1));
}

#[test]
fn an_attempts_time_limit_covers_its_hedge_attempts() {
    let clock = DrivenClock::new();
    let hedge = Hedge::builder("search").delay(seconds(2)).max_hedges(5).build().unwrap();
    let strategy = strategy(&clock).max_retries(0).attempt_timeout(seconds(5)).hedge(hedge).build().unwrap();
    let search = Script::<u32, io::Error>::always(|| Outcome::Hang);
    let mut call = Driven::begun(strategy.execute(|| search.call()));
    assert!(call.after(seconds(2), &clock).is_none());
    assert!(call.after(seconds(2), &clock).is_none());
    let error = call.ended_after(seconds(1), &clock).unwrap_err();
    assert_eq!(error.downcast_ref::<upright::error::AttemptTimeout>().unwrap().limit, seconds(5));
    assert_eq!((search.calls(), search.cancelled()), (3, 3));
}

#[test]
fn hedge_attempts_know_their_numbers_and_are_reported_as_events() {
    let clock = DrivenClock::new();
    let events = Events::default();
    let log = EventLog::of(&events);
    let hedge = Hedge::builder("search").delay(seconds(2)).max_hedges(2).build().unwrap();
    let strategy = strategy(&clock).name("chat").max_retries(1).hedge(hedge).events(events).build().unwrap();
    let search = Script::new([Outcome::Fail(refused()), gives(1, 6, &clock), Outcome::Hang, Outcome::Hang]);
    let mut call = Driven::begun(strategy.execute_accepting(|attempt| search.call_with(attempt), |_| true));
    for _ in 0..6 {
        assert!(call.after(seconds(1), &clock).is_none());
    }
    assert_eq!(call.ended_after(seconds(1), &clock).unwrap(), 1);
    let numbers: Vec<_> = search.attempts().iter().map(|attempt| (attempt.number, attempt.hedge)).collect();
    assert_eq!(numbers, [(1, 0), (2, 0), (2, 1), (2, 2)]);
    let hedged = |hedge| Event::Hedged { operation: "chat".into(), attempt: 2, hedge };
    let seen: Vec<_> = log.take().into_iter().filter(|event| matches!(event, Event::Hedged { .. })).collect();
    assert_eq!(seen, [hedged(1), hedged(2)]);
}

#[test]
fn a_hedge_alone_reports_its_hedge_attempts_under_its_own_name() {
    let clock = DrivenClock::new();
    let events = Events::default();
    let log = EventLog::of(&events);
    let hedge = hedge(&clock).events(events).build().unwrap();
    let search = Script::<u32, io::Error>::always(|| Outcome::Hang);
    let mut call = Driven::begun(hedge.execute(|| search.call()));
    assert!(call.after(seconds(2), &clock).is_none());
    assert_eq!(log.take(), [Event::Hedged { operation: "search".into(), attempt: 1, hedge: 1 }]);
}

#[test]
fn a_breaker_counts_an_attempt_once_however_many_hedge_attempts_failed_with_it() {
    let clock = DrivenClock::new();
    let breaker = CircuitBreaker::builder("index").failure_threshold(2).clock(clock.shared()).build().unwrap();
    let hedge = Hedge::builder("search").delay(seconds(2)).max_hedges(2).build().unwrap();
    let strategy = strategy(&clock).max_retries(0).breaker(breaker.clone()).hedge(hedge).build().unwrap();
    let failing = |after| fails(io::ErrorKind::ConnectionRefused, after, &clock);
    let search = Script::new([failing(9), failing(7), failing(5)]);
    let mut call = Driven::begun(strategy.execute(|| search.call()));
    let error = (0..9).find_map(|_| call.after(seconds(1), &clock)).unwrap().unwrap_err();
    assert_eq!(error.failure().unwrap().attempts, 1);
    assert_eq!((search.calls(), breaker.state(), breaker.snapshot().consecutive_failures), (3, Phase::Closed, 1));
}

#[test]
fn a_hedged_probe_takes_one_permit_counts_once_and_its_cancelled_hedge_attempts_leave_none_behind() {
    let clock = DrivenClock::new();
    let config = BreakerConfig { failure_threshold: 1, half_open_permits: 2, success_threshold: 3, ..BreakerConfig::default() };
    let breaker = CircuitBreaker::builder("index").config(config).clock(clock.shared()).build().unwrap();
    breaker.call_blocking(|| Err::<(), _>(refused())).unwrap_err();
    clock.advance(seconds(60));
    let hedge = Hedge::builder("search").delay(seconds(2)).max_hedges(2).build().unwrap();
    let strategy = strategy(&clock).breaker(breaker.clone()).hedge(hedge).build().unwrap();

    let search = Script::new([Outcome::Hang, Outcome::Hang, gives(3, 1, &clock)]);
    let mut call = Driven::begun(strategy.execute(|| search.call()));
    for _ in 0..4 {
        assert!(call.after(seconds(1), &clock).is_none());
    }
    assert_eq!(search.calls(), 3);
    drop(breaker.try_acquire().unwrap());
    assert_eq!(call.ended_after(seconds(1), &clock).unwrap(), 3);
    drop(call);
    assert_eq!((search.cancelled(), breaker.state(), breaker.snapshot().half_open_successes), (2, Phase::HalfOpen, 1));

    let hanging = Script::<u32, io::Error>::always(|| Outcome::Hang);
    let mut call = Driven::begun(strategy.execute(|| hanging.call()));
    assert!(call.after(seconds(2), &clock).is_none());
    drop(call);
    let permits = [breaker.try_acquire(), breaker.try_acquire(), breaker.try_acquire()].map(|permit| permit.is_ok());
    assert_eq!(permits, [true, true, false]);
}

#[test]
fn an_operation_of_a_manager_is_hedged_by_the_managers_clock_and_budget() {
    let clock = DrivenClock::new();
    let manager =
        RecoveryManager::builder().clock(clock.shared()).budgets(RetryBudgetConfig { capacity: 1, per_second: 0.0 }).build().unwrap();
    let log = EventLog::from(manager.subscribe());
    let hedge = Hedge::builder("search").delay(seconds(2)).max_hedges(2).build().unwrap();
    let search = Script::new([Outcome::Hang, gives(2, 9, &clock)]);
    let operation = manager.operation("chat").budget("index").hedge(&hedge);
    let mut call = Driven::begun(operation.run(|attempt| search.call_with(attempt)));
    for _ in 0..10 {
        assert!(call.after(seconds(1), &clock).is_none());
    }
    let answer = call.ended_after(seconds(1), &clock).unwrap();
    assert_eq!((answer.value, answer.attempts, search.cancelled()), (2, 1, 1));
    assert_eq!(log.take(), [Event::Hedged { operation: "chat".into(), attempt: 1, hedge: 1 }]);
    assert_eq!(manager.budgets().get("index").left(), 0);
}

/// A hedge returns the operation's error unwrapped, so that a strategy wraps it only once.
#[test]
fn a_hedged_attempts_error_is_the_operations_own() {
    let clock = DrivenClock::new();
    let strategy = strategy(&clock).max_retries(0).hedge(hedge(&clock).build().unwrap()).build().unwrap();
    let search = Script::<u32, _>::new([Outcome::Fail(refused())]);
    let error: Error = Driven::new(strategy.execute(|| search.call())).poll().unwrap().unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(111));
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let refused = |builder: upright::hedge::HedgeBuilder| builder.build().unwrap_err().setting;
    assert_eq!(refused(Hedge::builder("h").delay(seconds(0))), "hedge delay");
    assert_eq!(refused(Hedge::builder("h").max_hedges(0)), "max_hedges");
    assert_eq!(refused(Hedge::builder("h").max_hedges(11)), "max_hedges");
    Hedge::builder("h").max_hedges(10).build().unwrap();
}
