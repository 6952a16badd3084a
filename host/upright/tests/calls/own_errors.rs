//! Errors of the caller's own types: whether they are retried, and how the caller gets them back.

use std::io;
use upright::driving::OnUnknown;
use upright::fault::DescribesItself;
use upright::retry::RetryStrategyBuilder;
use upright::testing::{DrivenClock, Script};
use upright::types::{Fault, FaultKind};
use upright::{Error, RecoveryManager, RetryStrategy};

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("job {state}")]
struct JobError {
    state: &'static str,
}

#[derive(Debug, thiserror::Error)]
#[error("row {0} is malformed")]
struct Malformed(u64);

impl DescribesItself for Malformed {
    fn fault(&self) -> Fault {
        Fault::new(FaultKind::InvalidInput, self.to_string())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the import failed")]
struct Import(#[source] JobError);

fn builder() -> RetryStrategyBuilder {
    RetryStrategy::builder().max_retries(2).use_circuit_breaker(false).clock(DrivenClock::skipping().shared())
}

/// Number of attempts that an operation makes which always fails so.
async fn attempts<E: std::error::Error + Send + Sync + 'static>(
    retry: &RetryStrategy,
    error: impl Fn() -> E + Send + Sync + 'static,
) -> u32 {
    let script = Script::<(), E>::always(move || Err(error()));
    retry.execute(|| script.call()).await.unwrap_err();
    script.calls()
}

#[tokio::test]
async fn an_error_that_no_rule_knows_is_not_retried_unless_the_strategy_says_so() {
    let unknown = || JobError { state: "odd" };
    assert_eq!(attempts(&builder().build().unwrap(), unknown).await, 1);
    assert_eq!(attempts(&builder().on_unknown(OnUnknown::Retry).build().unwrap(), unknown).await, 3);
}

#[tokio::test]
async fn on_unknown_retry_leaves_known_errors_as_they_are() {
    let retry = builder().on_unknown(OnUnknown::Retry).build().unwrap();
    assert_eq!(attempts(&retry, || io::Error::from(io::ErrorKind::PermissionDenied)).await, 1);
}

#[tokio::test]
async fn retry_if_decides_by_the_type_deep_in_the_chain_and_leaves_other_types_alone() {
    let retry = builder().retry_if(|error: &JobError| error.state == "pending").build().unwrap();
    assert_eq!(attempts(&retry, || JobError { state: "pending" }).await, 3);
    assert_eq!(attempts(&retry, || JobError { state: "gone" }).await, 1);
    assert_eq!(attempts(&retry, || Import(JobError { state: "pending" })).await, 3);
    assert_eq!(attempts(&retry, || io::Error::from(io::ErrorKind::ConnectionRefused)).await, 3);
    assert_eq!(attempts(&retry, || Malformed(7)).await, 1);
}

#[tokio::test]
async fn retry_if_stops_an_error_that_the_classifier_would_retry() {
    let retry = builder().retry_if(|error: &io::Error| error.kind() != io::ErrorKind::ConnectionRefused).build().unwrap();
    assert_eq!(attempts(&retry, || io::Error::from(io::ErrorKind::ConnectionRefused)).await, 1);
}

#[tokio::test]
async fn described_types_and_readers_of_one_strategy_do_not_replace_each_other() {
    let known = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<JobError>().map(|error| Fault::new(FaultKind::Timeout, error.to_string()))
    };
    let retry = builder().describes::<Malformed>().fault_reader(known).build().unwrap();
    let malformed = retry.execute(|| async { Err::<(), _>(Malformed(7)) }).await.unwrap_err();
    let failure = malformed.failure().unwrap();
    assert_eq!((failure.classification.rule.as_str(), failure.attempts), ("invalid-input", 1));
    assert_eq!(attempts(&retry, || JobError { state: "slow" }).await, 3);
}

#[tokio::test]
async fn a_manager_asks_retry_if_and_on_unknown_too() {
    let manager = |configure: fn(upright::manager::RecoveryManagerBuilder) -> upright::manager::RecoveryManagerBuilder| {
        configure(RecoveryManager::builder().clock(DrivenClock::skipping().shared())).build().unwrap()
    };
    let run = async |manager: RecoveryManager| {
        let script = Script::<(), _>::always(|| Err(JobError { state: "pending" }));
        manager.operation("job").attempts(3).run(|_| script.call()).await.unwrap_err();
        script.calls()
    };
    assert_eq!(run(manager(|builder| builder)).await, 1);
    assert_eq!(run(manager(|builder| builder.retry_if(|error: &JobError| error.state == "pending"))).await, 3);
    assert_eq!(run(manager(|builder| builder.on_unknown(OnUnknown::Retry))).await, 3);
}

#[tokio::test]
async fn into_cause_gives_the_error_by_value_and_else_the_whole_error_unchanged() {
    let retry = builder().build().unwrap();
    let failed = || async { retry.execute(|| async { Err::<(), _>(JobError { state: "odd" }) }).await.unwrap_err() };
    assert_eq!(failed().await.into_cause::<JobError>().unwrap(), JobError { state: "odd" });
    let unchanged = failed().await.into_cause::<Malformed>().unwrap_err();
    assert_eq!(unchanged.downcast_ref::<JobError>(), Some(&JobError { state: "odd" }));
    // A guarded call within a guarded call.
    let outer = builder().build().unwrap();
    let nested = outer.execute(|| async { Err::<(), _>(failed().await) }).await.unwrap_err();
    assert_eq!(nested.into_cause::<JobError>().unwrap(), JobError { state: "odd" });
    let both = retry
        .execute_with_fallback(|| async { Err::<(), _>(JobError { state: "odd" }) }, || async { Err::<(), _>(Malformed(1)) })
        .await
        .unwrap_err();
    assert!(matches!(both, Error::FallbackFailed { .. }));
    assert_eq!(both.into_cause::<JobError>().unwrap(), JobError { state: "odd" });
}
