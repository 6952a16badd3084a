//! Bulkheads: limits, order of waiting, timeouts, and dropped callers.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use upright::budget::RetryBudgetConfig;
use upright::bulkhead::BulkheadBuilder;
use upright::error::BulkheadFull;
use upright::events::Events;
use upright::testing::{DrivenClock, EventLog, Outcome, Script};
use upright::types::{BreakerConfig, ErrorCategory, FaultKind, Phase};
use upright::{Bulkhead, Bulkheads, CircuitBreaker, Error, Event, PolicyLifecycle, RecoveryManager, RetryBudget, RetryStrategy};
use upright_test_kit::driven::{Driven, seconds};
use upright_test_kit::refused;

fn narrow(clock: &DrivenClock) -> BulkheadBuilder {
    Bulkhead::builder("ollama").max_concurrent(1).max_queued(3).clock(clock.shared())
}

fn strategy(clock: &DrivenClock) -> upright::retry::RetryStrategyBuilder {
    RetryStrategy::builder().jitter(false).use_circuit_breaker(false).clock(clock.shared())
}

fn full(error: &Error) -> &BulkheadFull {
    let Error::BulkheadFull(full) = error else { panic!("{error}") };
    full
}

#[tokio::test]
async fn of_many_tasks_no_more_are_in_flight_than_there_is_room_for_and_all_come_to_their_turn() {
    let bulkhead = Bulkhead::builder("ollama").max_concurrent(3).max_queued(100).build().unwrap();
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..100)
        .map(|number: u32| {
            let (bulkhead, running, most) = (bulkhead.clone(), Arc::clone(&running), Arc::clone(&most));
            tokio::spawn(async move {
                let operation = || async {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    for _ in 0..number % 7 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, io::Error>(number)
                };
                bulkhead.call(operation).await
            })
        })
        .collect();
    for (number, task) in (0..).zip(tasks) {
        assert_eq!(task.await.unwrap().unwrap(), number);
    }
    assert_eq!((most.load(Ordering::SeqCst), bulkhead.available(), bulkhead.queued()), (3, 3, 0));
}

#[test]
fn a_bulkhead_admits_up_to_its_limit_queues_the_next_and_rejects_beyond_the_queue() {
    let bulkhead = Bulkhead::builder("ollama").max_concurrent(2).max_queued(2).build().unwrap();
    let hang = || Driven::begun(bulkhead.call(pending::<Result<(), io::Error>>));
    let calls = [hang(), hang(), hang(), hang()];
    assert_eq!((bulkhead.available(), bulkhead.queued()), (0, 2));
    let error = Driven::new(bulkhead.call(pending::<Result<(), io::Error>>)).poll().unwrap().unwrap_err();
    let expected = BulkheadFull { bulkhead: "ollama".into(), max_concurrent: 2, max_queued: 2, waited: Duration::ZERO };
    assert_eq!(full(&error), &expected);
    drop(calls);
    assert_eq!((bulkhead.available(), bulkhead.queued()), (2, 0));
}

#[test]
fn those_who_wait_are_let_in_in_the_order_in_which_they_came() {
    let bulkhead = narrow(&DrivenClock::new()).build().unwrap();
    let mut room = Some(bulkhead.try_acquire().unwrap());
    let mut waiting: Vec<_> = (0..3).map(|_| Driven::begun(bulkhead.acquire())).collect();
    for first in 0..3 {
        drop(room.take());
        let let_in: Vec<_> = (first..3).rev().filter_map(|at| Some((at, waiting[at].run()?.unwrap()))).collect();
        let [(at, permit)] = <[_; 1]>::try_from(let_in).unwrap();
        assert_eq!(at, first);
        room = Some(permit);
    }
}

#[test]
fn a_new_call_does_not_overtake_those_queued_at_a_bulkhead() {
    let bulkhead = narrow(&DrivenClock::new()).build().unwrap();
    let room = bulkhead.try_acquire().unwrap();
    let mut waiting = Driven::begun(bulkhead.acquire());
    drop(room);
    assert!(bulkhead.try_acquire().is_err());
    let mut late = Driven::begun(bulkhead.acquire());
    assert!(waiting.run().unwrap().is_ok());
    drop(waiting);
    assert!(late.run().unwrap().is_ok());
}

#[test]
fn a_wait_that_is_dropped_frees_its_place_and_hands_on_its_turn() {
    let bulkhead = narrow(&DrivenClock::new()).build().unwrap();
    let room = bulkhead.try_acquire().unwrap();
    let (first, second) = (Driven::begun(bulkhead.acquire()), Driven::begun(bulkhead.acquire()));
    let mut third = Driven::begun(bulkhead.acquire());
    assert_eq!((bulkhead.queued(), Driven::new(bulkhead.acquire()).poll().unwrap().is_err()), (3, true));
    drop(second);
    assert_eq!(bulkhead.queued(), 2);
    drop(room);
    // It had its turn, but was not woken yet.
    drop(first);
    assert!(third.run().unwrap().is_ok());
    drop(third);
    assert_eq!((bulkhead.available(), bulkhead.queued()), (1, 0));
}

#[test]
fn a_call_that_is_dropped_fails_or_panics_frees_its_room() {
    let bulkhead = narrow(&DrivenClock::new()).build().unwrap();
    drop(Driven::begun(bulkhead.call(pending::<Result<(), io::Error>>)));
    assert_eq!(bulkhead.available(), 1);
    let error = Driven::new(bulkhead.call(|| async { Err::<(), _>(refused()) })).poll().unwrap().unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(111));
    assert_eq!((error.failure().unwrap().attempts, bulkhead.available()), (1, 1));
    let panicking = std::panic::AssertUnwindSafe(|| {
        let _ = bulkhead.call_blocking(|| -> Result<(), io::Error> { std::panic::resume_unwind(Box::new("no")) });
    });
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert_eq!(bulkhead.available(), 1);
}

#[test]
fn a_wait_ends_when_it_took_too_long_and_says_how_long_it_was() {
    let clock = DrivenClock::new();
    let bulkhead = narrow(&clock).max_wait(seconds(5)).build().unwrap();
    let _room = bulkhead.try_acquire().unwrap();
    let mut waiting = Driven::begun(bulkhead.acquire());
    assert!(waiting.after(seconds(4), &clock).is_none());
    let error = waiting.ended_after(seconds(1), &clock).unwrap_err();
    assert_eq!((error.waited, bulkhead.queued()), (seconds(5), 0));
}

#[test]
fn room_that_comes_at_the_last_moment_is_taken() {
    let clock = DrivenClock::new();
    let bulkhead = narrow(&clock).max_wait(seconds(5)).build().unwrap();
    let room = bulkhead.try_acquire().unwrap();
    let mut waiting = Driven::begun(bulkhead.acquire());
    drop(room);
    assert!(waiting.ended_after(seconds(5), &clock).is_ok());
}

#[test]
fn a_wait_ends_with_the_operations_deadline() {
    let clock = DrivenClock::new();
    let bulkhead = narrow(&clock).max_wait(seconds(60)).build().unwrap();
    let _room = bulkhead.try_acquire().unwrap();
    let strategy = strategy(&clock).deadline(seconds(10)).bulkhead(bulkhead.clone()).build().unwrap();
    let ask = Script::<(), io::Error>::new::<Outcome<_, _>>([]);
    let mut call = Driven::begun(strategy.execute(|| ask.call()));
    assert!(call.after(seconds(9), &clock).is_none());
    let error = call.ended_after(seconds(1), &clock).unwrap_err();
    assert_eq!((full(&error).waited, ask.calls(), bulkhead.queued()), (seconds(10), 0, 0));
}

#[test]
fn an_attempts_limit_of_time_does_not_run_in_the_queue() {
    let clock = DrivenClock::new();
    let bulkhead = narrow(&clock).build().unwrap();
    let room = bulkhead.try_acquire().unwrap();
    let strategy = strategy(&clock).attempt_timeout(seconds(5)).bulkhead(bulkhead.clone()).build().unwrap();
    let ask = Script::<_, io::Error>::new([Outcome::Ok(1).after(seconds(4), clock.shared())]);
    let mut call = Driven::begun(strategy.execute_accepting(|attempt| ask.call_with(attempt), |_| true));
    assert!(call.after(seconds(60), &clock).is_none());
    drop(room);
    assert!(call.run().is_none());
    assert_eq!(call.ended_after(seconds(4), &clock).unwrap(), 1);
    assert_eq!(ask.attempts()[0].time_left, Some(seconds(5)));
}

#[test]
fn time_in_the_queue_is_taken_from_what_the_deadline_leaves_the_attempt() {
    let clock = DrivenClock::new();
    let bulkhead = narrow(&clock).build().unwrap();
    let room = bulkhead.try_acquire().unwrap();
    let strategy = strategy(&clock).deadline(seconds(10)).bulkhead(bulkhead.clone()).build().unwrap();
    let ask = Script::new([Ok::<_, io::Error>(1)]);
    let mut call = Driven::begun(strategy.execute_accepting(|attempt| ask.call_with(attempt), |_| true));
    assert!(call.after(seconds(7), &clock).is_none());
    drop(room);
    assert_eq!(call.run().unwrap().unwrap(), 1);
    assert_eq!(ask.attempts()[0].time_left, Some(seconds(3)));
}

#[test]
fn waiting_between_attempts_holds_no_room_and_each_attempt_must_find_its_own() {
    let clock = DrivenClock::new();
    let bulkhead = narrow(&clock).build().unwrap();
    let strategy = strategy(&clock).bulkhead(bulkhead.clone()).build().unwrap();
    let ask = Script::new([Err(refused()), Ok(1)]);
    let mut call = Driven::begun(strategy.execute(|| ask.call()));
    assert_eq!((ask.calls(), bulkhead.available()), (1, 1));
    let room = bulkhead.try_acquire().unwrap();
    assert!(call.after(seconds(1), &clock).is_none());
    assert_eq!((ask.calls(), bulkhead.queued()), (1, 1));
    drop(room);
    assert_eq!(call.run().unwrap().unwrap(), 1);
}

#[test]
fn a_rejection_is_distinguished_from_a_failure_by_its_type_and_its_kind() {
    let bulkhead = Bulkhead::builder("ollama").max_concurrent(1).build().unwrap();
    let _room = bulkhead.try_acquire().unwrap();
    let rejected = bulkhead.try_acquire().unwrap_err();
    let wrapped = io::Error::other(rejected.clone());
    for error in [&rejected as &(dyn std::error::Error + 'static), &Error::from(rejected.clone()), &wrapped] {
        let fault = upright::fault::fault_of(error);
        let classification = PolicyLifecycle::built_in().slot().classify(&fault);
        assert_eq!((fault.kind, &*classification.rule), (FaultKind::BulkheadFull, "bulkhead-full"));
        assert!(classification.category == ErrorCategory::Transient && classification.retryable && !classification.counted);
    }
}

#[test]
fn a_rejection_is_retried_as_the_policy_says_and_nobody_counts_or_pays_it() {
    let clock = DrivenClock::skipping();
    let events = Events::default();
    let log = EventLog::of(&events);
    let bulkhead = Bulkhead::builder("ollama").max_concurrent(1).build().unwrap();
    let room = RefCell::new(Some(bulkhead.try_acquire().unwrap()));
    let breaker = CircuitBreaker::builder("ollama").failure_threshold(1).clock(clock.shared()).build().unwrap();
    let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 5, per_second: 0.0 }, clock.shared()).unwrap();
    let guarded = strategy(&clock).name("chat").breaker(breaker.clone()).budget(budget.clone()).bulkhead(bulkhead.clone());
    let strategy = guarded.max_retries(3).events(events).build().unwrap();

    let error = Driven::new(strategy.execute(|| async { Ok::<_, io::Error>(1) })).poll().unwrap().unwrap_err();
    assert_eq!(full(&error).bulkhead, "ollama".into());
    assert_eq!(clock.waits(), [1, 2, 4].map(seconds));
    assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures, budget.left()), (Phase::Closed, 0, 5));
    let rejected = |event: &&Event| matches!(event, Event::BulkheadRejected { attempt: 0, bulkhead, .. } if &**bulkhead == "ollama");
    let log = log.take();
    assert_eq!((log.iter().filter(rejected).count(), log.len()), (4, 8), "{log:?}");

    drop(room.take());
    assert_eq!(Driven::new(strategy.execute(|| async { Ok::<_, io::Error>(1) })).poll().unwrap().unwrap(), 1);
}

#[test]
fn a_rejection_after_a_failure_does_not_hide_the_cause() {
    let clock = DrivenClock::new();
    let bulkhead = Bulkhead::builder("ollama").max_concurrent(1).build().unwrap();
    let strategy = strategy(&clock).max_retries(1).bulkhead(bulkhead.clone()).build().unwrap();
    let mut call = Driven::begun(strategy.execute(|| async { Err::<(), _>(refused()) }));
    let _room = bulkhead.try_acquire().unwrap();
    let error = call.ended_after(seconds(1), &clock).unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(111));
    assert_eq!(error.failure().unwrap().attempts, 1);
}

#[test]
fn a_full_bulkhead_gives_the_probe_permit_back_that_was_taken_for_the_call() {
    let clock = DrivenClock::new();
    let config = BreakerConfig { failure_threshold: 1, half_open_permits: 1, ..BreakerConfig::default() };
    let breaker = CircuitBreaker::builder("ollama").config(config).clock(clock.shared()).build().unwrap();
    breaker.call_blocking(|| Err::<(), _>(refused())).unwrap_err();
    clock.advance(seconds(60));
    let bulkhead = Bulkhead::builder("ollama").max_concurrent(1).build().unwrap();
    let room = bulkhead.try_acquire().unwrap();
    let strategy = strategy(&clock).max_retries(0).breaker(breaker.clone()).bulkhead(bulkhead.clone()).build().unwrap();
    let asked = Cell::new(0);
    let ask = || {
        asked.set(asked.get() + 1);
        async { Ok::<_, io::Error>(1) }
    };
    for _ in 0..3 {
        assert!(matches!(Driven::new(strategy.execute(ask)).poll(), Some(Err(Error::BulkheadFull(_)))));
        assert!(matches!(strategy.execute_blocking(|| Ok::<_, io::Error>(1)), Err(Error::BulkheadFull(_))));
    }
    assert_eq!((breaker.state(), asked.get()), (Phase::HalfOpen, 0));
    drop(room);
    assert!(Driven::new(strategy.execute(ask)).poll().unwrap().is_ok());
}

#[test]
fn a_thread_that_blocks_does_not_wait_for_room() {
    let clock = DrivenClock::new();
    let bulkhead = narrow(&clock).build().unwrap();
    let room = bulkhead.try_acquire().unwrap();
    let strategy = strategy(&clock).max_retries(0).bulkhead(bulkhead.clone()).build().unwrap();
    assert!(matches!(bulkhead.call_blocking(|| Ok::<_, io::Error>(1)), Err(Error::BulkheadFull(_))));
    assert!(matches!(strategy.execute_blocking(|| Ok::<_, io::Error>(1)), Err(Error::BulkheadFull(_))));
    drop(room);
    assert_eq!(bulkhead.call_blocking(|| Ok::<_, io::Error>(1)).unwrap(), 1);
    assert_eq!(strategy.execute_blocking(|| Ok::<_, io::Error>(bulkhead.available())).unwrap(), 0);
    assert_eq!(bulkhead.available(), 1);
}

#[test]
fn operations_that_name_one_bulkhead_share_its_room() {
    let clock = DrivenClock::new();
    let template = Bulkhead::builder("template").max_concurrent(1).max_queued(0);
    let manager = RecoveryManager::builder().clock(clock.shared()).bulkheads(template).build().unwrap();
    let chat = manager.operation("chat").bulkhead("ollama").run(|_| pending::<Result<(), io::Error>>());
    let _chat = Driven::begun(chat);
    let other = manager.operation("embed").bulkhead("index").run(|_| async { Ok::<_, io::Error>(1) });
    assert_eq!(Driven::new(other).poll().unwrap().unwrap().value, 1);
    let embed = manager.operation("embed").bulkhead("ollama").attempts(1).run(|_| async { Ok::<_, io::Error>(1) });
    let error = Driven::new(embed).poll().unwrap().unwrap_err();
    assert_eq!(full(&error).bulkhead, "ollama".into());
}

#[test]
fn a_registry_has_one_bulkhead_for_each_name_and_keeps_those_in_use() {
    let bulkheads = Bulkheads::new(Bulkhead::builder("template").max_concurrent(1)).unwrap();
    let used = bulkheads.get("used");
    let _room = used.try_acquire().unwrap();
    assert!(bulkheads.get("used").try_acquire().is_err());
    assert!(bulkheads.get("other").try_acquire().is_ok());
    assert!(bulkheads.find("nobody").is_none());
    (0..5000).for_each(|number| drop(bulkheads.get(&number.to_string())));
    assert!(bulkheads.get("used").try_acquire().is_err());
    assert!(bulkheads.all().len() <= 1025, "{}", bulkheads.all().len());

    bulkheads.insert(Bulkhead::builder("wide").max_concurrent(2).build().unwrap());
    assert_eq!((bulkheads.get("wide").available(), &**bulkheads.get("wide").name()), (2, "wide"));
    let error = Bulkheads::new(Bulkhead::builder("template").max_concurrent(0)).err().unwrap();
    assert_eq!(error.setting, "max_concurrent");
}

#[test]
fn a_bulkhead_rejection_names_the_bulkhead_and_its_limits() {
    let rejected = |max_queued, waited| BulkheadFull { bulkhead: "ollama".into(), max_concurrent: 4, max_queued, waited };
    let text = |max_queued, waited| Error::from(rejected(max_queued, waited)).to_string();
    assert_eq!(text(0, Duration::ZERO), "bulkhead full: \"ollama\" has 4 calls in flight");
    assert_eq!(text(16, Duration::ZERO), "bulkhead full: \"ollama\" has 4 calls in flight and 16 waiting");
    assert_eq!(text(16, seconds(5)), "bulkhead full: \"ollama\" has 4 calls in flight, and none ended within 5.0 s");
    let one = BulkheadFull { max_concurrent: 1, ..rejected(0, Duration::ZERO) };
    assert_eq!(one.to_string(), "bulkhead full: \"ollama\" has 1 call in flight");
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let refused = |builder: BulkheadBuilder| builder.build().unwrap_err().setting;
    let builder = || Bulkhead::builder("b");
    assert_eq!(refused(builder().max_concurrent(0)), "max_concurrent");
    assert_eq!(refused(builder().max_concurrent(1_000_001)), "max_concurrent");
    assert_eq!(refused(builder().max_wait(Duration::ZERO)), "max_wait");
}
