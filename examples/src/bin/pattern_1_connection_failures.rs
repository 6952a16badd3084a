//! Pattern 1, connection failures: retry with growing delays, then name the remedy and go on with a fallback.
//!
//! ```console
//! $ cargo run --package upright-examples --bin pattern_1_connection_failures
//! ```
//!
//! Stop the server before or during the run.

use std::time::Duration;
use upright::ollama::{OllamaError, Timeouts};
use upright::{ErrorClassifier, RetryStrategy};
use upright_examples::{Arguments, ollama};

const KNOWN_MODELS: [&str; 2] = ["qwen3:8b", "gemma3:4b"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let ollama = ollama(Timeouts::default())?;
    let retry = RetryStrategy::builder().name("list models").max_retries(3).base_delay(arguments.span(Duration::from_secs(2))).build()?;
    let classifier = ErrorClassifier::default();

    println!("Asking {} for its models.", ollama.address());
    let listed = retry
        .execute(async || {
            let models = ollama.tags().await;
            if let Err(error) = &models {
                println!("  … an attempt failed: {error}");
            }
            models
        })
        .await;

    match listed {
        Ok(models) => {
            let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
            println!("The server has: {}", names.join(", "));
        }
        Err(error) => {
            println!("{error}");
            if let Some(own) = error.downcast_ref::<OllamaError>() {
                let info = classifier.classify_with_context(own, &[("operation", "list models")]);
                println!("That is a failure of the kind {}. {}.", info.category, info.suggested_action.text());
            }
            println!("Going on with the models that this program knows: {}", KNOWN_MODELS.join(", "));
        }
    }
    Ok(())
}
