//! Settings: literals, expressions, and invalid ones.

use super::{Count, Problem, reset};
use std::future::pending;
use std::time::Duration;
use upright::error::{AttemptTimeout, CircuitOpen};
use upright::types::Reason;
use upright::{with_circuit_breaker, with_retry};
use upright_core::clock::DURATION_LIMIT;

fn reason(problem: &Problem) -> Reason {
    let Problem::Guarded(error) = problem else { panic!("not the guard's: {problem}") };
    error.failure().unwrap().reason
}

fn unusable(problem: &Problem) -> &'static str {
    let Problem::Guarded(upright::Error::Configuration(error)) = problem else { panic!("no bad setting: {problem}") };
    error.setting
}

fn open(problem: &Problem) -> &CircuitOpen {
    let Problem::Guarded(upright::Error::CircuitOpen(open)) = problem else { panic!("not open: {problem}") };
    open
}

#[test]
fn settings_may_be_expressions_and_spans_durations() {
    const RETRIES: u32 = 4;
    static DELAY: Duration = Duration::ZERO;
    #[with_retry(
        max_retries = RETRIES - 2,
        base_delay = DELAY,
        max_delay = Duration::from_millis(1),
        backoff_factor = f64::from(RETRIES),
        jitter = RETRIES > 3,
        deadline = 3.0 * 60.0,
        idempotent = DELAY.is_zero(),
        use_circuit_breaker = cfg!(test),
        name = format!("fetch-{RETRIES}"),
    )]
    fn fetch(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Err(reset())?
    }
    let tries = Count::new();
    assert_eq!(reason(&fetch(&tries).unwrap_err()), Reason::AttemptsExhausted);
    assert_eq!(tries.get(), 3);
    fetch(&tries).unwrap_err();
    assert_eq!((&*open(&fetch(&tries).unwrap_err()).breaker, tries.get()), ("fetch-4", 5));
}

#[test]
fn without_a_breaker_no_number_of_failures_stops_the_calls() {
    #[with_retry(max_retries = 0, use_circuit_breaker = false)]
    fn fetch(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Err(reset())?
    }
    let tries = Count::new();
    for _ in 0..20 {
        assert_eq!(reason(&fetch(&tries).unwrap_err()), Reason::AttemptsExhausted);
    }
    assert_eq!(tries.get(), 20);
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_ended() {
    #[with_retry(max_retries = 0, attempt_timeout = 0.001)]
    async fn hang() -> Result<(), Problem> {
        pending().await
    }
    let Problem::Guarded(error) = hang().await.unwrap_err() else { panic!("not the guard's") };
    assert_eq!(error.downcast_ref(), Some(&AttemptTimeout { limit: Duration::from_millis(1) }));
}

#[test]
fn after_the_deadline_there_is_no_further_attempt() {
    #[with_retry(deadline = 0.5)]
    fn fetch(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Err(reset())?
    }
    let tries = Count::new();
    // The first delay of 1 s exceeds the deadline, so nothing is waited for.
    assert_eq!(reason(&fetch(&tries).unwrap_err()), Reason::DeadlineExceeded);
    assert_eq!(tries.get(), 1);
}

#[test]
fn with_retry_does_not_repeat_a_non_idempotent_call_that_may_have_happened() {
    #[with_retry(idempotent = false, base_delay = 0)]
    fn send(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Err(reset())?
    }
    let tries = Count::new();
    assert_eq!(reason(&send(&tries).unwrap_err()), Reason::NotIdempotent);
    assert_eq!(tries.get(), 1);
}

#[test]
fn a_setting_that_run_time_finds_unusable_comes_as_an_error_at_every_call() {
    const NOT_A_NUMBER: f64 = f64::NAN;
    #[with_retry(backoff_factor = NOT_A_NUMBER)]
    fn factor(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Ok(())
    }
    #[with_retry(deadline = NOT_A_NUMBER, fallback = fine)]
    fn deadline(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Ok(())
    }
    #[with_retry(attempt_timeout = Duration::ZERO)]
    async fn attempt(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Ok(())
    }
    #[with_circuit_breaker(recovery_timeout = f64::NEG_INFINITY)]
    fn recovery(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Ok(())
    }
    #[with_circuit_breaker(failure_threshold = u32::MIN, fallback = fine)]
    fn threshold(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Ok(())
    }
    #[with_retry]
    #[with_circuit_breaker(half_open_permits = u32::MIN)]
    fn together(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Ok(())
    }
    fn fine(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Ok(())
    }
    let tries = Count::new();
    for _ in 0..2 {
        assert_eq!(unusable(&factor(&tries).unwrap_err()), "backoff_factor");
        assert_eq!(unusable(&deadline(&tries).unwrap_err()), "deadline");
        assert_eq!(unusable(&recovery(&tries).unwrap_err()), "recovery_timeout");
        assert_eq!(unusable(&threshold(&tries).unwrap_err()), "failure_threshold");
        assert_eq!(unusable(&together(&tries).unwrap_err()), "half_open_permits");
        let mut attempted = std::pin::pin!(attempt(&tries));
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(outcome) = attempted.as_mut().poll(context) else { panic!("it waits") };
        assert_eq!(unusable(&outcome.unwrap_err()), "attempt_timeout");
    }
    assert_eq!(tries.get(), 0);
}

#[test]
fn the_longest_duration_that_an_attribute_accepts_is_the_longest_that_a_builder_accepts() {
    #[with_retry(max_delay = 315360000, deadline = 315360000)]
    fn fetch() -> Result<(), Problem> {
        Ok(())
    }
    fetch().unwrap();
    assert_eq!(DURATION_LIMIT, Duration::from_secs(315_360_000));
}

#[test]
fn a_guard_is_named_after_the_function_unless_it_is_given_a_name() {
    #[with_circuit_breaker(failure_threshold = 1)]
    fn r#try() -> Result<(), Problem> {
        Err(reset())?
    }
    #[with_circuit_breaker(failure_threshold = 1, name = "ollama")]
    fn named() -> Result<(), Problem> {
        Err(reset())?
    }
    #[with_retry(max_retries = 5, base_delay = 0)]
    fn retried() -> Result<(), Problem> {
        Err(reset())?
    }
    r#try().unwrap_err();
    named().unwrap_err();
    retried().unwrap_err();
    assert_eq!(&*open(&r#try().unwrap_err()).breaker, "calls::macros::settings::try");
    assert_eq!(&*open(&named().unwrap_err()).breaker, "ollama");
    assert_eq!(&*open(&retried().unwrap_err()).breaker, "calls::macros::settings::retried");
}
