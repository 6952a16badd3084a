//! Pattern 4, corrupted state: an import saves its progress as it goes, a later attempt resumes from there, and a checkpoint that cannot be read
//! is told from one that is not there.
//!
//! ```console
//! $ cargo run --package upright-examples --bin pattern_4_corrupted_state
//! ```
//!
//! Forty rows are embedded with `nomic-embed-text`, ten at a time. Under the checkpoint's key the program finds what an older version of it left,
//! which it cannot read. Checkpoints are kept in memory here; a `Store` of your own keeps them longer.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use upright::checkpoints::Checkpoint;
use upright::ollama::{Budgets, OllamaClient};
use upright::store::StoreError;
use upright::types::RetryConfig;
use upright::{Attempt, RecoveryManager};
use upright_examples::{Arguments, narrated, ollama};

const KEY: &str = "import_job";
const ROWS: usize = 40;
const STEP: usize = 10;

/// How far the import is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    next_row: usize,
    numbers: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let model = arguments.model_or("nomic-embed-text");
    let ollama = ollama(Budgets::default())?;
    let base_delay = arguments.span(Duration::from_secs(1)).as_secs_f64();
    let manager = RecoveryManager::builder().retry(RetryConfig { base_delay, ..RetryConfig::default() }).build()?;
    manager.save_checkpoint(KEY, "row 12, I think").await?;

    let import = manager.operation("import").checkpoint(KEY).run(|attempt| import(&ollama, &model, attempt));
    let imported = narrated(&manager, import).await?;
    println!("Imported {ROWS} rows, {} numbers in all (attempts: {}).", imported.value, imported.attempts);
    manager.checkpoints().remove(KEY).await?;
    Ok(())
}

/// One attempt: from where an earlier one was to the end.
async fn import(ollama: &OllamaClient, model: &str, attempt: Attempt) -> anyhow::Result<usize> {
    let checkpoint = attempt.checkpoint.ok_or_else(|| anyhow::anyhow!("the operation was given no checkpoint"))?;
    let mut progress = resume(&checkpoint).await?;
    while progress.next_row < ROWS {
        let rows: Vec<String> = (progress.next_row..progress.next_row + STEP).map(|row| format!("row {row}")).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let embedded = ollama.embed(model, &rows).await?;
        progress.numbers += embedded.embeddings.iter().map(Vec::len).sum::<usize>();
        progress.next_row += STEP;
        // Saved after the work and not before it: what is done twice is better than what is left out.
        checkpoint.save(&progress).await?;
    }
    Ok(progress.numbers)
}

async fn resume(checkpoint: &Checkpoint) -> Result<Progress, StoreError> {
    match checkpoint.restore::<Progress>().await {
        Ok(Some(progress)) => {
            println!("Resuming from row {}.", progress.next_row);
            Ok(progress)
        }
        Ok(None) => Ok(Progress::default()),
        Err(StoreError::Corrupt { key, source }) => {
            println!("The checkpoint {key} cannot be read ({source}); beginning with the first row.");
            Ok(Progress::default())
        }
        Err(error) => Err(error),
    }
}
