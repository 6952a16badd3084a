//! Callers with the same question at the same time.

use futures_util::future::join_all;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use upright::degradation::CacheLimits;
use upright::testing::DrivenClock;
use upright::types::{BreakerConfig, Reason};
use upright::{Error, Recovered, RecoveryManager, Served};
use upright_test_kit::driven::{Driven, seconds};
use upright_test_kit::refused;

const HOUR: Duration = Duration::from_secs(3600);

fn manager(clock: &DrivenClock) -> RecoveryManager {
    RecoveryManager::builder().clock(clock.shared()).build().unwrap()
}

#[derive(Clone, Default)]
struct Service(Arc<Inner>);

struct Inner {
    calls: AtomicU32,
    at_once: AtomicU32,
    most_at_once: AtomicU32,
    go: Semaphore,
}

impl Default for Inner {
    fn default() -> Self {
        Self { calls: AtomicU32::new(0), at_once: AtomicU32::new(0), most_at_once: AtomicU32::new(0), go: Semaphore::new(0) }
    }
}

struct Calling<'a>(&'a Inner);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service {
    async fn answer(self) -> Result<u32, io::Error> {
        let number = self.0.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let at_once = self.0.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let _calling = Calling(&self.0);
        self.0.go.acquire().await.unwrap().forget();
        Ok(number)
    }

    fn let_answer(&self, calls: usize) {
        self.0.go.add_permits(calls);
    }

    fn calls(&self) -> u32 {
        self.0.calls.load(Ordering::SeqCst)
    }
}

async fn ask(manager: &RecoveryManager, service: &Service) -> Result<Recovered<u32>, Error> {
    manager.operation("chat").attempts(1).cache("key").fresh_for(HOUR).stale_for(HOUR).run(|_| service.clone().answer()).await
}

#[tokio::test]
async fn a_hundred_who_ask_the_same_at_once_make_one_call() {
    let (manager, service) = (manager(&DrivenClock::new()), Service::default());
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (manager, service) = (manager.clone(), service.clone());
            tokio::spawn(async move { ask(&manager, &service).await.unwrap() })
        })
        .collect();
    while service.calls() == 0 {
        tokio::task::yield_now().await;
    }
    service.let_answer(100);
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(service.calls(), 1);
    assert!(answers.iter().all(|answer| answer.value == 1));
    assert_eq!(answers.iter().filter(|answer| answer.served == Served::Live).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.served == Served::Cached { age: Duration::ZERO }).count(), 99);
}

#[test]
fn when_the_one_who_calls_is_dropped_another_calls() {
    let (manager, service) = (manager(&DrivenClock::new()), Service::default());
    let first = Driven::begun(ask(&manager, &service));
    let mut others: Vec<_> = (0..5).map(|_| Driven::begun(ask(&manager, &service))).collect();
    assert_eq!(service.calls(), 1);
    drop(first);
    drop(others.remove(0));
    others.iter_mut().for_each(|other| assert!(other.run().is_none()));
    assert_eq!(service.calls(), 2);
    service.let_answer(1);
    let served: Vec<_> = others.iter_mut().map(|other| other.run().unwrap().unwrap().served).collect();
    assert_eq!(served.iter().filter(|served| **served == Served::Live).count(), 1);
    assert_eq!(service.calls(), 2);
}

#[tokio::test]
async fn when_the_call_fails_the_others_call_one_at_a_time_until_the_breaker_rejects_the_rest() {
    let manager = RecoveryManager::builder()
        .clock(DrivenClock::new().shared())
        .breaker(BreakerConfig { failure_threshold: 3, ..BreakerConfig::default() })
        .build()
        .unwrap();
    let service = Service::default();
    service.let_answer(100);
    let failing = || async {
        let ask = |_| async {
            service.clone().answer().await?;
            tokio::task::yield_now().await;
            Err::<u32, _>(refused())
        };
        manager.operation("chat").attempts(1).cache("key").fresh_for(HOUR).stale_for(HOUR).run(ask).await.unwrap_err()
    };
    let errors = join_all((0..50).map(|_| failing())).await;
    assert_eq!((service.calls(), service.0.most_at_once.load(Ordering::SeqCst)), (3, 1));
    assert_eq!(errors.iter().filter(|error| matches!(error, Error::CircuitOpen(_))).count(), 47);
}

#[tokio::test]
async fn the_first_success_after_failures_serves_all_who_still_wait() {
    let manager = manager(&DrivenClock::new());
    let calls = AtomicU32::new(0);
    let flaky = || async {
        let ask = |_| async {
            let number = calls.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if number < 2 { Err(refused()) } else { Ok(number) }
        };
        manager.operation("chat").attempts(1).cache("key").fresh_for(HOUR).stale_for(HOUR).run(ask).await
    };
    let outcomes = join_all((0..50).map(|_| flaky())).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 2);
    assert!(outcomes.into_iter().flatten().all(|answer| answer.value == 2));
}

#[test]
fn a_wait_ends_with_the_deadline_of_who_waits_and_nothing_is_called() {
    let clock = DrivenClock::new();
    let (manager, service) = (manager(&clock), Service::default());
    let mut first = Driven::begun(ask(&manager, &service));
    let waiting = || manager.operation("chat").cache("key").fresh_for(HOUR).stale_for(HOUR).deadline(seconds(7));
    let mut alone = Driven::begun(waiting().run(|_| service.clone().answer()));
    let fallback = || async { Ok::<_, io::Error>(99) };
    let mut with_fallback = Driven::begun(waiting().fallback(fallback).run(|_| service.clone().answer()));
    assert!(alone.after(seconds(6), &clock).is_none());
    let error = alone.ended_after(seconds(1), &clock).unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!((failure.reason, failure.elapsed, failure.attempts), (Reason::DeadlineExceeded, seconds(7), 0));
    let answer = with_fallback.run().unwrap().unwrap();
    assert_eq!((answer.value, answer.served), (99, Served::Fallback));
    service.let_answer(1);
    assert_eq!(first.run().unwrap().unwrap().value, 1);
    assert_eq!(service.calls(), 1);
}

#[test]
fn time_waited_for_another_call_counts_against_the_callers_deadline() {
    let clock = DrivenClock::new();
    let (manager, service) = (manager(&clock), Service::default());
    let first = Driven::begun(ask(&manager, &service));
    let waiting = manager.operation("chat").cache("key").fresh_for(HOUR).stale_for(HOUR).deadline(seconds(7)).attempts(1);
    let mut limit = None;
    let mut second = Driven::begun(waiting.run(|attempt| {
        limit = attempt.time_left;
        service.clone().answer()
    }));
    assert!(second.after(seconds(5), &clock).is_none());
    drop(first);
    assert!(second.run().is_none());
    assert!(second.ended_after(seconds(2), &clock).is_err());
    drop(second);
    assert_eq!((limit, service.calls()), (Some(seconds(2)), 2));
}

#[test]
fn a_caller_that_accepts_no_fresh_answer_calls_without_waiting() {
    let (manager, service) = (manager(&DrivenClock::new()), Service::default());
    let ask = || manager.operation("chat").cache("key").fresh_for(Duration::ZERO).stale_for(HOUR).run(|_| service.clone().answer());
    let calls = [Driven::begun(ask()), Driven::begun(ask())];
    assert_eq!(service.calls(), 2);
    drop(calls);
}

#[test]
fn a_caller_that_expects_another_type_makes_its_own_call() {
    let (manager, service) = (manager(&DrivenClock::new()), Service::default());
    let mut first = Driven::begun(ask(&manager, &service));
    let text = manager.operation("chat").cache("key").fresh_for(HOUR).stale_for(HOUR);
    let mut text = Driven::begun(text.run(|_| async { Ok::<_, io::Error>("text".to_owned()) }));
    service.let_answer(1);
    first.run().unwrap().unwrap();
    let answer = text.run().unwrap().unwrap();
    assert_eq!((answer.value.as_str(), answer.served), ("text", Served::Live));
}

#[test]
fn another_models_answer_is_not_given_to_those_who_wait() {
    let (manager, service) = (manager(&DrivenClock::new()), Service::default());
    let missing = || io::Error::other("model 'a' not found");
    let described = || manager.operation("chat").models(["a", "b"]).attempts(1).cache("key").fresh_for(HOUR).stale_for(HOUR);
    let mut first = Driven::begun(described().run(|attempt| {
        let service = service.clone();
        async move { if attempt.model.as_deref() == Some("a") { Err(missing()) } else { service.answer().await } }
    }));
    let mut second = Driven::begun(described().run(|_| async { Ok::<_, io::Error>(77) }));
    service.let_answer(1);
    assert_eq!(first.run().unwrap().unwrap().model.as_deref(), Some("b"));
    let answer = second.run().unwrap().unwrap();
    assert_eq!((answer.value, answer.served), (77, Served::Live));
}

#[test]
fn waiting_callers_share_an_answer_too_large_for_the_cache() {
    let none = CacheLimits { max_bytes: 0, ..CacheLimits::default() };
    let manager = RecoveryManager::builder().clock(DrivenClock::new().shared()).cache(none).build().unwrap();
    let service = Service::default();
    let mut calls = [Driven::begun(ask(&manager, &service)), Driven::begun(ask(&manager, &service))];
    service.let_answer(1);
    for call in &mut calls {
        assert_eq!(call.run().unwrap().unwrap().value, 1);
    }
    assert_eq!(service.calls(), 1);
}

#[test]
fn those_who_wait_do_not_wait_for_a_fallback() {
    let (manager, service) = (manager(&DrivenClock::new()), Service::default());
    let described = manager.operation("chat").attempts(1).cache("key").fresh_for(HOUR).stale_for(HOUR);
    let never = || std::future::pending::<Result<u32, io::Error>>();
    let mut first = Driven::begun(described.fallback(never).run(|_| {
        let service = service.clone();
        async move {
            service.answer().await?;
            Err(refused())
        }
    }));
    let mut second = Driven::begun(ask(&manager, &service));
    service.let_answer(2);
    assert!(first.run().is_none());
    assert_eq!(second.run().unwrap().unwrap().served, Served::Live);
}

#[test]
fn threads_with_runtimes_of_their_own_share_a_call_too() {
    let manager = RecoveryManager::builder().build().unwrap();
    let service = Service::default();
    service.let_answer(1000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (manager, service) = (&manager, &service);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for key in 0..50 {
                        let ask = || {
                            let call = |_| async {
                                tokio::task::yield_now().await;
                                service.clone().answer().await
                            };
                            manager.operation("chat").cache(key.to_string()).fresh_for(HOUR).stale_for(HOUR).run(call)
                        };
                        let answers = join_all((0..5).map(|_| ask())).await;
                        assert!(answers.iter().all(Result::is_ok));
                    }
                });
            });
        }
    });
    assert_eq!(service.calls(), 50);
}
