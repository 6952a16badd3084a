//! Slow calls, on every path through a breaker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};
use upright::breaker::CircuitBreakerBuilder;
use upright::clock::{Clock, Instant, SharedClock, Sleep};
use upright::testing::{DrivenClock, TestPolicy};
use upright::types::{BreakerConfig, BreakerEvent, Phase};
use upright::{Bulkhead, CircuitBreaker, PolicySlot, RetryStrategy};
use upright_test_kit::patient;
use upright_test_kit::refused;

const SECOND: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_secs(2);

fn impatient(clock: &DrivenClock) -> CircuitBreakerBuilder {
    let config = BreakerConfig { minimum_calls: 4, ..BreakerConfig::default() };
    CircuitBreaker::builder("service").config(config).slow_call_duration(SLOW).slow_call_rate_threshold(0.5).clock(clock.shared())
}

fn succeed_in(span: Duration, breaker: &CircuitBreaker, clock: &DrivenClock) -> Phase {
    let working = || {
        clock.advance(span);
        Ok::<_, io::Error>(())
    };
    breaker.call_blocking(working).unwrap();
    breaker.state()
}

#[test]
fn a_service_that_never_fails_but_is_slow_opens_the_breaker_at_once_when_its_share_is_reached() {
    for (policy, is_native) in [(PolicySlot::from(patient::slot()), false), (PolicySlot::native(), true)] {
        let clock = DrivenClock::new();
        let breaker = impatient(&clock).policy(policy.clone()).build().unwrap();
        for _ in 0..3 {
            assert_eq!(succeed_in(Duration::from_millis(1999), &breaker, &clock), Phase::Closed);
        }
        assert_eq!(succeed_in(SLOW, &breaker, &clock), Phase::Closed);
        assert_eq!(succeed_in(SLOW, &breaker, &clock), Phase::Closed);
        assert_eq!(succeed_in(SLOW, &breaker, &clock), Phase::Open, "three of six");
        assert!(breaker.try_acquire().is_err());
        assert!(is_native || policy.counts().safe_mode == 0, "native code answered in the component's place");
    }
}

#[test]
fn a_slow_success_is_reported_with_its_time_and_a_quick_one_only_with_the_next_question() {
    let clock = DrivenClock::new();
    let policy = TestPolicy::new();
    let breaker = impatient(&clock).policy(policy.slot()).build().unwrap();
    for _ in 0..3 {
        succeed_in(SECOND, &breaker, &clock);
    }
    let kept = breaker.snapshot();
    succeed_in(3 * SECOND, &breaker, &clock);
    assert!(kept.memory.is_empty(), "nothing was reported of the first three");
    assert_eq!(breaker.snapshot().memory[16..], [4_u32, 0, 1].map(u32::to_le_bytes).concat());
    let permit = breaker.try_acquire().unwrap();
    clock.advance(Duration::from_millis(2500));
    permit.failure(&refused());
    let guard = policy.incidents()[0].guard.clone().unwrap();
    assert_eq!((guard.took, guard.successes), (2.5, 0));
    assert_eq!(breaker.snapshot().memory[16..], [5_u32, 1, 2].map(u32::to_le_bytes).concat());
}

#[test]
fn slow_failures_count_as_slow_too() {
    let clock = DrivenClock::new();
    let config = BreakerConfig { minimum_calls: 2, failure_rate_threshold: 2.0, ..BreakerConfig::default() };
    let breaker = impatient(&clock).config(BreakerConfig { slow_call_duration: Some(2.0), ..config }).build().unwrap();
    for phase in [Phase::Closed, Phase::Open] {
        let failing = || {
            clock.advance(SLOW);
            Err::<(), _>(refused())
        };
        breaker.call_blocking(failing).unwrap_err();
        assert_eq!(breaker.state(), phase);
    }
}

#[test]
fn a_slow_probe_opens_it_again_and_one_in_time_closes_it() {
    let clock = DrivenClock::new();
    let breaker = impatient(&clock).failure_threshold(1).success_threshold(1).build().unwrap();
    breaker.try_acquire().unwrap().failure(&refused());
    clock.advance(60 * SECOND);
    assert_eq!(succeed_in(SLOW, &breaker, &clock), Phase::Open);
    clock.advance(59 * SECOND);
    assert!(breaker.try_acquire().is_err(), "it waits for the whole timeout again");
    clock.advance(SECOND);
    assert_eq!(succeed_in(SECOND, &breaker, &clock), Phase::Closed);
}

#[test]
fn slow_calls_that_began_before_it_opened_or_closed_change_nothing() {
    let clock = DrivenClock::new();
    let breaker = impatient(&clock).failure_threshold(1).success_threshold(1).build().unwrap();
    let early: Vec<_> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
    breaker.try_acquire().unwrap().failure(&refused());
    let mut early = early.into_iter();
    clock.advance(SLOW);
    early.next().unwrap().success();
    assert_eq!((breaker.state(), breaker.snapshot().generation), (Phase::Open, 1));
    clock.advance(60 * SECOND);
    let probe = breaker.try_acquire().unwrap();
    early.next().unwrap().success();
    assert_eq!(breaker.state(), Phase::HalfOpen);
    probe.success();
    assert_eq!(breaker.state(), Phase::Closed);
    let before = breaker.snapshot();
    early.next().unwrap().success();
    assert_eq!(breaker.snapshot(), before);
}

struct Counting(DrivenClock, Arc<AtomicU32>);

impl Clock for Counting {
    fn now(&self) -> Instant {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        self.0.sleep(span)
    }

    fn sleep_blocking(&self, span: Duration) {
        self.0.sleep_blocking(span);
    }
}

#[tokio::test]
async fn where_no_call_is_slow_the_clock_is_not_read_for_one_that_succeeds() {
    let reads = Arc::new(AtomicU32::new(0));
    let clock: SharedClock = Arc::new(Counting(DrivenClock::new(), Arc::clone(&reads)));
    let breaker = CircuitBreaker::builder("service").slow_call_rate_threshold(0.1).clock(clock).build().unwrap();
    let strategy = RetryStrategy::builder().breaker(breaker.clone()).build().unwrap();
    reads.store(0, Ordering::Relaxed);
    breaker.try_acquire().unwrap().success();
    breaker.call(|| async { Ok::<_, io::Error>(()) }).await.unwrap();
    breaker.call_blocking(|| Ok::<_, io::Error>(())).unwrap();
    strategy.execute(|| async { Ok::<_, io::Error>(()) }).await.unwrap();
    strategy.execute_blocking(|| Ok::<_, io::Error>(())).unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    // With a slow-call threshold, it is read at the call's begin and end.
    breaker.reconfigure(BreakerConfig { slow_call_duration: Some(2.0), ..breaker.config() }).unwrap();
    breaker.try_acquire().unwrap().success();
    assert_eq!(reads.load(Ordering::Relaxed), 2);
}

#[test]
fn a_new_setting_holds_for_calls_that_begin_after_it() {
    let clock = DrivenClock::new();
    let breaker = impatient(&clock).minimum_calls_of_one().build().unwrap();
    let patient = BreakerConfig { slow_call_duration: None, ..breaker.config() };
    let impatient = breaker.config();

    breaker.reconfigure(patient).unwrap();
    let unmeasured = breaker.try_acquire().unwrap();
    breaker.reconfigure(impatient).unwrap();
    clock.advance(SLOW);
    unmeasured.success();
    assert_eq!(breaker.state(), Phase::Closed, "it began when no call was slow");

    let measured = breaker.try_acquire().unwrap();
    breaker.reconfigure(patient).unwrap();
    clock.advance(SLOW);
    measured.success();
    assert_eq!(breaker.state(), Phase::Closed, "no call is slow any more");

    breaker.reconfigure(impatient).unwrap();
    assert_eq!(succeed_in(SLOW, &breaker, &clock), Phase::Open);
    breaker.reset();
    assert_eq!(succeed_in(SLOW, &breaker, &clock), Phase::Open, "a reset leaves the settings");
}

trait OfOne {
    fn minimum_calls_of_one(self) -> Self;
}

impl OfOne for CircuitBreakerBuilder {
    fn minimum_calls_of_one(self) -> Self {
        let config = BreakerConfig { minimum_calls: 1, ..BreakerConfig::default() };
        self.config(config).slow_call_duration(SLOW).slow_call_rate_threshold(0.01)
    }
}

#[tokio::test]
async fn slow_calls_are_seen_on_every_way_through_a_strategy() {
    let clock = DrivenClock::new();
    let breaker = impatient(&clock).minimum_calls_of_one().build().unwrap();
    let simple = || RetryStrategy::builder().max_retries(0).breaker(breaker.clone()).clock(clock.shared());
    let bulkhead = Bulkhead::builder("service").max_concurrent(1).build().unwrap();
    let work = || {
        clock.advance(SLOW);
        Ok::<_, io::Error>(())
    };
    for strategy in [simple().build().unwrap(), simple().bulkhead(bulkhead).build().unwrap()] {
        strategy.execute(|| async { work() }).await.unwrap();
        assert_eq!(breaker.state(), Phase::Open);
        breaker.reset();
        strategy.execute_blocking(work).unwrap();
        assert_eq!(breaker.state(), Phase::Open);
        breaker.reset();
    }
    breaker.call(|| async { work() }).await.unwrap();
    assert_eq!(breaker.state(), Phase::Open);
}

#[tokio::test]
async fn a_failed_attempts_time_is_its_own_and_not_the_operations() {
    let clock = DrivenClock::skipping();
    let policy = TestPolicy::new();
    let breaker = impatient(&clock).policy(policy.slot()).build().unwrap();
    let strategy = RetryStrategy::builder().max_retries(2).breaker(breaker).clock(clock.shared()).build().unwrap();
    let attempt = AtomicU32::new(0);
    let failing = || {
        clock.advance(SECOND * attempt.fetch_add(1, Ordering::Relaxed));
        Err::<(), _>(refused())
    };
    strategy.execute(|| async { failing() }).await.unwrap_err();
    let took: Vec<_> = policy.incidents().iter().map(|incident| incident.guard.as_ref().unwrap().took).collect();
    assert_eq!(took, [0.0, 1.0, 2.0]);
}

#[tokio::test]
async fn waiting_for_room_in_a_bulkhead_is_no_slowness_of_the_service() {
    let clock = DrivenClock::new();
    let breaker = impatient(&clock).minimum_calls_of_one().build().unwrap();
    let bulkhead = Bulkhead::builder("service").max_concurrent(1).max_queued(1).build().unwrap();
    let strategy = RetryStrategy::builder().breaker(breaker.clone()).bulkhead(bulkhead.clone()).clock(clock.shared()).build().unwrap();
    let taken = bulkhead.try_acquire().unwrap();
    let mut waiting = Box::pin(strategy.execute(|| async { Ok::<_, io::Error>(()) }));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.advance(60 * SECOND);
    drop(taken);
    waiting.await.unwrap();
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let good = BreakerConfig::default();
    let bad = [0.0, -1.0, f64::NAN, f64::INFINITY]
        .map(|duration| ("slow_call_duration", BreakerConfig { slow_call_duration: Some(duration), ..good }));
    let shares = [0.0, -0.5, f64::NAN].map(|share| ("slow_call_rate_threshold", BreakerConfig { slow_call_rate_threshold: share, ..good }));
    for (setting, config) in bad.into_iter().chain(shares) {
        let error = CircuitBreaker::builder("b").config(config).build().unwrap_err();
        assert_eq!(error.setting, setting);
        assert!(error.to_string().contains("expected"), "{error}");
    }
    assert_eq!(CircuitBreaker::builder("b").slow_call_duration(Duration::ZERO).build().unwrap_err().setting, "slow_call_duration");
}

#[test]
fn a_breaker_is_measured_as_it_was_when_it_is_restored() {
    let clock = DrivenClock::new();
    let first = impatient(&clock).build().unwrap();
    for _ in 0..3 {
        succeed_in(SLOW, &first, &clock);
    }
    let second = impatient(&clock).restored(first.save()).build().unwrap();
    assert_eq!(succeed_in(SLOW, &second, &clock), Phase::Open, "the fourth");
}

#[test]
fn many_threads_lose_no_slow_call_and_open_it_once() {
    let clock = DrivenClock::new();
    let config = BreakerConfig { minimum_calls: 400, ..BreakerConfig::default() };
    let breaker = CircuitBreaker::builder("b").config(config).slow_call_duration(SLOW).clock(clock.shared()).build().unwrap();
    let permits: Vec<_> = (0..400).map(|_| breaker.try_acquire().unwrap()).collect();
    clock.advance(SLOW);
    let mut permits = permits.into_iter();
    let shares: Vec<Vec<_>> = (0..4).map(|_| permits.by_ref().take(100).collect()).collect();
    std::thread::scope(|scope| {
        for share in shares {
            scope.spawn(|| share.into_iter().for_each(|permit| permit.success()));
        }
    });
    assert_eq!((breaker.state(), breaker.snapshot().generation), (Phase::Open, 1));
}

#[test]
fn only_outcomes_of_calls_carry_a_duration_to_the_policy() {
    let clock = DrivenClock::new();
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let policy = TestPolicy::new().step(move |_, observation, usual| {
        seen.lock().unwrap().push((observation.event, observation.took));
        usual
    });
    let breaker = impatient(&clock).failure_threshold(1).policy(policy.slot()).build().unwrap();
    breaker.try_acquire().unwrap().failure(&refused());
    clock.advance(60 * SECOND);
    succeed_in(SECOND, &breaker, &clock);
    succeed_in(SLOW, &breaker, &clock);
    let expected = [(BreakerEvent::Elapsed, 0.0), (BreakerEvent::Success(2), 1.0), (BreakerEvent::Success(2), 2.0)];
    assert_eq!(*events.lock().unwrap(), expected);
}
