//! Best practice 4, combined strategies: a health check, then one operation with time limits, retries, models,
//! breakers, a retry budget, a cache and a fallback. The answer names its source.
//!
//! ```console
//! $ cargo run --package upright-examples --bin practice_combined -- "Why is the sky blue?"
//! ```

use std::time::Duration;
use upright::ollama::{ChatRequest, OllamaError, Timeouts};
use upright::types::RetryConfig;
use upright::{RecoveryManager, Served};
use upright_examples::{Arguments, health, narrated, ollama};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let question = arguments.text_or("Why is the sky blue?");
    let ollama = ollama(Timeouts::default())?;
    let base_delay = arguments.span(Duration::from_secs(2)).as_secs_f64();
    let models = arguments.models_or(&["qwen3:8b", "gemma3:4b"]);
    let manager = RecoveryManager::builder()
        .retry(RetryConfig { base_delay, ..RetryConfig::default() })
        .fallback_models(&models[1..])
        .health(health(&arguments)?)
        .build()?;

    let names: Vec<&str> = models.iter().map(String::as_str).collect();
    for status in &manager.system_health(&names).await {
        println!("{}: {} - {}", status.component, if status.healthy { "OK" } else { "FAIL" }, status.message);
    }
    for round in 1..=2 {
        let (ollama, question) = (&ollama, &question);
        let ask = manager
            .operation("chat")
            .deadline(Duration::from_secs(900))
            .attempts(3)
            .model(&models[0])
            .cache(question.as_str())
            .fresh_for(Duration::ZERO)
            .stale_for(24 * HOUR)
            .budget("ollama")
            .bulkhead("ollama")
            .fallback(|| async { Ok::<_, std::convert::Infallible>("I cannot answer now; please ask again later.".to_owned()) })
            .run(|attempt| {
                let model = attempt.model().to_owned();
                async move { Ok::<_, OllamaError>(ollama.chat(ChatRequest::ask(model, question)).await?.message.content) }
            });
        let answer = narrated(&manager, ask).await?;
        let source = match answer.served {
            Served::Live => format!("from {} (attempts: {})", answer.model.unwrap_or_default(), answer.attempts),
            Served::Cached { age } => format!("from the cache, {:.0} s old (attempts: {})", age.as_secs_f64(), answer.attempts),
            Served::Fallback => format!("from the fallback (attempts: {})", answer.attempts),
        };
        println!("Answer {round}, {source}: {}", answer.value);
    }
    manager.shutdown_gracefully(Duration::from_secs(5)).await;
    Ok(())
}
