//! Circuit breakers: states, and the known failures of other breakers.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use upright::clock::Clock;
use upright::error::Rejection;
use upright::testing::{DrivenClock, TestPolicy};
use upright::types::{Admission, BreakerConfig, BreakerState, ErrorCategory, FaultKind, Phase, Reason, Transition, Verdict};
use upright::{CircuitBreaker, CircuitBreakers, Error, Event, RetryStrategy};
use upright_test_kit::refused;

const MINUTE: Duration = Duration::from_secs(60);

fn bad_input() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidInput)
}

fn breaker(clock: &DrivenClock) -> CircuitBreaker {
    CircuitBreaker::builder("ollama").clock(clock.shared()).build().unwrap()
}

fn fail(breaker: &CircuitBreaker) -> Error {
    breaker.call_blocking(|| Err::<(), _>(refused())).unwrap_err()
}

fn succeed(breaker: &CircuitBreaker) -> Result<(), Error> {
    breaker.call_blocking(|| Ok::<_, io::Error>(()))
}

fn open(clock: &DrivenClock) -> CircuitBreaker {
    let breaker = breaker(clock);
    for _ in 0..5 {
        fail(&breaker);
    }
    assert_eq!(breaker.state(), Phase::Open);
    breaker
}

#[test]
fn five_failures_open_it_a_minute_later_two_successes_close_it() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    assert!(matches!(succeed(&breaker), Err(Error::CircuitOpen(_))));
    clock.advance(MINUTE);
    succeed(&breaker).unwrap();
    assert_eq!(breaker.state(), Phase::HalfOpen);
    succeed(&breaker).unwrap();
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn a_failed_probe_opens_it_for_another_minute() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    fail(&breaker);
    assert_eq!(breaker.state(), Phase::Open);
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert!(matches!(succeed(&breaker), Err(Error::CircuitOpen(_))));
    clock.advance(Duration::from_nanos(1));
    succeed(&breaker).unwrap();
}

#[test]
fn an_open_breakers_error_is_typed_and_names_the_breaker_and_the_time_left() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(Duration::from_secs(15));
    let error = succeed(&breaker).unwrap_err();
    assert!(error.to_string().contains("Circuit breaker OPEN"), "{error}");
    let Error::CircuitOpen(open) = error else { panic!("{error}") };
    assert_eq!((&*open.breaker, open.time_left()), ("ollama", Some(Duration::from_secs(45))));
}

#[test]
fn a_rejection_is_classified_by_its_type_and_not_by_its_text() {
    let clock = DrivenClock::new();
    let error = succeed(&open(&clock)).unwrap_err();
    let fault = upright::fault::fault_of(&error);
    assert_eq!((fault.kind, fault.retry_after), (FaultKind::CircuitOpen, Some(60.0)));
}

#[test]
fn half_open_admits_only_its_permits_however_many_callers_wait() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    let first = breaker.try_acquire().unwrap();
    for _ in 0..100 {
        assert_eq!(breaker.try_acquire().err().unwrap().rejection, Rejection::Probing);
    }
    first.success();
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn threads_that_arrive_together_in_half_open_share_its_permits() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    let admitted = AtomicU32::new(0);
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let permit = breaker.try_acquire();
                admitted.fetch_add(u32::from(permit.is_ok()), Ordering::SeqCst);
                barrier.wait();
                drop(permit);
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1);
}

#[test]
fn a_probe_whose_future_is_dropped_gives_its_permit_back() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    for _ in 0..10 {
        let mut probe = Box::pin(breaker.call(pending::<Result<(), io::Error>>));
        assert!(matches!(probe.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        assert_eq!(breaker.try_acquire().err().unwrap().rejection, Rejection::Probing);
        drop(probe);
    }
    succeed(&breaker).unwrap();
    succeed(&breaker).unwrap();
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn a_probe_that_hangs_does_not_hold_the_breaker_half_open_for_ever() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    let hanging = breaker.try_acquire().unwrap();
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert!(breaker.try_acquire().is_err());
    clock.advance(Duration::from_nanos(1));
    succeed(&breaker).unwrap();
    succeed(&breaker).unwrap();
    assert_eq!(breaker.state(), Phase::Closed);
    hanging.failure(&refused());
    assert_eq!(breaker.snapshot().consecutive_failures, 0, "it began before the breaker closed");
}

#[test]
fn a_probe_whose_outcome_nobody_tells_gives_its_permit_back() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    drop(breaker.try_acquire().unwrap());
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn a_probe_that_panics_gives_its_permit_back() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = breaker.call_blocking(|| -> Result<(), io::Error> { panic!("probe") });
    }));
    assert!(panicked.is_err());
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn a_probe_that_ends_in_a_callers_mistake_neither_opens_nor_closes_it() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    for _ in 0..10 {
        breaker.call_blocking(|| Err::<(), _>(bad_input())).unwrap_err();
        assert_eq!(breaker.state(), Phase::HalfOpen);
    }
    assert!(breaker.try_acquire().is_ok());
}

#[test]
fn calls_that_began_before_the_trip_neither_extend_the_open_window_nor_close_it() {
    let clock = DrivenClock::new();
    let breaker = breaker(&clock);
    let late: Vec<_> = (0..4).map(|_| breaker.try_acquire().unwrap()).collect();
    for _ in 0..5 {
        fail(&breaker);
    }
    clock.advance(Duration::from_secs(30));
    let opened = breaker.snapshot();
    let mut late = late.into_iter();
    late.next().unwrap().failure(&refused());
    late.next().unwrap().success();
    assert_eq!(breaker.snapshot(), opened);
    clock.advance(Duration::from_secs(30));
    succeed(&breaker).unwrap();
    let half_open = breaker.snapshot();
    late.next().unwrap().failure(&refused());
    late.next().unwrap().success();
    assert_eq!(breaker.snapshot(), half_open);
}

#[test]
fn a_late_failure_from_before_the_trip_does_not_use_up_the_successes_counted_since() {
    let clock = DrivenClock::new();
    let breaker = breaker(&clock);
    let late = breaker.try_acquire().unwrap();
    for _ in 0..5 {
        fail(&breaker);
    }
    clock.advance(MINUTE);
    for _ in 0..2 {
        succeed(&breaker).unwrap();
    }
    for _ in 0..4 {
        fail(&breaker);
    }
    for _ in 0..1000 {
        succeed(&breaker).unwrap();
    }
    late.failure(&refused());
    fail(&breaker);
    assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (Phase::Closed, 1));
}

#[test]
fn thirty_calls_in_flight_that_all_fail_make_one_transition() {
    let clock = DrivenClock::new();
    let breaker = breaker(&clock);
    let permits: Vec<_> = (0..30).map(|_| breaker.try_acquire().unwrap()).collect();
    for permit in permits {
        permit.failure(&refused());
    }
    assert_eq!((breaker.state(), breaker.snapshot().generation), (Phase::Open, 1));
}

#[test]
fn concurrent_callers_make_only_the_four_transitions() {
    let clock = DrivenClock::new();
    let events = upright::events::Events::default();
    let mut seen = events.subscribe();
    let config = BreakerConfig { failure_threshold: 2, recovery_timeout: 1e-6, ..BreakerConfig::default() };
    let breaker = CircuitBreaker::builder("b").config(config).clock(clock.shared()).events(events).build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (breaker, clock) = (&breaker, &clock);
            scope.spawn(move || {
                for call in 0..60_u32 {
                    clock.advance(Duration::from_micros(1));
                    if let Ok(permit) = breaker.try_acquire() {
                        if (call + thread) % 3 == 0 { permit.success() } else { drop(permit.failure(&refused())) }
                    }
                }
            });
        }
    });
    let mut moves = 0;
    while let Some(event) = seen.try_recv() {
        let Event::BreakerMoved { from, to, .. } = event else { continue };
        moves += 1;
        assert!(
            matches!(
                (from, to),
                (Phase::Closed, Phase::Open) | (Phase::Open, Phase::HalfOpen) | (Phase::HalfOpen, Phase::Open | Phase::Closed)
            ),
            "{from} -> {to}"
        );
    }
    assert!(moves > 4, "only {moves} transitions were made");
    assert_eq!(breaker.snapshot().generation, moves);
}

#[test]
fn callers_mistakes_do_not_open_it_for_everybody() {
    let clock = DrivenClock::new();
    let breaker = breaker(&clock);
    for _ in 0..50 {
        breaker.call_blocking(|| Err::<(), _>(bad_input())).unwrap_err();
        breaker.call_blocking(|| Err::<(), _>("model 'qwen3:8b' not found")).unwrap_err();
    }
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn one_models_breaker_does_not_block_another_model() {
    let clock = DrivenClock::new();
    let breakers = CircuitBreakers::new(CircuitBreaker::builder("template").clock(clock.shared())).unwrap();
    for _ in 0..5 {
        fail(&breakers.get("qwen3:30b"));
    }
    assert_eq!(breakers.get("qwen3:30b").state(), Phase::Open);
    succeed(&breakers.get("qwen3:8b")).unwrap();
    assert_eq!(breakers.all().len(), 2);
}

#[test]
fn a_registry_does_not_grow_for_ever_and_forgets_no_breaker_that_has_something_to_remember() {
    let clock = DrivenClock::new();
    let breakers = CircuitBreakers::new(CircuitBreaker::builder("template").clock(clock.shared())).unwrap();
    for _ in 0..5 {
        fail(&breakers.get("a model that fails"));
    }
    for number in 0..3000 {
        breakers.get(&format!("model {number}"));
    }
    assert!(breakers.all().len() <= 1024, "{}", breakers.all().len());
    assert_eq!(breakers.get("a model that fails").state(), Phase::Open);
}

#[tokio::test]
async fn a_trip_in_the_middle_of_a_retry_loop_does_not_hide_the_cause() {
    let clock = DrivenClock::skipping();
    let breaker = CircuitBreaker::builder("b").failure_threshold(2).clock(clock.shared()).build().unwrap();
    let retry = RetryStrategy::builder().max_retries(5).breaker(breaker.clone()).clock(clock.shared()).build().unwrap();
    let error = retry.execute(|| async { Err::<(), _>(refused()) }).await.unwrap_err();
    let failure = error.failure().expect("the operation was tried");
    assert_eq!((failure.attempts, failure.classification.category), (2, ErrorCategory::Connection));
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(111));
    assert_eq!(breaker.state(), Phase::Open);
}

#[tokio::test]
async fn a_breaker_shared_by_callers_with_different_policies_is_moved_by_its_own_policy_only() {
    let clock = DrivenClock::new();
    let own = TestPolicy::new();
    let breaker = CircuitBreaker::builder("b").failure_threshold(3).policy(own.slot()).clock(clock.shared()).build().unwrap();
    let opens_at_once = TestPolicy::new().decide(|incident, usual| {
        let before = &incident.guard.as_ref().unwrap().state;
        if before.phase != Phase::Closed {
            return usual;
        }
        let state = BreakerState { phase: Phase::Open, generation: before.generation + 1, ..before.clone() };
        Verdict { breaker: Some(Transition { state, admission: Admission::NoneUntil(incident.now + 1) }), ..usual }
    });
    let usual = TestPolicy::new();
    let fail = async |policy: &TestPolicy| {
        let strategy = RetryStrategy::builder().max_retries(0).breaker(breaker.clone()).policy(policy.slot()).clock(clock.shared());
        let error = strategy.build().unwrap().execute(|| async { Err::<(), _>(refused()) }).await.unwrap_err();
        (error.failure().unwrap().reason, breaker.state(), breaker.snapshot().consecutive_failures)
    };
    assert_eq!(fail(&opens_at_once).await, (Reason::AttemptsExhausted, Phase::Closed, 1));
    assert_eq!(fail(&usual).await, (Reason::AttemptsExhausted, Phase::Closed, 2));
    assert_eq!(fail(&opens_at_once).await, (Reason::CircuitOpen, Phase::Open, 0), "the breaker's own threshold opened it");
    let asked = [&own, &opens_at_once, &usual].map(|policy| policy.incidents().len());
    assert_eq!(asked, [3, 2, 1]);
}

#[test]
fn an_inner_breakers_rejections_are_not_counted_by_an_outer_one() {
    let clock = DrivenClock::new();
    let inner = open(&clock);
    let outer = CircuitBreaker::builder("outer").failure_threshold(1).clock(clock.shared()).build().unwrap();
    for _ in 0..10 {
        outer.call_blocking(|| succeed(&inner)).unwrap_err();
    }
    assert_eq!(outer.state(), Phase::Closed);
}

#[test]
fn a_step_of_the_wall_clock_changes_nothing() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.step_wall(Duration::from_secs(86_400));
    assert!(clock.wall() > std::time::SystemTime::UNIX_EPOCH);
    assert!(matches!(succeed(&breaker), Err(Error::CircuitOpen(_))));
    clock.advance(MINUTE);
    succeed(&breaker).unwrap();
}

#[test]
fn a_breaker_that_trips_at_time_zero_recovers() {
    let clock = DrivenClock::new();
    assert_eq!(clock.now(), 0);
    let breaker = open(&clock);
    clock.advance(MINUTE);
    succeed(&breaker).unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let good = BreakerConfig::default();
    let bad = [
        ("failure_threshold", BreakerConfig { failure_threshold: 0, ..good }),
        ("recovery_timeout", BreakerConfig { recovery_timeout: 0.0, ..good }),
        ("recovery_timeout", BreakerConfig { recovery_timeout: -1.0, ..good }),
        ("recovery_timeout", BreakerConfig { recovery_timeout: f64::NAN, ..good }),
        ("recovery_timeout", BreakerConfig { recovery_timeout: f64::INFINITY, ..good }),
        ("success_threshold", BreakerConfig { success_threshold: 0, ..good }),
        ("half_open_permits", BreakerConfig { half_open_permits: 0, ..good }),
        ("failure_window", BreakerConfig { failure_window: f64::NAN, ..good }),
        ("failure_rate_threshold", BreakerConfig { failure_rate_threshold: -0.5, ..good }),
        ("minimum_calls", BreakerConfig { minimum_calls: 0, ..good }),
    ];
    for (setting, config) in bad {
        let error = CircuitBreaker::builder("b").config(config).build().unwrap_err();
        assert_eq!(error.setting, setting);
        assert!(error.to_string().contains("expected"), "{error}");
        assert!(breaker(&DrivenClock::new()).reconfigure(config).is_err());
    }
}

#[test]
fn five_failures_ninety_days_apart_do_not_open_it() {
    let clock = DrivenClock::new();
    let breaker = breaker(&clock);
    for _ in 0..5 {
        clock.advance(Duration::from_secs(90 * 86_400));
        fail(&breaker);
    }
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn four_thousand_failures_in_five_thousand_calls_open_it() {
    let clock = DrivenClock::new();
    let breaker = breaker(&clock);
    let opened = (0..5000).any(|call| {
        clock.advance(Duration::from_millis(1));
        if call % 5 == 4 {
            drop(succeed(&breaker))
        } else {
            drop(fail(&breaker))
        }
        breaker.state() == Phase::Open
    });
    assert!(opened);
}

#[test]
fn new_settings_keep_its_state_and_do_not_touch_calls_in_flight() {
    let clock = DrivenClock::new();
    let breakers = CircuitBreakers::new(CircuitBreaker::builder("template").clock(clock.shared())).unwrap();
    let tripped = breakers.get("tripped");
    for _ in 0..5 {
        fail(&tripped);
    }
    let counting = breakers.get("counting");
    fail(&counting);
    let in_flight = counting.try_acquire().unwrap();
    breakers.reconfigure(BreakerConfig { failure_threshold: 2, ..BreakerConfig::default() }).unwrap();
    assert_eq!((tripped.state(), counting.state()), (Phase::Open, Phase::Closed));
    in_flight.failure(&refused());
    assert_eq!(counting.state(), Phase::Open, "the failure before the change counts");
    assert_eq!(breakers.get("made later").config().failure_threshold, 2);
}

#[test]
fn an_isolated_breaker_rejects_until_it_is_reset() {
    let clock = DrivenClock::new();
    let breaker = breaker(&clock);
    let in_flight = breaker.try_acquire().unwrap();
    breaker.isolate();
    clock.advance(Duration::from_secs(86_400));
    in_flight.failure(&refused());
    let Err(Error::CircuitOpen(open)) = succeed(&breaker) else { panic!("it let a call through") };
    assert_eq!((open.rejection, open.time_left()), (Rejection::Isolated, None));
    breaker.reset();
    succeed(&breaker).unwrap();
    assert!(!breaker.is_isolated());
}

#[test]
fn resetting_an_open_breaker_closes_it_and_forgets_what_it_counted() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    breaker.reset();
    for _ in 0..4 {
        fail(&breaker);
    }
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn a_host_that_fails_instantly_stops_attracting_the_calls_of_a_least_connections_balancer() {
    let clock = DrivenClock::new();
    let hosts = [breaker(&clock), breaker(&clock)];
    let (failing, mut slow_in_flight, mut tried) = (0, Vec::new(), 0);
    for _ in 0..1000 {
        // The failing host looks idle, but its breaker removes it from the choice.
        match hosts[failing].try_acquire() {
            Ok(permit) => {
                tried += 1;
                permit.failure(&io::Error::other("HTTP 503 Service Unavailable"));
            }
            Err(_) => slow_in_flight.push(hosts[1].try_acquire().unwrap()),
        }
    }
    assert_eq!((tried, slow_in_flight.len()), (5, 995));
}

#[test]
fn threads_with_dropped_and_failed_calls_lose_no_permit() {
    let clock = DrivenClock::new();
    let config = BreakerConfig { failure_threshold: 1, recovery_timeout: 1e-6, half_open_permits: 3, ..BreakerConfig::default() };
    let breaker = CircuitBreaker::builder("b").config(config).clock(clock.shared()).build().unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    clock.advance(Duration::from_micros(1));
                    let Ok(permit) = breaker.try_acquire() else { continue };
                    match calls.fetch_add(1, Ordering::Relaxed) % 4 {
                        0 => drop(permit),
                        1 => drop(permit.failure(&refused())),
                        2 => drop(permit.failure(&bad_input())),
                        _ => permit.success(),
                    }
                }
            });
        }
    });
    clock.advance(MINUTE);
    if breaker.state() == Phase::Closed {
        fail(&breaker);
        clock.advance(MINUTE);
    }
    let probes: Vec<_> = std::iter::from_fn(|| breaker.try_acquire().ok()).take(10).collect();
    assert_eq!(probes.len(), 3);
}

#[test]
fn a_call_that_is_never_polled_takes_no_permit() {
    let clock = DrivenClock::new();
    let breaker = open(&clock);
    clock.advance(MINUTE);
    let _unpolled = breaker.call(pending::<Result<(), io::Error>>);
    assert!(breaker.try_acquire().is_ok());
}

#[tokio::test]
async fn a_breaker_that_a_strategy_is_given_goes_by_its_own_clock() {
    let (its, strategys) = (DrivenClock::new(), DrivenClock::new());
    strategys.advance(Duration::from_secs(86_400));
    let breaker = CircuitBreaker::builder("b").failure_threshold(1).clock(its.shared()).build().unwrap();
    let strategy = upright::RetryStrategy::builder().max_retries(0).breaker(breaker.clone()).clock(strategys.shared()).build().unwrap();
    strategy.execute(|| async { Err::<(), _>(refused()) }).await.unwrap_err();
    let open = breaker.try_acquire().map(drop).unwrap_err();
    assert_eq!(open.time_left(), Some(Duration::from_secs(60)));
}
