//! The example of the getting-started page runs and logs as the page shows.

#[path = "../../examples/first_retry.rs"]
#[allow(dead_code, reason = "its `main` is for those who run it")]
mod first_retry;

use crate::{logged, subscribe};
use std::sync::Arc;
use upright::RetryStrategy;
use upright::ollama::OllamaClient;
use upright::testing::{DrivenClock, FixedRandom};
use upright_simulator::{FaultServer, Match};

async fn run(server: &FaultServer, model: &str) -> (Result<String, upright::Error>, String) {
    subscribe();
    let ollama = OllamaClient::new(server.url().parse().unwrap()).unwrap();
    let retry = RetryStrategy::builder().name("chat").max_retries(3);
    let retry = retry.clock(DrivenClock::skipping().shared()).random(Arc::new(FixedRandom::middle())).build().unwrap();
    let outcome = first_retry::ask(&retry, &ollama, model).await;
    (outcome, logged())
}

#[test]
fn the_page_shows_the_program_that_is_tested() {
    let page = include_str!("../../../../docs/getting-started.md");
    let program = include_str!("../../examples/first_retry.rs").replace("pub(crate) ", "");
    assert!(
        page.contains(&format!("```rust,no_run\n{program}```")),
        "docs/getting-started.md does not show examples/first_retry.rs as it is"
    );
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_the_log_says_so() {
    let server = FaultServer::start().await.unwrap();
    server.plan(Match::path("/api/chat"), &["server-busy", "ok"]).unwrap();
    let (outcome, log) = run(&server, "qwen3:8b").await;
    assert_eq!(outcome.unwrap(), "This is qwen3:8b, a simulated model, and your last words were: Why is the sky blue?");
    assert!(log.contains("retrying operation=chat attempt=2 delay=1s"), "{log}");
    server.shutdown().await;
}

#[tokio::test]
async fn what_the_page_prints_is_what_is_logged() {
    let page = include_str!("../../../../docs/getting-started.md");
    let server = FaultServer::start().await.unwrap();
    for model in ["fault/server-busy", "fault/model-not-found"] {
        let (outcome, log) = run(&server, model).await;
        for line in log.lines().filter(|line| !line.contains("delay=")) {
            let said = line.split_once("Z ").unwrap().1;
            assert!(page.contains(said), "not on the page: {said}");
        }
        assert!(page.contains(&format!("No answer: {}", outcome.unwrap_err())));
    }
    server.shutdown().await;
}
