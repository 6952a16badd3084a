//! Pattern 2, model timeouts: the cache, then the large model within a time limit, then smaller ones.
//!
//! ```console
//! $ cargo run --package upright-examples --bin pattern_2_model_timeouts -- --model qwen3:30b --model gemma3:4b
//! ```
//!
//! The first model has 60 s to begin its answer, twice; the others have no limit. Only the first one's answers are
//! cached.

use serde_json::json;
use std::time::Duration;
use upright::degradation::cache_key;
use upright::ollama::{ChatRequest, OllamaError, Timeouts};
use upright::types::RetryConfig;
use upright::{RecoveryManager, Served};
use upright_examples::{Arguments, narrated, ollama};

const QUESTION: &str = "Why is the sky blue? Answer in one sentence.";
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let models = arguments.models_or(&["qwen3:30b", "qwen3:8b", "gemma3:4b"]);
    let hurried = ollama(Timeouts { load: arguments.span(Duration::from_secs(60)), ..Timeouts::default() })?;
    let patient = ollama(Timeouts::default())?;
    let base_delay = arguments.span(Duration::from_secs(1)).as_secs_f64();
    let manager = RecoveryManager::builder().retry(RetryConfig { base_delay, ..RetryConfig::default() }).build()?;

    let key = cache_key(&models[0], None, &json!({ "question": QUESTION }));
    for round in 1..=3 {
        println!("Round {round}: {QUESTION}");
        let question =
            manager.operation("chat").models(&models).attempts(2).cache(&key).fresh_for(HOUR).stale_for(24 * HOUR).run(|attempt| {
                let model = attempt.model().to_owned();
                let client = if model == models[0] { &hurried } else { &patient };
                async move { Ok::<_, OllamaError>(client.chat(ChatRequest::ask(model, QUESTION)).await?.message.content) }
            });
        let answer = narrated(&manager, question).await?;
        match answer.served {
            Served::Cached { age } => println!("From the cache, {:.0} s old: {}", age.as_secs_f64(), answer.value),
            _ => println!("From {} (attempts: {}): {}", answer.model.unwrap_or_default(), answer.attempts, answer.value),
        }
    }
    Ok(())
}
