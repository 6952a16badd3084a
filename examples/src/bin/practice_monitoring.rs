//! Best practice 5, monitoring: live events, error patterns and breaker states.
//!
//! ```console
//! $ cargo run --package upright-examples --bin practice_monitoring -- --model qwen3:8b --model no-such-model
//! ```
//!
//! Asks each named model three times. Also counts failures cured by retries, the first sign of trouble.

use std::collections::BTreeMap;
use std::time::Duration;
use upright::ollama::{ChatRequest, OllamaError, Timeouts};
use upright::types::RetryConfig;
use upright::{Event, RecoveryManager};
use upright_examples::{Arguments, ollama, sentence};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let ollama = ollama(Timeouts::default())?;
    let base_delay = arguments.span(Duration::from_secs(1)).as_secs_f64();
    let manager = RecoveryManager::builder().retry(RetryConfig { base_delay, ..RetryConfig::default() }).build()?;

    let mut events = manager.subscribe();
    let monitor = tokio::spawn(async move {
        let mut failures: BTreeMap<&str, u32> = BTreeMap::new();
        while let Some(event) = events.recv().await {
            if let Event::AttemptFailed { classification, .. } = &event {
                *failures.entry(classification.severity.name()).or_default() += 1;
            }
            if let Some(sentence) = sentence(&event) {
                println!("event: {sentence}");
            }
        }
        failures
    });

    for model in arguments.models_or(&["qwen3:8b", "gemma3:4b"]) {
        let mut answered = 0;
        for _ in 0..3 {
            let ask = async |_: upright::Attempt| {
                let answer = ollama.chat(ChatRequest::ask(&model, "Say hello.")).await?;
                Ok::<_, OllamaError>(answer.message.content)
            };
            let answer = manager.operation("chat").model(&model).run(ask).await;
            answered += u32::from(answer.is_ok());
        }
        println!("{model} answered {answered} of 3 times.");
    }

    println!("Error patterns: {:?}", manager.classifier().error_patterns());
    for breaker in manager.breakers().all() {
        println!("Breaker {}: {}", breaker.name(), breaker.state());
    }
    drop(manager);
    println!("Failed attempts by severity: {:?}", monitor.await?);
    Ok(())
}
