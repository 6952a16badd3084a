//! Pattern 4, corrupted state: an import saves its progress. A later attempt or process resumes from there. An
//! unreadable checkpoint differs from a missing one.
//!
//! ```console
//! $ cargo run --package upright-examples --bin pattern_4_corrupted_state             # end it in the middle, and run it again
//! $ cargo run --package upright-examples --bin pattern_4_corrupted_state -- jobs.db  # its state in a file of your choice
//! ```
//!
//! Embeds forty rows with `nomic-embed-text`, ten at a time.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use upright::ollama::{OllamaClient, Timeouts};
use upright::store::{StateAddress, StoreError};
use upright::types::RetryConfig;
use upright::{Attempt, RecoveryManager};
use upright_examples::{Arguments, narrated, ollama};

/// Programs with a common store share its keys.
const KEY: &str = "pattern-4/import";
const ROWS: usize = 40;
const STEP: usize = 10;
/// Raised when [`Progress`] changes its meaning.
const SCHEMA: u32 = 1;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Progress {
    next_row: usize,
    numbers: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let model = arguments.model_or("nomic-embed-text");
    let ollama = ollama(Timeouts::default())?;
    let base_delay = arguments.span(Duration::from_secs(1)).as_secs_f64();
    // By default the file that all programs of this user share.
    let state = match arguments.words.as_slice() {
        [state] => state.parse()?,
        _ => StateAddress::of_this_user()?,
    };
    let manager = RecoveryManager::builder().state(state).retry(RetryConfig { base_delay, ..RetryConfig::default() }).build()?;
    tell_of_what_cannot_be_read(&manager).await?;

    let operation = manager.operation("import").checkpoint(KEY).schema(SCHEMA).remove_when_done().start_over_if_unreadable();
    let import = operation.run(|attempt| import(&ollama, &model, attempt));
    let imported = narrated(&manager, import).await?;
    println!("Imported {ROWS} rows, {} numbers in all (attempts: {}).", imported.value, imported.attempts);
    Ok(())
}

async fn import(ollama: &OllamaClient, model: &str, attempt: Attempt) -> anyhow::Result<usize> {
    let resume: Option<Progress> = attempt.resume().await?;
    let checkpoint = attempt.checkpoint.ok_or_else(|| anyhow::anyhow!("the operation was given no checkpoint"))?;
    if let Some(progress) = resume {
        println!("Resuming from row {}.", progress.next_row);
    }
    let mut progress = resume.unwrap_or_default();
    while progress.next_row < ROWS {
        let rows: Vec<String> = (progress.next_row..progress.next_row + STEP).map(|row| format!("row {row}")).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let embedded = ollama.embed(model, &rows).await?;
        progress.numbers += embedded.embeddings.iter().map(Vec::len).sum::<usize>();
        progress.next_row += STEP;
        // Saved after the work: repeated work is better than skipped work.
        checkpoint.save(&progress).await?;
    }
    Ok(progress.numbers)
}

async fn tell_of_what_cannot_be_read(manager: &RecoveryManager) -> Result<(), StoreError> {
    match manager.checkpoints().at(KEY).schema(SCHEMA).restore::<Progress>().await {
        Err(error @ (StoreError::Corrupt { .. } | StoreError::SchemaMismatch { .. })) => {
            println!("The checkpoint cannot be read ({error}); beginning with the first row.");
            Ok(())
        }
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
