//! The hint for errors of the caller's own types.

use crate::{logged, subscribe};
use std::io;
use upright::RetryStrategy;
use upright::testing::DrivenClock;
use upright::types::Reason;

#[derive(Debug, thiserror::Error)]
#[error("job {state}")]
struct JobError {
    state: &'static str,
}

#[tokio::test]
async fn the_log_says_how_to_retry_an_unknown_error_and_says_nothing_of_a_known_one() {
    subscribe();
    let hints = |log: &str| log.matches("no rule knows the error").count();
    let retry = RetryStrategy::builder().max_retries(2).use_circuit_breaker(false).clock(DrivenClock::skipping().shared());
    let retry = retry.build().unwrap();
    retry.execute(|| async { Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied)) }).await.unwrap_err();
    assert_eq!(hints(&logged()), 0);
    let error = retry.execute(|| async { Err::<(), _>(JobError { state: "odd" }) }).await.unwrap_err();
    let log = logged();
    assert_eq!((error.failure().unwrap().reason, hints(&log)), (Reason::NotRetryable, 1));
    assert!(log.contains("job odd") && log.contains("retry_if") && log.contains("on_unknown"), "{log}");
}
