//! The manager against Ollama's failures, replayed over real HTTP.

use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use upright::manager::Shutdown;
use upright::ollama::{ChatRequest, OllamaClient, OllamaError};
use upright::testing::DrivenClock;
use upright::types::{Phase, Reason, ResourceSnapshot, ResourceThresholds, RetryConfig};
use upright::{Attempt, Error, Event, HealthCheck, Recovered, RecoveryManager, Served};
use upright_simulator::{FaultServer, Match};
use upright_test_kit::refused;

const HOUR: Duration = Duration::from_secs(3600);
const CHAIN: [&str; 3] = ["qwen3:30b-a3b", "qwen3:8b", "gemma3:4b"];

fn manager(clock: &DrivenClock) -> RecoveryManager {
    RecoveryManager::builder()
        .retry(RetryConfig { jitter: false, ..RetryConfig::default() })
        .clock(clock.shared())
        .state(upright::store::StateAddress::Memory)
        .build()
        .unwrap()
}

async fn server() -> (FaultServer, OllamaClient) {
    let server = FaultServer::start().await.unwrap();
    server.set_models(CHAIN);
    let client = OllamaClient::new(server.url().parse().unwrap()).unwrap();
    (server, client)
}

async fn chat(manager: &RecoveryManager, client: &OllamaClient, models: &[&str]) -> Result<Recovered<String>, Error> {
    manager.operation("chat").models(models.iter().copied()).run(|attempt| ask(client.clone(), attempt)).await
}

async fn ask(client: OllamaClient, attempt: Attempt) -> Result<String, OllamaError> {
    let model = attempt.model();
    client.chat(ChatRequest::ask(model, "hello")).await.map(|answer| answer.message.content)
}

#[tokio::test]
async fn a_model_that_is_not_there_is_replaced_by_the_next_at_once_and_blocks_nobody() {
    let (server, client) = server().await;
    let clock = DrivenClock::skipping();
    let manager = manager(&clock);
    for _ in 0..20 {
        let answer = chat(&manager, &client, &["missing:1b", "qwen3:8b"]).await.unwrap();
        assert_eq!((answer.model.as_deref(), answer.attempts, answer.served), (Some("qwen3:8b"), 2, Served::Live));
    }
    assert!(clock.waits().is_empty());
    assert_eq!(manager.breakers().get("missing:1b").state(), Phase::Closed);
    drop(server);
}

#[tokio::test]
async fn a_permanent_500_is_returned_without_a_retry() {
    let (server, client) = server().await;
    let clock = DrivenClock::skipping();
    server.always(Match::path("/api/chat"), "option-not-integer").unwrap();
    let error = chat(&manager(&clock), &client, &CHAIN).await.unwrap_err();
    assert_eq!(error.failure().unwrap().reason, Reason::NotRetryable);
    assert_eq!((server.count("/api/chat"), clock.waits()), (1, vec![]));
}

#[tokio::test]
async fn a_model_too_large_for_the_machine_is_replaced_by_a_smaller_one() {
    let (server, client) = server().await;
    let clock = DrivenClock::skipping();
    server.always(Match::model("qwen3:30b-a3b"), system_memory_row()).unwrap();
    let answer = chat(&manager(&clock), &client, &CHAIN).await.unwrap();
    assert_eq!(answer.model.as_deref(), Some("qwen3:8b"));
    assert_eq!(server.count("/api/chat"), 2);
}

fn system_memory_row() -> &'static str {
    upright_simulator::ROWS.iter().find(|row| row.body.text().contains("requires more system memory")).unwrap().name
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_left_to_its_breaker_and_the_next_one_serves() {
    let (server, client) = server().await;
    let clock = DrivenClock::skipping();
    let manager = manager(&clock);
    server.always(Match::model("qwen3:30b-a3b"), "server-busy").unwrap();
    for _ in 0..3 {
        let answer = chat(&manager, &client, &CHAIN).await.unwrap();
        assert_eq!(answer.model.as_deref(), Some("qwen3:8b"));
    }
    let breaker = manager.model_breaker("Qwen3:30B-A3B");
    assert_eq!(breaker.state(), Phase::Open);
    let before = server.count("/api/chat");
    chat(&manager, &client, &CHAIN).await.unwrap();
    assert_eq!(server.count("/api/chat"), before + 1, "the open breaker let nothing through");
    server.clear();
    clock.advance(Duration::from_secs(60));
    for _ in 0..2 {
        let answer = chat(&manager, &client, &CHAIN).await.unwrap();
        assert_eq!(answer.model.as_deref(), Some("qwen3:30b-a3b"));
    }
    assert_eq!(breaker.state(), Phase::Closed);
}

#[tokio::test]
async fn no_model_is_tried_twice_however_the_chain_repeats() {
    let (server, client) = server().await;
    let clock = DrivenClock::skipping();
    server.always(Match::path("/api/chat"), "model-not-found").unwrap();
    let error = chat(&manager(&clock), &client, &["a", "b", "A:latest", "b", "c"]).await.unwrap_err();
    assert_eq!((error.failure().unwrap().attempts, server.count("/api/chat")), (3, 3));
}

#[tokio::test]
async fn a_single_model_is_followed_by_the_managers_chain_and_an_empty_chain_by_nothing() {
    let (server, client) = server().await;
    let with = RecoveryManager::builder().fallback_models(["gemma3:4b"]).clock(DrivenClock::skipping().shared()).build().unwrap();
    let run =
        async |manager: &RecoveryManager| manager.operation("chat").model("missing").run(|attempt| ask(client.clone(), attempt)).await;
    assert_eq!(run(&with).await.unwrap().model.as_deref(), Some("gemma3:4b"));
    let without = manager(&DrivenClock::skipping());
    assert_eq!(run(&without).await.unwrap_err().failure().unwrap().attempts, 1);
    drop(server);
}

#[tokio::test]
async fn a_cached_answer_serves_when_the_server_is_gone_and_says_so() {
    let (server, client) = server().await;
    let clock = DrivenClock::skipping();
    let manager = manager(&clock);
    let run = async || {
        let operation = manager.operation("chat").models(CHAIN).cache("question").fresh_for(Duration::ZERO).stale_for(HOUR);
        operation.run(|attempt| ask(client.clone(), attempt)).await
    };
    let live = run().await.unwrap();
    server.shutdown().await;
    clock.advance(Duration::from_secs(100));
    let cached = run().await.unwrap();
    assert_eq!(cached.value, live.value);
    assert!(matches!(cached.served, Served::Cached { age } if age >= Duration::from_secs(100)), "{cached:?}");
    clock.advance(HOUR);
    assert!(run().await.is_err(), "an answer that is too old was served");
}

#[tokio::test]
async fn another_models_answer_is_not_cached_as_the_first_ones() {
    let (server, client) = server().await;
    let manager = manager(&DrivenClock::skipping());
    server.plan(Match::model("qwen3:30b-a3b"), &[system_memory_row()]).unwrap();
    let run = async || {
        let operation = manager.operation("chat").models(CHAIN).cache("question").fresh_for(HOUR).stale_for(HOUR);
        operation.run(|attempt| ask(client.clone(), attempt)).await.unwrap()
    };
    assert_eq!(run().await.model.as_deref(), Some("qwen3:8b"));
    let second = run().await;
    assert_eq!((second.served, second.model.as_deref()), (Served::Live, Some("qwen3:30b-a3b")));
    drop(server);
}

#[tokio::test]
async fn a_cached_answer_of_another_type_leaves_the_fallback_to_serve() {
    let manager = manager(&DrivenClock::skipping());
    manager.degradation().cache().cache_response("question", serde_json::json!({ "not": "a text" }));
    let operation = manager.operation("chat").cache("question").fresh_for(Duration::ZERO).stale_for(HOUR);
    let answer =
        operation.fallback(|| async { Ok::<_, io::Error>("fallback".to_owned()) }).run(|_| async { Err(refused()) }).await.unwrap();
    assert_eq!(answer.served, Served::Fallback);
}

#[tokio::test]
async fn an_open_breaker_of_the_only_model_rejects_without_asking_the_policy() {
    let (server, client) = server().await;
    let manager = manager(&DrivenClock::new());
    manager.model_breaker("qwen3:8b").isolate();
    let before = manager.policy().counts().decisions;
    for _ in 0..100 {
        assert!(matches!(chat(&manager, &client, &["qwen3:8b"]).await, Err(Error::CircuitOpen(_))));
    }
    assert_eq!((manager.policy().counts().decisions, server.count("/api/chat")), (before, 0));
}

#[tokio::test]
async fn a_fresh_cached_answer_is_served_without_calling() {
    let (server, client) = server().await;
    let clock = DrivenClock::skipping();
    let manager = manager(&clock);
    for expected in [Served::Live, Served::Cached { age: Duration::ZERO }] {
        let operation = manager.operation("chat").models(CHAIN).cache("question").fresh_for(HOUR).stale_for(HOUR);
        let answer = operation.run(|attempt| ask(client.clone(), attempt)).await.unwrap();
        assert_eq!(answer.served, expected);
    }
    assert_eq!(server.count("/api/chat"), 1);
}

#[tokio::test]
async fn the_fallback_serves_last_and_says_so() {
    let clock = DrivenClock::skipping();
    let manager = manager(&clock);
    let operation = manager.operation("chat");
    let answer =
        operation.fallback(|| async { Ok::<_, io::Error>("fallback".to_owned()) }).run(|_| async { Err(refused()) }).await.unwrap();
    assert_eq!((answer.value.as_str(), answer.served), ("fallback", Served::Fallback));
    let value: Result<String, _> =
        manager.execute_with_recovery_or(|_| async { Err(refused()) }, || async { Ok::<_, io::Error>("safe".to_owned()) }, None).await;
    assert_eq!(value.unwrap(), "safe");
}

#[tokio::test]
async fn a_workflow_that_takes_too_long_is_tried_again_simplified() {
    let clock = DrivenClock::skipping();
    let manager = manager(&clock);
    let answer =
        manager
            .operation("chat")
            .can_simplify()
            .run(|attempt| async move {
                if attempt.simplified { Ok("light".to_owned()) } else { Err(io::Error::from(io::ErrorKind::TimedOut)) }
            })
            .await
            .unwrap();
    assert_eq!((answer.value.as_str(), answer.attempts), ("light", 5));
}

#[tokio::test]
async fn attempts_that_a_fallback_made_good_are_in_the_history_all_the_same() {
    let manager = manager(&DrivenClock::skipping());
    let operation = manager.operation("chat");
    let answer = operation.fallback(|| async { Ok::<_, io::Error>(7) }).run(|_| async { Err::<u32, _>(refused()) }).await.unwrap();
    assert_eq!((answer.value, answer.attempts), (7, 4));
    assert_eq!(manager.classifier().error_patterns().get("connection"), Some(&4));
}

#[tokio::test]
async fn the_breaker_of_a_model_on_one_host_does_not_block_the_same_model_on_another() {
    let manager = manager(&DrivenClock::skipping());
    let on = |host: &str| manager.operation("chat").breaker(host).model("qwen3:8b");
    for _ in 0..2 {
        on("first host").run(|_| async { Err::<u32, _>(refused()) }).await.unwrap_err();
    }
    let works = |_| async { Ok::<_, io::Error>(7) };
    assert!(matches!(on("first host").run(works).await, Err(Error::CircuitOpen(_))));
    assert_eq!(on("second host").run(works).await.unwrap().value, 7);
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Progress {
    row: u32,
    errors: Vec<String>,
}

#[tokio::test]
async fn an_import_that_fails_resumes_from_its_checkpoint_and_shutdown_does_not_wipe_it() {
    let clock = DrivenClock::skipping();
    let manager = manager(&clock);
    let done = Arc::new(Mutex::new(Vec::new()));
    let total = manager
        .execute_with_recovery(
            |attempt| {
                let done = Arc::clone(&done);
                async move {
                    let checkpoint = attempt.checkpoint.expect("the operation has a checkpoint");
                    let mut progress: Progress = checkpoint.restore().await?.unwrap_or_default();
                    while progress.row < 10 {
                        if progress.row == 6 && attempt.number == 1 {
                            return Err(upright::fault::OperationError::into_boxed(refused()));
                        }
                        done.lock().unwrap().push(progress.row);
                        progress.row += 1;
                        checkpoint.save(&progress).await?;
                    }
                    Ok(progress.row)
                }
            },
            Some("import"),
        )
        .await
        .unwrap();
    assert_eq!((total, done.lock().unwrap().clone()), (10, (0..10).collect::<Vec<_>>()));
    assert_eq!(manager.shutdown_gracefully(HOUR).await, Shutdown { still_running: 0 });
    let kept: Progress = manager.restore_checkpoint("import").await.unwrap().unwrap();
    assert_eq!(kept.row, 10);
    manager.clear_checkpoints().await.unwrap();
    assert_eq!(manager.restore_checkpoint::<Progress>("import").await.unwrap(), None);
}

#[tokio::test]
async fn shutting_down_waits_for_what_runs_and_takes_nothing_new() {
    let clock = DrivenClock::new();
    let manager = manager(&clock);
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let released = Mutex::new(Some(released));
    let running = manager.execute_with_recovery(
        |_| {
            let released = released.lock().unwrap().take();
            async move { released.expect("it is tried once").await.map(|()| 7) }
        },
        None,
    );
    let mut running = pin!(running);
    let mut context = Context::from_waker(Waker::noop());
    assert!(running.as_mut().poll(&mut context).is_pending());
    let mut closing = pin!(manager.shutdown_gracefully(HOUR));
    assert!(closing.as_mut().poll(&mut context).is_pending());
    let late = manager.execute_with_recovery(|_| async { Ok::<_, io::Error>(1) }, None).await;
    assert!(matches!(late, Err(Error::ShuttingDown)));
    release.send(()).unwrap();
    assert_eq!(running.await.unwrap(), 7);
    assert_eq!(closing.await, Shutdown { still_running: 0 });
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_ever_and_tells_what_still_runs() {
    let clock = DrivenClock::new();
    let manager = manager(&clock);
    let mut running = Box::pin(manager.execute_with_recovery(|_| pending::<Result<u32, io::Error>>(), None));
    let mut context = Context::from_waker(Waker::noop());
    assert!(running.as_mut().poll(&mut context).is_pending());
    let mut closing = pin!(manager.shutdown_gracefully(HOUR));
    assert!(closing.as_mut().poll(&mut context).is_pending());
    clock.advance(HOUR);
    assert_eq!(closing.as_mut().poll(&mut context), Poll::Ready(Shutdown { still_running: 1 }));
    drop(running);
    assert_eq!(manager.shutdown_gracefully(HOUR).await, Shutdown { still_running: 0 });
}

#[tokio::test]
async fn a_manager_reports_its_events_in_order() {
    let (server, client) = server().await;
    let clock = DrivenClock::skipping();
    let manager = manager(&clock);
    let mut seen = manager.subscribe();
    server.plan(Match::model("qwen3:30b-a3b"), &["server-busy", system_memory_row()]).unwrap();
    chat(&manager, &client, &CHAIN).await.unwrap();
    let lines: Vec<_> = std::iter::from_fn(|| seen.try_recv())
        .map(|event| match event {
            Event::AttemptFailed { attempt, classification, .. } => format!("failed {attempt} {}", classification.rule),
            Event::RetryScheduled { attempt, delay, .. } => format!("retry {attempt} in {delay:?}"),
            Event::ModelSwitched { from, to, .. } => format!("{from} to {to}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(lines, ["failed 1 queue-full", "retry 2 in 1s", "failed 2 model-too-large", "qwen3:30b-a3b to qwen3:8b"]);
    assert_eq!(manager.classifier().error_patterns().values().sum::<u64>(), 2);
}

#[tokio::test]
async fn the_systems_health_is_asked_with_one_request_for_all_models() {
    let (server, _) = server().await;
    let health = HealthCheck::new(server.url().parse().unwrap()).unwrap();
    let manager = RecoveryManager::builder().health(health).build().unwrap();
    let report = manager.system_health(&["qwen3:8b", "gemma3:4b", "missing"]).await;
    assert!(report.get("ollama").unwrap().healthy && report.get("model:qwen3:8b").unwrap().healthy);
    assert!(!report.get("model:missing").unwrap().healthy);
    assert!(report.get("resources").is_some());
    assert_eq!(server.count("/api/tags"), 1);
}

#[tokio::test]
async fn a_call_out_of_memory_is_retried_only_while_memory_is_below_the_health_checks_and_the_policys_limits() {
    for (used, threshold, attempts) in [(85, 90.0, 3), (85, 80.0, 2), (95, 99.0, 2)] {
        let (server, client) = server().await;
        let snapshot = ResourceSnapshot {
            memory_total_bytes: 100,
            memory_available_bytes: 100 - used,
            disk_total_bytes: 0,
            disk_available_bytes: 0,
            cpu_percent: None,
        };
        let health = HealthCheck::builder(server.url().parse().unwrap())
            .thresholds(ResourceThresholds { memory_percent: threshold, ..ResourceThresholds::default() })
            .resources(Arc::new(move || snapshot))
            .build()
            .unwrap();
        let manager = RecoveryManager::builder().health(health).clock(DrivenClock::skipping().shared()).build().unwrap();
        server.always(Match::model("qwen3:30b-a3b"), "out-of-memory").unwrap();
        let answer = chat(&manager, &client, &CHAIN).await.unwrap();
        assert_eq!((answer.model.as_deref(), answer.attempts), (Some("qwen3:8b"), attempts), "{used} % used, threshold {threshold} %");
    }
}

#[tokio::test]
async fn everything_may_be_shared_between_threads_and_sent_to_tasks() {
    fn assert_send_and_sync<T: Send + Sync>() {}
    assert_send_and_sync::<RecoveryManager>();
    assert_send_and_sync::<upright::RetryStrategy>();
    assert_send_and_sync::<upright::CircuitBreaker>();
    assert_send_and_sync::<upright::ErrorClassifier>();
    assert_send_and_sync::<upright::GracefulDegradation>();
    assert_send_and_sync::<HealthCheck>();
    assert_send_and_sync::<upright::PolicySlot>();
    assert_send_and_sync::<Error>();
    let manager = manager(&DrivenClock::skipping());
    let task = tokio::spawn(async move {
        let operation = manager.operation("chat").models(["m"]).cache("k").fresh_for(HOUR).stale_for(HOUR).checkpoint("c");
        operation.fallback(|| async { Ok::<_, io::Error>(5) }).run(|_| async { Err::<u32, _>(refused()) }).await
    });
    assert_eq!(task.await.unwrap().unwrap().value, 5);
    let retry = upright::RetryStrategy::builder().build().unwrap();
    let tries = Arc::new(Mutex::new(Cell::new(0)));
    let spawned = tokio::spawn(async move {
        retry
            .execute(|| {
                let tries = Arc::clone(&tries);
                async move {
                    tries.lock().unwrap().set(1);
                    Ok::<_, io::Error>(())
                }
            })
            .await
    });
    spawned.await.unwrap().unwrap();
}
