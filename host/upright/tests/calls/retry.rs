//! Retries: behaviour, and the known failures of other libraries.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use upright::budget::RetryBudgetConfig;
use upright::error::{AttemptTimeout, RejectedResult};
use upright::ollama::{ChatRequest, OllamaClient};
use upright::policy::PolicyLifecycle;
use upright::random::SeededRandom;
use upright::testing::DrivenClock;
use upright::types::{ErrorCategory, JitterRange, Phase, Profile, Reason, RetryConfig};
use upright::{CircuitBreaker, Error, ErrorClassifier, RetryBudget, RetryStrategy};
use upright_simulator::{FaultServer, Match};
use upright_test_kit::refused;

fn plain(clock: &DrivenClock) -> upright::retry::RetryStrategyBuilder {
    RetryStrategy::builder().jitter(false).use_circuit_breaker(false).clock(clock.shared())
}

fn whole_seconds(clock: &DrivenClock) -> Vec<f64> {
    clock.waits().iter().map(Duration::as_secs_f64).collect()
}

#[tokio::test]
async fn a_failing_operation_is_tried_four_times_with_doubling_delays() {
    let clock = DrivenClock::skipping();
    let tries = Cell::new(0);
    let error = plain(&clock)
        .build()
        .unwrap()
        .execute(|| {
            tries.set(tries.get() + 1);
            async { Err::<(), _>(refused()) }
        })
        .await
        .unwrap_err();
    assert_eq!((tries.get(), whole_seconds(&clock)), (4, vec![1.0, 2.0, 4.0]));
    let failure = error.failure().unwrap();
    assert_eq!((failure.attempts, failure.reason), (4, Reason::AttemptsExhausted));
    assert_eq!(failure.elapsed, Duration::from_secs(7));
}

#[tokio::test]
async fn a_retry_that_succeeds_is_a_success() {
    let clock = DrivenClock::skipping();
    let tries = Cell::new(0);
    let strategy = plain(&clock).build().unwrap();
    let value = strategy
        .execute(|| {
            tries.set(tries.get() + 1);
            let attempt = tries.get();
            async move { if attempt < 3 { Err(refused()) } else { Ok(attempt) } }
        })
        .await;
    assert_eq!(value.unwrap(), 3);
}

#[test]
fn the_blocking_twin_retries_waits_and_falls_back_in_the_same_way() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).build().unwrap();
    let error = strategy.execute_blocking(|| Err::<(), _>(refused())).unwrap_err();
    assert_eq!((error.failure().unwrap().attempts, whole_seconds(&clock)), (4, vec![1.0, 2.0, 4.0]));
    let value = strategy.execute_with_fallback_blocking(|| Err(refused()), || Ok::<_, io::Error>("fallback"));
    assert_eq!(value.unwrap(), "fallback");
}

#[tokio::test]
async fn jitter_spreads_delays_over_its_range_and_never_past_the_cap() {
    let clock = DrivenClock::skipping();
    let config = RetryConfig { max_retries: 200, max_delay: 4.0, ..RetryConfig::default() };
    let strategy = RetryStrategy::builder()
        .config(config)
        .use_circuit_breaker(false)
        .clock(clock.shared())
        .random(Arc::new(SeededRandom::new(7)))
        .build()
        .unwrap();
    strategy.execute(|| async { Err::<(), _>(refused()) }).await.unwrap_err();
    let waits = whole_seconds(&clock);
    assert!((0.8..=1.2).contains(&waits[0]) && (1.6..=2.4).contains(&waits[1]), "{waits:?}");
    let late = &waits[2..];
    assert!(late.iter().all(|wait| (3.2..=4.0).contains(wait)), "{late:?}");
    assert!(late.iter().any(|wait| *wait < 3.6) && late.iter().any(|wait| *wait > 3.6));
}

#[test]
fn the_delay_of_any_attempt_number_is_defined() {
    let strategy = plain(&DrivenClock::new()).build().unwrap();
    for attempt in [1024, 1_000_000, u32::MAX] {
        assert_eq!(strategy.delay(attempt), Duration::from_secs(60));
    }
}

#[tokio::test]
async fn however_often_it_is_retried_a_small_cap_holds() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).max_retries(2000).max_delay(Duration::from_millis(1500)).build().unwrap();
    let error = strategy.execute(|| async { Err::<(), _>(refused()) }).await.unwrap_err();
    assert_eq!(error.failure().unwrap().attempts, 2001);
    let waits = whole_seconds(&clock);
    assert!(waits.len() == 2000 && waits[0] == 1.0 && waits[1..].iter().all(|wait| *wait == 1.5), "{waits:?}");
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let good = RetryConfig::default();
    let range = |low, high| RetryConfig { jitter_range: JitterRange { low, high }, ..good };
    let bad = [
        ("base_delay", RetryConfig { base_delay: f64::NAN, ..good }),
        ("base_delay", RetryConfig { base_delay: -1.0, ..good }),
        ("max_delay", RetryConfig { max_delay: f64::INFINITY, ..good }),
        ("max_delay", RetryConfig { max_delay: -0.1, ..good }),
        ("backoff_factor", RetryConfig { backoff_factor: 0.5, ..good }),
        ("backoff_factor", RetryConfig { backoff_factor: f64::NAN, ..good }),
        ("jitter_range", range(1.2, 0.8)),
        ("jitter_range", range(f64::NAN, 1.0)),
        ("jitter_range", range(-1.0, 1.0)),
    ];
    for (setting, config) in bad {
        let error = RetryStrategy::builder().config(config).build().err().unwrap();
        assert_eq!(error.setting, setting);
        assert!(error.to_string().contains("expected"), "{error}");
    }
    let error = RetryStrategy::builder().deadline(Duration::ZERO).build().err().unwrap();
    assert_eq!(error.setting, "deadline");
}

#[tokio::test]
async fn the_deadline_counts_time_and_not_only_the_waits() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).max_retries(50).max_delay(Duration::from_secs(1)).deadline(Duration::from_secs(30)).build().unwrap();
    let error = strategy
        .execute(|| {
            clock.advance(Duration::from_secs(10));
            async { Err::<(), _>(refused()) }
        })
        .await
        .unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!((failure.reason, failure.attempts), (Reason::DeadlineExceeded, 3));
    assert!(failure.elapsed <= Duration::from_secs(33), "{:?}", failure.elapsed);
}

#[tokio::test]
async fn an_attempt_that_hangs_is_ended_by_its_timeout_and_tried_again() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).max_retries(1).attempt_timeout(Duration::from_secs(5)).build().unwrap();
    let error = strategy.execute(pending::<Result<(), io::Error>>).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&AttemptTimeout { limit: Duration::from_secs(5) }));
    let failure = error.failure().unwrap();
    assert_eq!((failure.attempts, failure.classification.category), (2, ErrorCategory::Timeout));
    assert_eq!(whole_seconds(&clock), [5.0, 1.0, 5.0]);
}

#[tokio::test]
async fn an_attempt_ends_at_the_deadline_and_knows_how_long_it_has() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).attempt_timeout(Duration::from_secs(60)).deadline(Duration::from_secs(8)).build().unwrap();
    let limit = Cell::new(None);
    let error = strategy
        .execute_accepting(
            |attempt| {
                limit.set(attempt.time_left);
                pending::<Result<(), io::Error>>()
            },
            |()| true,
        )
        .await
        .unwrap_err();
    assert_eq!(limit.get(), Some(Duration::from_secs(8)));
    assert_eq!(error.failure().unwrap().reason, Reason::DeadlineExceeded);
    assert_eq!(error.failure().unwrap().elapsed, Duration::from_secs(8));
}

#[tokio::test]
async fn an_attempt_that_the_deadline_cut_short_is_not_held_against_the_service() {
    let clock = DrivenClock::skipping();
    let breaker = CircuitBreaker::builder("b").failure_threshold(2).clock(clock.shared()).build().unwrap();
    let strategy = plain(&clock).breaker(breaker.clone()).deadline(Duration::from_secs(2)).build().unwrap();
    for _ in 0..3 {
        breaker.reset();
        let error = strategy
            .execute_accepting(
                |attempt| async move {
                    if attempt.number > 1 {
                        pending::<()>().await;
                    }
                    Err::<(), _>(refused())
                },
                |()| true,
            )
            .await
            .unwrap_err();
        assert_eq!(error.failure().unwrap().reason, Reason::DeadlineExceeded);
        assert_eq!(breaker.snapshot().consecutive_failures, 1, "only the refused attempt counts");
    }
}

async fn chat(server: &FaultServer, clock: &DrivenClock, steps: &[&str]) -> Result<String, Error> {
    server.plan(Match::path("/api/chat"), steps).unwrap();
    // The client uses real time; only retry delays are driven.
    let client = OllamaClient::new(server.url().parse().unwrap()).unwrap();
    let strategy = plain(clock).build().unwrap();
    strategy
        .execute(|| {
            let client = client.clone();
            async move { client.chat(ChatRequest::ask("qwen3:8b", "hello")).await.map(|answer| answer.message.content) }
        })
        .await
}

#[tokio::test]
async fn a_retry_after_in_seconds_and_as_a_date_is_obeyed() {
    for row in upright_simulator::ROWS.iter().filter(|row| !row.headers.is_empty()) {
        let names_retry_after = row.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
        if !names_retry_after {
            continue;
        }
        let server = FaultServer::start().await.unwrap();
        let clock = DrivenClock::skipping();
        chat(&server, &clock, &[row.name, "ok"]).await.unwrap();
        let waits = whole_seconds(&clock);
        assert!(waits.len() == 1 && waits[0] > 1.0 && waits[0] <= 60.0, "{}: {waits:?}", row.name);
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_that_is_busy_twice_answers_at_the_third_attempt() {
    let server = FaultServer::start().await.unwrap();
    let clock = DrivenClock::skipping();
    let answer = chat(&server, &clock, &["server-busy", "server-busy", "ok"]).await.unwrap();
    assert!(!answer.is_empty());
    assert_eq!((server.count("/api/chat"), whole_seconds(&clock)), (3, vec![1.0, 2.0]));
}

#[tokio::test]
async fn a_request_that_is_not_safe_to_repeat_is_not_repeated() {
    let clock = DrivenClock::skipping();
    let tries = Cell::new(0);
    let strategy = plain(&clock).idempotent(false).build().unwrap();
    let error = strategy
        .execute(|| {
            tries.set(tries.get() + 1);
            async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)) }
        })
        .await
        .unwrap_err();
    assert_eq!((tries.get(), error.failure().unwrap().reason), (1, Reason::NotIdempotent));
}

#[tokio::test]
async fn a_permanent_failure_is_not_retried() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).build().unwrap();
    let error = strategy.execute(|| async { Err::<(), _>("option \"num_ctx\" must be of type integer") }).await.unwrap_err();
    assert_eq!((error.failure().unwrap().attempts, clock.waits()), (1, vec![]));
}

#[tokio::test]
async fn the_asynchronous_path_obeys_its_breaker() {
    let clock = DrivenClock::skipping();
    let strategy = RetryStrategy::builder().name("ollama").clock(clock.shared()).max_retries(0).build().unwrap();
    for _ in 0..5 {
        strategy.execute(|| async { Err::<(), _>(refused()) }).await.unwrap_err();
    }
    let tries = Cell::new(0);
    let error = strategy
        .execute(|| {
            tries.set(1);
            async { Ok::<_, io::Error>(()) }
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::CircuitOpen(open) if &*open.breaker == "ollama"));
    assert_eq!(tries.get(), 0);
}

#[tokio::test]
async fn a_cancelled_operation_leaves_no_trace() {
    let clock = DrivenClock::new();
    let breaker = CircuitBreaker::builder("b").clock(clock.shared()).build().unwrap();
    let classifier = Arc::new(ErrorClassifier::new(10));
    let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 5, per_second: 0.0 }, clock.shared()).unwrap();
    let strategy = RetryStrategy::builder()
        .breaker(breaker.clone())
        .clock(clock.shared())
        .classifier(Arc::clone(&classifier))
        .budget(budget.clone())
        .build()
        .unwrap();
    let before = breaker.snapshot();
    for _ in 0..20 {
        let mut running = Box::pin(strategy.execute(pending::<Result<(), io::Error>>));
        assert!(matches!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    }
    assert_eq!((breaker.snapshot(), classifier.history().len(), budget.left()), (before, 0, 5));
}

#[tokio::test]
async fn a_fallback_serves_when_all_attempts_failed_and_when_the_breaker_is_open() {
    let clock = DrivenClock::skipping();
    let strategy = RetryStrategy::builder().clock(clock.shared()).max_retries(0).build().unwrap();
    for _ in 0..6 {
        let value = strategy.execute_with_fallback(|| async { Err(refused()) }, || async { Ok::<_, io::Error>("cached") }).await;
        assert_eq!(value.unwrap(), "cached");
    }
    assert_eq!(strategy.breaker().unwrap().state(), Phase::Open);
}

#[tokio::test]
async fn a_fallbacks_own_error_is_returned_and_does_not_hide_the_first() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).max_retries(0).build().unwrap();
    let error =
        strategy.execute_with_fallback(|| async { Err::<(), _>(refused()) }, || async { Err("the cache is gone") }).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the cache is gone") && text.contains("refused"), "{text}");
    let Error::FallbackFailed { fallback, .. } = &error else { panic!("{error:?}") };
    assert_eq!(fallback.to_string(), "the cache is gone");
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(111));
}

#[tokio::test]
async fn a_result_that_the_caller_does_not_accept_is_retried_and_then_an_error() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).build().unwrap();
    let answer = |attempt: upright::Attempt| async move { Ok::<_, io::Error>(if attempt.number < 3 { "" } else { "text" }) };
    assert_eq!(strategy.execute_accepting(answer, |text| !text.is_empty()).await.unwrap(), "text");
    let error = strategy.execute_accepting(|_| async { Ok::<_, io::Error>("") }, |text| !text.is_empty()).await.unwrap_err();
    assert!(error.downcast_ref::<RejectedResult>().is_some(), "{error}");
    assert_eq!(strategy.execute_accepting_blocking(|_| Ok::<_, io::Error>(4), |number| *number == 4).unwrap(), 4);
}

#[tokio::test]
async fn an_empty_budget_is_distinguished_from_used_up_attempts() {
    let clock = DrivenClock::skipping();
    let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 2, per_second: 0.0 }, clock.shared()).unwrap();
    let strategy = plain(&clock).budget(budget.clone()).build().unwrap();
    let reason = async |strategy: &RetryStrategy| {
        strategy.execute(|| async { Err::<(), _>(refused()) }).await.unwrap_err().failure().unwrap().reason
    };
    assert_eq!((reason(&strategy).await, budget.left()), (Reason::BudgetExhausted, 0));
    let without = plain(&clock).build().unwrap();
    assert_eq!(reason(&without).await, Reason::AttemptsExhausted);
}

#[tokio::test]
async fn operations_that_share_a_budget_never_retry_more_often_than_it_holds() {
    let clock = DrivenClock::skipping();
    let budget = RetryBudget::with_clock(RetryBudgetConfig { capacity: 7, per_second: 0.0 }, clock.shared()).unwrap();
    let tries = AtomicU32::new(0);
    let strategy = plain(&clock).max_retries(10).budget(budget).build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                strategy
                    .execute_blocking(|| {
                        tries.fetch_add(1, Ordering::SeqCst);
                        Err::<(), _>(refused())
                    })
                    .unwrap_err();
            });
        }
    });
    assert_eq!(tries.into_inner(), 4 + 7);
}

#[tokio::test]
async fn every_failed_attempt_goes_to_the_history_also_when_a_retry_made_it_good() {
    let clock = DrivenClock::skipping();
    let classifier = Arc::new(ErrorClassifier::new(10));
    let strategy = plain(&clock).classifier(Arc::clone(&classifier)).build().unwrap();
    let answer = |attempt: upright::Attempt| async move { if attempt.number < 3 { Err(refused()) } else { Ok(()) } };
    strategy.execute_accepting(answer, |()| true).await.unwrap();
    assert_eq!(classifier.error_patterns().get("connection"), Some(&2));
}

#[tokio::test]
async fn success_never_enters_webassembly_and_one_failure_enters_it_once() {
    let slot = PolicyLifecycle::built_in();
    let policy = slot.policy().expect("components run here");
    let clock = DrivenClock::skipping();
    // The compiled policy is shared with other tests; the slot has its own count.
    let own = PolicyLifecycle::new(policy);
    let counted = RetryStrategy::builder().policy(own.clone()).clock(clock.shared()).build().unwrap();
    let after_building = own.counts().decisions;
    for _ in 0..1000 {
        counted.execute(|| async { Ok::<_, io::Error>(()) }).await.unwrap();
    }
    assert_eq!(own.counts().decisions, after_building);
    let once = |attempt: upright::Attempt| async move { if attempt.number == 1 { Err(refused()) } else { Ok(()) } };
    counted.execute_accepting(once, |()| true).await.unwrap();
    assert_eq!(own.counts().decisions, after_building + 1);
}

#[test]
fn the_policys_recommendations_make_strategies() {
    for profile in Profile::ALL {
        let strategy = RetryStrategy::recommended(*profile, PolicyLifecycle::built_in()).build().unwrap();
        assert!(strategy.config().max_retries >= 1, "{profile}");
    }
}

#[tokio::test]
async fn an_operations_own_error_is_found_through_two_guards_around_each_other() {
    let clock = DrivenClock::skipping();
    let guard = plain(&clock).max_retries(0).build().unwrap();
    let error = guard.execute(|| guard.execute(|| async { Err::<(), _>(refused()) })).await.unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(111));
}
