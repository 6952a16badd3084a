use super::*;
use crate::testing::{DrivenClock, Script};
use crate::{CircuitBreaker, ErrorClassifier, RetryStrategy};
use std::io;
use std::time::Duration;
use upright_test_kit::refused;

fn strategy(policy: &TestPolicy, clock: &DrivenClock) -> RetryStrategy {
    RetryStrategy::builder().jitter(false).policy(policy.slot()).clock(clock.shared()).build().unwrap()
}

#[tokio::test]
async fn directives_are_followed_in_order_and_then_it_decides_as_usual() {
    let clock = DrivenClock::skipping();
    let policy = TestPolicy::new().directives([Directive::RetryAfter(0.25), Directive::RetryAfter(7.0)]);
    let script = Script::failing(3, refused).then_ok(());
    strategy(&policy, &clock).execute(|| script.call()).await.unwrap();
    assert_eq!(clock.waits(), [0.25, 7.0, 4.0].map(Duration::from_secs_f64));
    let attempts: Vec<_> = policy.incidents().iter().map(|incident| (incident.attempt, incident.failure.kind)).collect();
    assert_eq!(attempts, [0, 1, 2].map(|attempt| (attempt, FaultKind::ConnectionRefused)));
}

#[tokio::test]
async fn a_directive_comes_with_a_reason_that_fits_it() {
    let clock = DrivenClock::skipping();
    let ended = async |directive, error: fn() -> io::Error| {
        let policy = TestPolicy::new().directives([directive]);
        let error = strategy(&policy, &clock).execute(|| async move { Err::<(), _>(error()) }).await.unwrap_err();
        (error.failure().unwrap().attempts, error.failure().unwrap().reason)
    };
    assert_eq!(ended(Directive::GiveUp, refused).await, (1, Reason::NotRetryable));
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    assert_eq!(ended(Directive::RetryAfter(0.0), denied).await, (2, Reason::NotRetryable));
    let policy = TestPolicy::new().directives([Directive::GiveUp]);
    strategy(&policy, &clock).execute(|| async move { Err::<(), _>(denied()) }).await.unwrap_err();
    let again = TestPolicy::new().directives([Directive::RetryAfter(0.0)]).slot().decide(&policy.incidents()[0]);
    assert_eq!(again.reason, Reason::Retryable);
}

#[test]
fn a_test_policy_can_replace_each_answer_and_sees_the_default_one() {
    let slot = TestPolicy::new()
        .classify(|_, usual| Classification { rule: "replaced".into(), ..usual })
        .delay(|_, attempt, _, usual| usual + f64::from(attempt))
        .recommend(|_, mut usual| {
            usual.retry.max_retries = 9;
            usual
        })
        .next_model(|_, _, usual| usual.map(|index| index + 1))
        .simplify_workflow(|workflow, _| vec![WorkflowEdit { entry: workflow.len() as u32 - 1, change: WorkflowChange::Set(1.0) }])
        .may_serve_cached(|_, _, _, usual| !usual)
        .judge(|_, _, usual| Judgement { findings: usual.findings.into_iter().take(1).collect(), ..usual })
        .slot();
    let failure = slot.classify(&Fault::new(FaultKind::ConnectionRefused, ""));
    assert_eq!((failure.rule.as_str(), failure.category), ("replaced", ErrorCategory::Connection));
    let config = RetryConfig { jitter: false, ..RetryConfig::default() };
    assert_eq!(slot.delay(&config, 2, 0.5), Duration::from_secs(6));
    assert_eq!(slot.recommend(Profile::Quick).retry.max_retries, 9);
    assert_eq!(slot.next_model("a", &["a", "b", "c"].map(String::from)), Some(2));
    let workflow = [WorkflowEntry { key: "steps".into(), value: WorkflowValue::Number(5.0) }];
    assert_eq!(slot.simplify_workflow(&workflow), [WorkflowEdit { entry: 0, change: WorkflowChange::Set(1.0) }]);
    assert!(!slot.may_serve_cached(Duration::ZERO, Duration::from_secs(1), &failure));
    let snapshot = ResourceSnapshot {
        memory_total_bytes: 100,
        memory_available_bytes: 5,
        disk_total_bytes: 100,
        disk_available_bytes: 5,
        cpu_percent: Some(1.0),
    };
    assert_eq!(slot.judge(&snapshot, &ResourceThresholds::default()).findings.len(), 1);
    assert_eq!((slot.description().name.as_str(), slot.counts().safe_mode), ("test-policy", 0));
}

#[test]
fn a_breaker_follows_the_steps_of_a_test_policy() {
    let clock = DrivenClock::new();
    let policy = TestPolicy::new().step(|before, seen, usual| match seen.event {
        BreakerEvent::Success(_) => {
            let state = BreakerState { phase: Phase::Closed, generation: before.generation + 1, ..usual.state };
            Transition { state, admission: Admission::All }
        }
        _ => usual,
    });
    let breaker = CircuitBreaker::builder("b").failure_threshold(1).success_threshold(9).policy(policy.slot());
    let breaker = breaker.clock(clock.shared()).build().unwrap();
    breaker.try_acquire().unwrap().failure(&refused());
    assert_eq!((breaker.state(), policy.incidents().len()), (Phase::Open, 1));
    clock.advance(Duration::from_secs(60));
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.state(), Phase::Closed);
}

#[test]
fn a_classifier_asks_it_what_a_failure_means() {
    let policy = TestPolicy::new().classify(|_, usual| Classification { severity: ErrorSeverity::Critical, ..usual });
    let classifier = ErrorClassifier::new(10).with_policy(policy.slot());
    assert_eq!(classifier.classify(&refused()).severity, ErrorSeverity::Critical);
}

#[test]
fn native_code_answers_for_a_test_policy_that_traps() {
    let slot = TestPolicy::new().delay(|_, _, _, _| 0.0).trapping().slot();
    let config = RetryConfig { jitter: false, ..RetryConfig::default() };
    assert_eq!(slot.delay(&config, 0, 0.5), Duration::from_secs(1));
    assert_eq!(slot.classify(&Fault::new(FaultKind::Timeout, "")).rule, "timeout");
    assert_eq!((slot.counts().decisions, slot.counts().safe_mode), (2, 2));
}
