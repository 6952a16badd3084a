//! `upright checkpoint`: inspects and moves the checkpoints of programs.

use super::address::StateArgument;
use super::import::{Counts, ImportArguments};
use crate::exit::{Exit, Failure};
use crate::output::{FAINT, Output, printable, span};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use upright::checkpoints::{Checkpoints, Exported, Imported};
use upright::store::Store;

/// List, show, remove, export and import checkpoints
#[derive(Debug, clap::Args)]
pub(crate) struct CheckpointArguments {
    #[command(subcommand)]
    command: CheckpointCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CheckpointCommand {
    /// List the saved checkpoints
    List(StateArgument),
    /// Print the state saved under a key
    Show(OneArguments),
    /// Remove checkpoints
    Remove(SomeArguments),
    /// Print checkpoints as lines of JSON, for import elsewhere
    #[command(after_help = "Example: upright checkpoint export --state jobs.db > jobs.jsonl")]
    Export(ExportArguments),
    /// Import exported checkpoints into a store
    #[command(after_help = "Example: upright checkpoint import jobs.jsonl --state nats://10.0.0.1:4222")]
    Import(ImportArguments),
}

#[derive(Debug, clap::Args)]
struct OneArguments {
    /// Key of the checkpoint
    key: String,

    #[command(flatten)]
    state: StateArgument,
}

#[derive(Debug, clap::Args)]
struct SomeArguments {
    /// Keys of the checkpoints
    #[arg(required = true)]
    keys: Vec<String>,

    #[command(flatten)]
    state: StateArgument,
}

#[derive(Debug, clap::Args)]
struct ExportArguments {
    /// Keys of the checkpoints [default: all]
    keys: Vec<String>,

    #[command(flatten)]
    state: StateArgument,
}

pub(crate) async fn run(arguments: CheckpointArguments, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        CheckpointCommand::List(state) => list(&opened(&state).await?, output).await,
        CheckpointCommand::Show(OneArguments { key, state }) => show(&opened(&state).await?, &key, output).await,
        CheckpointCommand::Remove(SomeArguments { keys, state }) => remove(&opened(&state).await?, &keys, output).await,
        CheckpointCommand::Export(ExportArguments { keys, state }) => export(&opened(&state).await?, keys, output).await,
        CheckpointCommand::Import(arguments) => import(&arguments, output).await,
    }
}

async fn opened(state: &StateArgument) -> anyhow::Result<Checkpoints> {
    Ok(over(state.open().await?))
}

fn over(store: Arc<dyn Store>) -> Checkpoints {
    Checkpoints::new(store)
}

async fn list(checkpoints: &Checkpoints, output: &Output) -> anyhow::Result<ExitCode> {
    let listed = checkpoints.list().await?;
    let now = SystemTime::now();
    for checkpoint in &listed {
        let age = now.duration_since(checkpoint.modified).unwrap_or_default();
        if output.json {
            let saved_at = checkpoint.modified.duration_since(UNIX_EPOCH).as_ref().map_or(0.0, Duration::as_secs_f64);
            output.json_line(&json!({ "key": checkpoint.key, "version": checkpoint.version, "saved_at": saved_at }))?;
        } else {
            let version = output.paint(FAINT, format_args!("version {}", checkpoint.version));
            output.line(format_args!("{}  saved {} ago  {version}", printable(&checkpoint.key), span(age)))?;
        }
    }
    Ok(Exit::Success.into())
}

async fn show(checkpoints: &Checkpoints, key: &str, output: &Output) -> anyhow::Result<ExitCode> {
    let exported = checkpoints.export(key).await?.ok_or_else(|| none(key))?;
    if output.json {
        output.json_line(&exported)?;
    } else {
        let state = exported.state.get();
        let value: serde_json::Value = serde_json::from_str(state)?;
        // Keeps a number with more digits than a double as it was saved.
        let is_all = serde_json::to_string(&value)? == state;
        output.line(if is_all { serde_json::to_string_pretty(&value)? } else { state.to_owned() })?;
    }
    Ok(Exit::Success.into())
}

async fn remove(checkpoints: &Checkpoints, keys: &[String], output: &Output) -> anyhow::Result<ExitCode> {
    let mut missing = Vec::new();
    for key in keys {
        let removed = checkpoints.at(key.as_str()).remove().await?;
        if output.json {
            output.json_line(&json!({ "key": key, "removed": removed }))?;
        }
        if !removed {
            missing.push(key.as_str());
        }
    }
    match missing.as_slice() {
        [] => Ok(Exit::Success.into()),
        missing => Err(none(&missing.join(", ")).into()),
    }
}

async fn export(checkpoints: &Checkpoints, mut keys: Vec<String>, output: &Output) -> anyhow::Result<ExitCode> {
    let all = keys.is_empty();
    if all {
        keys = checkpoints.list().await?.into_iter().map(|listed| listed.key).collect();
    }
    let mut unreadable = 0;
    for key in &keys {
        match checkpoints.export(key).await {
            Ok(Some(exported)) => output.json_line(&exported)?,
            // Another program has removed it meanwhile.
            Ok(None) if all => {}
            Ok(None) => return Err(none(key).into()),
            // One damaged checkpoint must not hide the others.
            Err(error) => {
                unreadable += 1;
                crate::output::complain(error);
            }
        }
    }
    if unreadable > 0 {
        return Err(Failure::new(Exit::Failed, format!("{unreadable} of {} checkpoints cannot be read", keys.len())).into());
    }
    Ok(Exit::Success.into())
}

async fn import(arguments: &ImportArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let read: Vec<Exported> = arguments.read("upright checkpoint export", Ok)?;
    let checkpoints = over(arguments.state.open_or_make().await?);
    let mut counts = Counts::default();
    for exported in &read {
        *match checkpoints.import(exported, arguments.replace).await? {
            Imported::New => &mut counts.new,
            Imported::Replaced => &mut counts.replaced,
            Imported::Kept => &mut counts.kept,
        } += 1;
    }
    counts.print(output)
}

fn none(key: &str) -> Failure {
    Failure::new(Exit::Failed, format!("no checkpoint {key:?}; `upright checkpoint list` lists the saved ones"))
}
