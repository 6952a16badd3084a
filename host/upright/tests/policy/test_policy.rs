//! A policy with scripted answers, in a manager and in a policy lifecycle.

use std::io;
use std::time::Duration;
use upright::events::Events;
use upright::testing::{DrivenClock, EventLog, Script, TestPolicy};
use upright::types::{Directive, Verdict};
use upright::{Event, PolicyLifecycle, RecoveryManager, RetryStrategy};
use upright_runtime::STRIKES;
use upright_test_kit::refused;

#[tokio::test]
async fn a_manager_follows_its_policy_about_models_and_fallbacks() {
    let policy = TestPolicy::new().directives([Directive::SwitchModel(1), Directive::UseFallback]);
    let manager = RecoveryManager::builder().fallback_models(["b"]).policy(policy.slot()).build().unwrap();
    let log = EventLog::from(manager.subscribe());
    let script = Script::<String, _>::always(|| Err(refused()));
    let strategy_events = |event: &Event| matches!(event, Event::ModelSwitched { .. } | Event::FallbackUsed { .. });
    let operation = manager.operation("chat").model("a").fallback(|| async { Ok::<_, io::Error>("sorry".to_owned()) });
    assert_eq!(operation.run(|attempt| script.call_with(attempt)).await.unwrap().value, "sorry");
    let models: Vec<_> = script.attempts().into_iter().map(|attempt| attempt.model.unwrap().to_string()).collect();
    assert_eq!(models, ["a", "b"]);
    assert_eq!(log.take().iter().filter(|event| strategy_events(event)).count(), 2);
    assert_eq!(policy.incidents()[1].models.as_ref().unwrap().current, "b");
}

#[tokio::test]
async fn nonsense_is_not_followed_and_the_third_time_native_code_decides_alone() {
    let (clock, events) = (DrivenClock::skipping(), Events::default());
    let log = EventLog::of(&events);
    let policy = TestPolicy::new().decide(|_, usual| Verdict { directive: Directive::RetryAfter(f64::NAN), ..usual });
    let slot = PolicyLifecycle::from(policy.slot()).connected(clock.shared(), events);
    let strategy = RetryStrategy::builder().jitter(false).max_retries(9).use_circuit_breaker(false);
    let strategy = strategy.policy(slot.clone()).clock(clock.shared()).build().unwrap();
    let script = Script::failing(5, refused).then_ok(());
    strategy.execute(|| script.call()).await.unwrap();
    assert_eq!(clock.waits(), [1, 2, 4, 8, 16].map(Duration::from_secs));
    let events = log.take();
    let in_safe_mode = |event: &&Event| matches!(event, Event::SafeMode { error, .. } if error.contains("a delay of NaN s"));
    assert_eq!(events.iter().filter(in_safe_mode).count(), STRIKES);
    let rolled_back = Event::PolicyRolledBack {
        from: format!("test-policy {}", env!("CARGO_PKG_VERSION")),
        to: format!("upright-default {}", env!("CARGO_PKG_VERSION")),
    };
    assert_eq!(events.last(), Some(&rolled_back));
    assert_eq!((policy.incidents().len(), slot.counts().rollbacks), (STRIKES, 1));
}
