//! Retries in one line, and common properties of the futures.

use std::error::Error as _;
use std::io;
use upright::testing::{DrivenClock, Script};
use upright::{CircuitBreaker, Error, Hedge, RecoveryManager, RetryStrategy, Retryable, RetryableBlocking};
use upright_test_kit::driven::seconds;
use upright_test_kit::refused;

fn plain(clock: &DrivenClock) -> upright::retry::RetryStrategyBuilder {
    RetryStrategy::builder().jitter(false).use_circuit_breaker(false).clock(clock.shared())
}

async fn fetch() -> Result<&'static str, io::Error> {
    Ok("page")
}

#[tokio::test]
async fn functions_closures_and_async_closures_are_retried() {
    let clock = DrivenClock::skipping();
    let strategy = plain(&clock).build().unwrap();
    assert_eq!(fetch.retry(&strategy).await.unwrap(), "page");
    let ask = Script::failing(2, refused).then_ok(1);
    assert_eq!((|| ask.call()).retry(&strategy).await.unwrap(), 1);
    let ask = Script::failing(2, refused).then_ok(1);
    assert_eq!((async || ask.call().await).retry(&strategy).await.unwrap(), 1);
    assert_eq!(clock.waits(), [1, 2, 1, 2].map(seconds));
}

#[tokio::test]
async fn a_fallback_takes_the_place_of_what_fails_for_good() {
    let strategy = plain(&DrivenClock::skipping()).max_retries(1).build().unwrap();
    let ask = Script::failing(2, refused);
    assert_eq!((|| ask.call()).retry_or(&strategy, || async { Ok::<_, io::Error>(9) }).await.unwrap(), 9);
    let ask = Script::<u32, _>::failing(2, refused);
    let error = (|| ask.call()).retry_or(&strategy, || async { Err::<u32, _>("none") }).await.unwrap_err();
    let Error::FallbackFailed { fallback, first } = &error else { panic!("{error}") };
    assert_eq!((fallback.to_string(), first.failure().unwrap().attempts), ("none".to_owned(), 2));
    assert!(error.source().is_some());
}

#[test]
fn blocking_closures_are_retried_too() {
    let strategy = plain(&DrivenClock::skipping()).max_retries(1).build().unwrap();
    let ask = Script::failing(1, refused).then_ok(1);
    assert_eq!((|| ask.call_blocking()).retry_blocking(&strategy).unwrap(), 1);
    let ask = Script::failing(2, refused);
    assert_eq!((|| ask.call_blocking()).retry_blocking_or(&strategy, || Ok::<_, io::Error>(9)).unwrap(), 9);
}

#[test]
fn the_futures_can_be_sent_to_another_thread() {
    fn sent<T: Send>(_: T) {}
    let clock = DrivenClock::skipping();
    let hedge = Hedge::builder("h").build().unwrap();
    let bulkhead = upright::Bulkhead::builder("b").max_queued(1).build().unwrap();
    let breaker = CircuitBreaker::builder("c").build().unwrap();
    let strategy = plain(&clock).hedge(hedge.clone()).bulkhead(bulkhead.clone()).breaker(breaker.clone()).build().unwrap();
    let manager = RecoveryManager::builder().build().unwrap();
    let fallback = || async { Ok::<_, io::Error>("none") };
    sent(strategy.execute(fetch));
    sent(strategy.execute_accepting(|_| fetch(), |page| !page.is_empty()));
    sent(strategy.execute_with_fallback(fetch, fallback));
    sent(fetch.retry(&strategy));
    sent((async || fetch().await).retry(&strategy));
    sent(fetch.retry_accepting(&strategy, |page| !page.is_empty()));
    sent(fetch.retry_or(&strategy, fallback));
    sent(hedge.execute(fetch));
    sent(bulkhead.call(fetch));
    sent(bulkhead.acquire());
    sent(breaker.call(fetch));
    let page = |_| async { Ok::<_, io::Error>("page".to_owned()) };
    sent(manager.operation("a").bulkhead("b").hedge(&hedge).run(page));
    sent(manager.operation("a").accept(|page: &String| !page.is_empty()).run(page));
    sent(manager.operation("a").fallback(|| async { Ok::<_, io::Error>(String::new()) }).run(page));
    sent(manager.subscribe());
}
