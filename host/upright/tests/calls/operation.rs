//! Settings of one operation, facts given to its attempts, and the short forms.

use std::io;
use std::time::Duration;
use upright::budget::RetryBudgetConfig;
use upright::error::{AttemptTimeout, RejectedResult};
use upright::testing::{DrivenClock, Outcome, Script};
use upright::types::{BreakerConfig, ErrorCategory, Fault, FaultKind, Phase, Reason};
use upright::{Attempt, CircuitBreaker, Error, Hedge, RecoveryManager, RetryStrategy, Retryable, Served};
use upright_test_kit::driven::{Driven, seconds};
use upright_test_kit::refused;

fn plain(clock: &DrivenClock) -> upright::retry::RetryStrategyBuilder {
    RetryStrategy::builder().jitter(false).use_circuit_breaker(false).clock(clock.shared())
}

fn manager(clock: &DrivenClock) -> RecoveryManager {
    RecoveryManager::builder().clock(clock.shared()).build().unwrap()
}

fn times_left(ask: &Script<u32, io::Error>) -> Vec<Option<Duration>> {
    ask.attempts().iter().map(|attempt| attempt.time_left).collect()
}

mod limits_of_time {
    use super::*;

    fn slow(clock: &DrivenClock) -> Script<u32, io::Error> {
        Script::new((0..3).map(|_| Outcome::Fail(refused()).after(seconds(3), clock.shared())))
    }

    fn error_of(call: &mut Driven<'_, Result<u32, Error>>, clock: &DrivenClock) -> Error {
        (0..60).find_map(|_| call.after(seconds(1), clock)).unwrap().unwrap_err()
    }

    #[tokio::test]
    async fn without_a_limit_an_attempt_gets_no_limit() {
        let clock = DrivenClock::skipping();
        let ask = slow(&clock);
        let strategy = plain(&clock).max_retries(2).build().unwrap();
        strategy.execute_accepting(|attempt| ask.call_with(attempt), |_| true).await.unwrap_err();
        assert_eq!(times_left(&ask), [None; 3]);
    }

    #[test]
    fn what_the_deadline_leaves_shrinks_from_attempt_to_attempt_whatever_else_guards_them() {
        let expected = [Some(seconds(5)), Some(seconds(5)), Some(seconds(4))];
        for hedged in [false, true] {
            let clock = DrivenClock::new();
            let builder = plain(&clock).base_delay(seconds(1)).backoff_factor(1.0).max_retries(2);
            let builder = builder.attempt_timeout(seconds(5)).deadline(seconds(12));
            let hedge = Hedge::builder("h").delay(seconds(60)).build().unwrap();
            let strategy = if hedged { builder.hedge(hedge) } else { builder }.build().unwrap();
            let ask = slow(&clock);
            let mut call = Driven::begun(strategy.execute_accepting(|attempt| ask.call_with(attempt), |_| true));
            assert_eq!(error_of(&mut call, &clock).failure().unwrap().attempts, 3);
            assert_eq!(times_left(&ask), expected, "hedged: {hedged}");
        }
    }

    #[test]
    fn attempts_of_an_operation_know_their_time_left() {
        let clock = DrivenClock::new();
        let config = upright::RetryConfig { base_delay: 1.0, backoff_factor: 1.0, jitter: false, ..Default::default() };
        let manager = RecoveryManager::builder().clock(clock.shared()).retry(config).build().unwrap();
        let ask = slow(&clock);
        let operation = manager.operation("chat").attempts(3).attempt_timeout(seconds(5)).deadline(seconds(12));
        let mut call = Driven::begun(operation.run(|attempt| ask.call_with(attempt)));
        let error = (0..60).find_map(|_| call.after(seconds(1), &clock)).unwrap().unwrap_err();
        assert_eq!((error.failure().unwrap().attempts, times_left(&ask)), (3, vec![Some(seconds(5)), Some(seconds(5)), Some(seconds(4))]));
    }

    #[test]
    fn a_blocking_attempt_gets_its_limit_which_nobody_can_enforce() {
        let clock = DrivenClock::skipping();
        let strategy = plain(&clock).max_retries(2).backoff_factor(1.0).attempt_timeout(seconds(5)).deadline(seconds(12)).build().unwrap();
        let mut limits = Vec::new();
        let operation = |attempt: Attempt| {
            limits.push((attempt.number, attempt.time_left));
            clock.advance(seconds(3));
            Err::<(), _>(refused())
        };
        strategy.execute_accepting_blocking(operation, |()| true).unwrap_err();
        assert_eq!(limits, [(1, Some(seconds(5))), (2, Some(seconds(5))), (3, Some(seconds(4)))]);
    }

    #[test]
    fn an_attempt_ends_with_the_deadline_and_no_other_begins() {
        let clock = DrivenClock::new();
        let manager = manager(&clock);
        let ask = Script::<u32, io::Error>::new([Outcome::Hang]);
        let operation = manager.operation("chat").deadline(seconds(7)).attempt_timeout(seconds(20));
        let mut call = Driven::begun(operation.run(|attempt| ask.call_with(attempt)));
        assert!(call.after(seconds(6), &clock).is_none());
        let error = call.ended_after(seconds(1), &clock).unwrap_err();
        assert_eq!(error.downcast_ref::<AttemptTimeout>().unwrap().limit, seconds(7));
        let failure = error.failure().unwrap();
        assert_eq!((failure.elapsed, failure.reason), (seconds(7), Reason::DeadlineExceeded));
        assert_eq!((ask.calls(), ask.cancelled()), (1, 1));
    }

    #[test]
    fn a_fallback_runs_after_the_deadline_without_a_limit_of_its_own() {
        let clock = DrivenClock::new();
        let manager = manager(&clock);
        let late = Script::<u32, io::Error>::new([Outcome::Ok(7).after(seconds(3600), clock.shared())]);
        let operation = manager.operation("chat").deadline(seconds(7)).fallback(|| late.call());
        let mut call = Driven::begun(operation.run(|_| std::future::pending::<Result<u32, io::Error>>()));
        assert!(call.after(seconds(7), &clock).is_none());
        let answer = call.ended_after(seconds(3600), &clock).unwrap();
        assert_eq!((answer.value, answer.served), (7, Served::Fallback));
    }
}

mod overrides {
    use super::*;

    #[tokio::test]
    async fn an_operation_is_tried_as_often_as_it_says() {
        for attempts in [1, 2, 6] {
            let manager = manager(&DrivenClock::skipping());
            let ask = Script::failing(attempts, refused).then_always(|| Ok(0));
            let error = manager.operation("chat").breaker("none").attempts(attempts).run(|_| ask.call()).await.unwrap_err();
            assert_eq!((ask.calls(), error.failure().unwrap().attempts), (attempts.min(5), attempts.min(5)));
        }
    }

    #[tokio::test]
    async fn the_attempts_of_an_operation_are_counted_for_each_model() {
        let manager = manager(&DrivenClock::skipping());
        let ask = Script::<u32, _>::failing(4, || io::Error::from(io::ErrorKind::TimedOut));
        let operation = manager.operation("chat").models(["a", "b"]).attempts(2);
        operation.run(|attempt| ask.call_with(attempt)).await.unwrap_err();
        let models: Vec<_> = ask.attempts().into_iter().filter_map(|attempt| attempt.model).collect();
        assert_eq!(models, ["a".into(), "a".into(), "b".into(), "b".into()]);
    }

    #[tokio::test]
    async fn an_operation_refuses_an_invalid_setting_by_name_before_any_call() {
        let manager = manager(&DrivenClock::skipping());
        let settings = [
            ("attempts", manager.operation("chat").attempts(0)),
            ("deadline", manager.operation("chat").deadline(Duration::ZERO)),
            ("attempt_timeout", manager.operation("chat").attempt_timeout(Duration::ZERO)),
        ];
        for (setting, operation) in settings {
            let ask = Script::<u32, io::Error>::new::<Outcome<_, _>>([]);
            match operation.run(|_| ask.call()).await.unwrap_err() {
                Error::Configuration(error) => assert_eq!(error.setting, setting),
                error => panic!("{setting}: {error}"),
            }
        }
    }

    #[tokio::test]
    async fn a_non_idempotent_operation_is_retried_only_if_it_never_reached_the_server() {
        let manager = manager(&DrivenClock::skipping());
        let timed_out = || io::Error::from(io::ErrorKind::TimedOut);
        let pay = Script::failing(1, timed_out).then_ok(1);
        manager.operation("pay").idempotent(false).run(|_| pay.call()).await.unwrap_err();
        assert_eq!(pay.calls(), 1);
        let pay = Script::failing(1, refused).then_ok(1);
        assert_eq!(manager.operation("pay").idempotent(false).run(|_| pay.call()).await.unwrap().value, 1);
        let read = Script::failing(1, timed_out).then_ok(1);
        assert_eq!(manager.operation("read").run(|_| read.call()).await.unwrap().value, 1);
    }

    #[tokio::test]
    async fn settings_of_one_operation_do_not_affect_the_next() {
        let manager = manager(&DrivenClock::skipping());
        let once = Script::<u32, _>::failing(1, refused);
        manager.operation("a").attempts(1).idempotent(false).deadline(seconds(1)).run(|_| once.call()).await.unwrap_err();
        let often = Script::failing(3, || io::Error::from(io::ErrorKind::TimedOut)).then_ok(1);
        let answer = manager.operation("b").breaker("b").run(|attempt| often.call_with(attempt)).await.unwrap();
        assert_eq!((answer.attempts, times_left(&often)), (4, vec![None; 4]));
    }

    #[tokio::test]
    async fn operations_that_name_one_budget_share_it() {
        let manager = RecoveryManager::builder()
            .clock(DrivenClock::skipping().shared())
            .budgets(RetryBudgetConfig { capacity: 3, per_second: 0.0 })
            .build()
            .unwrap();
        let failing = || Script::<u32, _>::failing(4, refused).then_always(|| Ok(0));
        let reason = |error: Error| error.failure().unwrap().reason;
        let first = failing();
        let error = manager.operation("a").budget("ollama").breaker("a").attempts(3).run(|_| first.call()).await.unwrap_err();
        assert_eq!((first.calls(), reason(error)), (3, Reason::AttemptsExhausted));
        let second = failing();
        let error = manager.operation("b").budget("ollama").breaker("b").run(|_| second.call()).await.unwrap_err();
        assert_eq!((second.calls(), reason(error)), (2, Reason::BudgetExhausted));
        assert_eq!((manager.budgets().get("ollama").left(), manager.budgets().get("index").left()), (0, 3));
    }
}

mod accepting {
    use super::*;

    #[tokio::test]
    async fn each_accepting_form_retries_a_rejected_result() {
        let clock = DrivenClock::skipping();
        let strategy = plain(&clock).build().unwrap();
        let manager = manager(&clock);
        let script = || Script::new([Ok::<_, io::Error>(0), Ok(7)]);
        let not_0 = |value: &u32| *value != 0;

        let ask = script();
        assert_eq!(strategy.execute_accepting(|_| ask.call(), not_0).await.unwrap(), 7);
        let ask = script();
        assert_eq!(strategy.execute_accepting_blocking(|_| ask.call_blocking(), not_0).unwrap(), 7);
        let ask = script();
        assert_eq!((|| ask.call()).retry_accepting(&strategy, not_0).await.unwrap(), 7);
        let ask = script();
        let answer = manager.operation("chat").accept(not_0).run(|_| ask.call()).await.unwrap();
        assert_eq!((answer.value, answer.attempts, answer.served), (7, 2, Served::Live));
        let ask = script();
        let operation = manager.operation("chat").fallback(|| async { Ok::<_, io::Error>(9) });
        assert_eq!(operation.accept(not_0).run(|_| ask.call()).await.unwrap().value, 7);
    }

    #[tokio::test]
    async fn every_form_ends_with_the_rejection_as_its_error() {
        let clock = DrivenClock::skipping();
        let strategy = plain(&clock).build().unwrap();
        let manager = manager(&clock);
        let ask = Script::always(|| Ok::<_, io::Error>(0));
        let never = |_: &u32| false;
        let errors = [
            strategy.execute_accepting(|_| ask.call(), never).await.unwrap_err(),
            strategy.execute_accepting_blocking(|_| ask.call_blocking(), never).unwrap_err(),
            (|| ask.call()).retry_accepting(&strategy, never).await.unwrap_err(),
            manager.operation("chat").accept(never).run(|_| ask.call()).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.downcast_ref::<RejectedResult>(), Some(&RejectedResult), "{error}");
        }
    }

    #[tokio::test]
    async fn a_fallbacks_result_is_not_checked_by_accept() {
        let manager = manager(&DrivenClock::skipping());
        let operation = manager.operation("chat").fallback(|| async { Ok::<_, io::Error>(0) });
        let answer = operation.accept(|value: &u32| *value != 0).run(|_| async { Ok::<_, io::Error>(0) }).await.unwrap();
        assert_eq!((answer.value, answer.served), (0, Served::Fallback));
    }
}

mod fault_reader {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Malformed;

    fn read(error: &(dyn std::error::Error + 'static)) -> Option<Fault> {
        error.downcast_ref::<Malformed>().map(|malformed| Fault::new(FaultKind::InvalidInput, malformed.to_string()))
    }

    #[tokio::test]
    async fn a_callers_own_error_is_read_by_the_callers_own_reader() {
        let clock = DrivenClock::skipping();
        let parse = Script::<u32, _>::failing(4, || Malformed);
        plain(&clock).build().unwrap().execute(|| parse.call()).await.unwrap_err();
        assert_eq!(parse.calls(), 4, "without a reader its text is believed");

        let parse = Script::<u32, _>::failing(1, || Malformed);
        let error = plain(&clock).fault_reader(read).build().unwrap().execute(|| parse.call()).await.unwrap_err();
        let failure = error.failure().unwrap();
        assert_eq!((failure.reason, failure.classification.category), (Reason::NotRetryable, ErrorCategory::Permanent));
    }

    #[tokio::test]
    async fn a_fault_reader_sees_each_cause_and_unknown_ones_are_read_by_default() {
        let manager = RecoveryManager::builder().clock(DrivenClock::skipping().shared()).fault_reader(read).build().unwrap();
        let parse = Script::<u32, _>::failing(1, || io::Error::other(io::Error::other(Malformed)));
        let error = manager.operation("parse").run(|_| parse.call()).await.unwrap_err();
        assert_eq!(error.failure().unwrap().reason, Reason::NotRetryable);
        let fetch = Script::failing(1, refused).then_ok(1);
        assert_eq!(manager.operation("fetch").run(|_| fetch.call()).await.unwrap().attempts, 2);
    }
}

mod permits {
    use super::*;

    #[test]
    fn recording_an_outcome_counts_it_and_tells_what_a_failure_means() {
        let clock = DrivenClock::new();
        let config = BreakerConfig { failure_threshold: 2, success_threshold: 1, ..BreakerConfig::default() };
        let breaker = CircuitBreaker::builder("ollama").config(config).clock(clock.shared()).build().unwrap();
        let record = |outcome: Result<(), io::Error>| breaker.try_acquire().unwrap().record(&outcome);

        let meaning = record(Err(refused())).unwrap();
        assert!(meaning.counted && meaning.retryable, "{meaning:?}");
        assert_eq!(record(Ok(())), None);
        record(Err(refused()));
        assert_eq!((breaker.state(), breaker.snapshot().consecutive_failures), (Phase::Closed, 1), "the success came between");
        record(Err(refused()));
        assert_eq!(breaker.state(), Phase::Open);
        clock.advance(seconds(60));
        assert_eq!(record(Ok(())), None);
        assert_eq!(breaker.state(), Phase::Closed);
        assert!(!record(Err(io::ErrorKind::InvalidInput.into())).unwrap().counted);
    }
}
