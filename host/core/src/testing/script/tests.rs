use super::*;
use crate::fault::fault_of;
use crate::testing::DrivenClock;
use crate::types::{FaultKind, Reason};
use crate::{Error, RetryStrategy};
use futures_util::FutureExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use upright_test_kit::refused;

fn plain(clock: &DrivenClock) -> RetryStrategy {
    RetryStrategy::builder().jitter(false).use_circuit_breaker(false).clock(clock.shared()).build().unwrap()
}

fn panic_of<R>(run: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).err().expect("it does not panic");
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap().to_owned()
}

#[tokio::test]
async fn outcomes_come_in_their_order_whichever_way_it_is_called() {
    let script = Script::new([Outcome::Fail(refused()), Outcome::Ok(1)]).then(Ok(2)).then_failing(1, refused).then_ok(3);
    assert_eq!(script.call().await.unwrap_err().raw_os_error(), Some(111));
    assert_eq!(script.call_blocking().unwrap(), 1);
    assert_eq!(script.clone().call().await.unwrap(), 2);
    assert!(script.call_blocking().is_err());
    assert_eq!((script.calls(), script.left()), (4, 1));
    assert_eq!(script.call_blocking().unwrap(), 3);
}

#[tokio::test]
async fn a_call_beyond_the_end_panics_and_says_how_many_were_scripted() {
    let script = Script::failing(2, refused).then_ok(());
    for _ in 0..3 {
        let _ = script.call().await;
    }
    let text = panic_of(|| script.call().now_or_never());
    assert_eq!(text, "the script has ended: this is call 4, and 3 outcomes are scripted");
    assert!(panic_of(|| script.call_blocking()).contains("call 5"));
}

#[tokio::test]
async fn an_end_that_is_an_error_is_neither_retried_nor_covered_by_a_fallback() {
    let clock = DrivenClock::skipping();
    let script = Script::failing(1, refused).fail_at_end();
    let error = plain(&clock).execute_with_fallback(|| script.call(), || async { Ok::<_, io::Error>(()) }).await.unwrap_err();
    assert_eq!((script.calls(), error.failure().unwrap().reason), (2, Reason::Cancelled));
    let inner = error.downcast_ref::<io::Error>().unwrap().get_ref().unwrap();
    let ended: &ScriptEnded = inner.downcast_ref().unwrap();
    assert_eq!((ended.call, ended.scripted), (2, 1));
    assert_eq!(fault_of(inner).kind, FaultKind::Cancelled);
}

#[test]
fn the_repeated_outcome_of_a_script_follows_the_listed_ones_and_never_ends() {
    let script = Script::new([Ok(1)]).then_always(|| Err(refused())).then_ok(2);
    assert_eq!([script.call_blocking().unwrap(), script.call_blocking().unwrap()], [1, 2]);
    for _ in 0..100 {
        assert!(script.call_blocking().is_err());
    }
    assert_eq!((script.calls(), script.left()), (102, 0));
}

#[tokio::test]
async fn a_strategy_that_drives_it_retries_its_failures_and_tells_it_the_attempts() {
    let clock = DrivenClock::skipping();
    let script = Script::failing(2, refused).then_ok("page");
    let page = plain(&clock).execute_accepting(|attempt| script.call_with(attempt), |_| true).await.unwrap();
    let numbers: Vec<_> = script.attempts().iter().map(|attempt| attempt.number).collect();
    assert_eq!((page, numbers), ("page", vec![1, 2, 3]));
    assert_eq!(clock.waits(), [1, 2].map(Duration::from_secs));
    let script = Script::failing(1, refused).then_ok("page");
    plain(&clock).execute_accepting_blocking(|attempt| script.call_with_blocking(attempt), |_| true).unwrap();
    assert_eq!(script.attempts()[1].number, 2);
}

#[test]
fn a_hang_ends_only_when_it_is_dropped_and_is_counted_then() {
    let script = Script::<(), io::Error>::new([Outcome::Hang]).then_hang();
    let mut hanging = Box::pin(script.call());
    assert!(hanging.as_mut().now_or_never().is_none());
    assert_eq!((script.calls(), script.cancelled()), (1, 0));
    drop(hanging);
    assert_eq!(script.cancelled(), 1);
    assert!(panic_of(|| script.call_blocking()).contains("cannot hang"));
}

#[test]
fn a_call_that_has_ended_or_panicked_was_not_cancelled() {
    let script = Script::new([Ok(()), Err(refused())]).then_panic("as scripted");
    assert!(script.call().now_or_never().unwrap().is_ok() && script.call().now_or_never().unwrap().is_err());
    assert_eq!(panic_of(|| script.call().now_or_never()), "as scripted");
    assert_eq!((script.calls(), script.cancelled()), (3, 0));
    let script = Script::<(), io::Error>::always(|| Ok(()));
    drop(script.call());
    assert_eq!((script.calls(), script.cancelled()), (1, 1));
}

#[test]
fn a_delayed_outcome_comes_when_its_clock_says_so() {
    let clock = DrivenClock::new();
    let outcome = Outcome::Ok("late").after(Duration::from_secs(2), clock.shared()).after(Duration::from_secs(1), clock.shared());
    let script = Script::<_, io::Error>::new([outcome]);
    let mut call = Box::pin(script.call());
    assert!(call.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(1));
    assert!(call.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_millis(1999));
    assert!(call.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_millis(1));
    assert_eq!(call.as_mut().now_or_never().unwrap().unwrap(), "late");
}

#[test]
fn threads_that_share_it_each_get_outcomes_of_their_own() {
    let script = Script::<_, Error>::new((0..400).map(Ok));
    let mut all = std::thread::scope(|scope| {
        let take = || (0..100).map(|_| script.call_blocking().unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    all.sort_unstable();
    assert_eq!(all, (0..400).collect::<Vec<_>>());
}
