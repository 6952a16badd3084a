//! Pattern 3, out of memory: check memory first; if the server runs out, go on with smaller batches from that point.
//!
//! ```console
//! $ cargo run --package upright-examples --bin pattern_3_out_of_memory -- --memory-percent 85
//! ```
//!
//! Embeds forty texts with `nomic-embed-text`, or the named model.

use anyhow::Context;
use std::time::Duration;
use upright::ollama::Timeouts;
use upright::types::ErrorCategory;
use upright::{GracefulDegradation, RetryStrategy};
use upright_examples::{Arguments, health, ollama};

const TEXTS: usize = 40;
const SMALLEST_BATCH: usize = 2;
/// Memory use above which batches start smaller; percent.
const HIGH: f64 = 80.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let model = arguments.model_or("nomic-embed-text");
    let ollama = ollama(Timeouts::default())?;
    // No breaker: a smaller batch may succeed although larger ones failed.
    let retry =
        RetryStrategy::builder().name("embed").base_delay(arguments.span(Duration::from_secs(2))).use_circuit_breaker(false).build()?;
    let degradation = GracefulDegradation::default();
    let texts: Vec<String> = (1..=TEXTS).map(|number| format!("Text number {number} of a small collection.")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();

    let mut batch = 20;
    let status = health(&arguments)?.check_system_resources();
    println!("Resources: {}", status.message);
    if status.details["memory_percent"].as_f64().is_some_and(|percent| percent > HIGH) {
        batch /= 2;
        println!("High memory usage: batches of {batch}.");
    }

    let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(texts.len());
    while vectors.len() < texts.len() {
        let rest = &texts[vectors.len()..];
        let part = &rest[..batch.min(rest.len())];
        match retry.execute(|| ollama.embed(&model, part)).await {
            Ok(embedded) => {
                vectors.extend(embedded.embeddings);
                println!("Embedded {} of {} (a batch of {}).", vectors.len(), texts.len(), part.len());
            }
            Err(error) => {
                // The policy has retried once, since Ollama unloads other models after such a failure.
                let resource = error.failure().is_some_and(|failure| failure.classification.category == ErrorCategory::Resource);
                if !resource || batch <= SMALLEST_BATCH {
                    return Err(error).context("the texts cannot be embedded");
                }
                degradation.cache().clear_cache();
                batch = (batch / 2).max(SMALLEST_BATCH);
                println!("{error}\nCaches cleared; going on with batches of {batch}.");
            }
        }
    }
    println!("All {} texts are embedded.", vectors.len());
    Ok(())
}
