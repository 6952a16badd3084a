//! `upright state`: maintains the file that programs keep their state in.

use super::address::StateArgument;
use super::import::{Counts, ImportArguments};
use crate::exit::{Exit, Failure};
use crate::output::{FAINT, Output, complain, one_line, printable};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use upright::store::{Entry, KEY_LIMIT, StateAddress, StoreError, VALUE_LIMIT};
use upright_state::StoreFile;

/// Inspect, check, export, import and compact the state that programs keep
#[derive(Debug, clap::Args)]
pub(crate) struct StateArguments {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Debug, clap::Subcommand)]
enum StateCommand {
    /// Show where the state is and what it contains
    Info(StateArgument),
    /// Check the file: SQLite's structures, and the checksum of each entry
    #[command(after_help = "The exit code is 1 if the file is damaged. Programs may keep the file open.")]
    Check(StateArgument),
    /// Return unused space in the file to the system
    Compact(StateArgument),
    /// Print all readable entries as lines of JSON, or write a copy of the file
    #[command(after_help = "\
From a damaged file all readable entries are printed, and the exit code is 1.
Programs may keep the file open.

Example: upright state export > state.jsonl")]
    Export(ExportArguments),
    /// Import exported entries into a store
    #[command(after_help = "Example: upright state import state.jsonl --state new.db")]
    Import(ImportArguments),
}

#[derive(Debug, clap::Args)]
struct ExportArguments {
    /// Write a consistent copy of the file here instead; the copy is a store
    #[arg(long, value_name = "FILE")]
    copy: Option<PathBuf>,

    #[command(flatten)]
    state: StateArgument,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    #[serde(rename = "type")]
    content_type: String,
    /// Seconds since 1970; for people.
    #[serde(default)]
    modified: f64,
    #[serde(flatten)]
    value: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Value(String),
    Base64(String),
}

pub(crate) async fn run(arguments: StateArguments, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        StateCommand::Info(state) => info(&state, output),
        StateCommand::Check(state) => check(&state, output),
        StateCommand::Compact(state) => compact(&state, output),
        StateCommand::Export(ExportArguments { copy: Some(copy), state }) => {
            file(&state)?.copy_to(&copy)?;
            Ok(Exit::Success.into())
        }
        StateCommand::Export(ExportArguments { copy: None, state }) => export(&state, output).await,
        StateCommand::Import(arguments) => import(&arguments, output).await,
    }
}

fn file(state: &StateArgument) -> Result<StoreFile, Failure> {
    let address = state.existing()?;
    address
        .file()
        .map(StoreFile::at)
        .ok_or_else(|| Failure::bad_input(format!("{address}: not a file; expected a state file (a NATS server has its own tools)")))
}

fn info(state: &StateArgument, output: &Output) -> anyhow::Result<ExitCode> {
    let (address, info) = (state.address()?, file(state)?.info()?);
    let path = address.file().unwrap_or_default();
    if output.json {
        let kinds: Vec<_> =
            info.kinds.iter().map(|kind| json!({ "prefix": kind.prefix, "entries": kind.entries, "bytes": kind.bytes })).collect();
        output.json_line(&json!({
            "file": path,
            "format": info.format,
            "sqlite": info.sqlite,
            "bytes": info.bytes,
            "log_bytes": info.log_bytes,
            "last_version": info.last_version,
            "kinds": kinds,
        }))?;
        return Ok(Exit::Success.into());
    }
    output.line(path.display())?;
    output.line(output.paint(
        FAINT,
        format_args!(
            "format {}, SQLite {}, {} and a log of {}, last version {}",
            info.format,
            info.sqlite,
            size(info.bytes),
            size(info.log_bytes),
            info.last_version
        ),
    ))?;
    for kind in &info.kinds {
        output.line(format_args!("{:>9}  {:<24}  {}", kind.entries, printable(&kind.prefix), size(kind.bytes)))?;
    }
    Ok(Exit::Success.into())
}

fn check(state: &StateArgument, output: &Output) -> anyhow::Result<ExitCode> {
    let wrong = file(state)?.check()?;
    if output.json {
        output.json_line(&json!({ "whole": wrong.is_empty(), "wrong": wrong }))?;
    } else if wrong.is_empty() {
        output.line("the file is whole")?;
    } else {
        wrong.iter().try_for_each(|line| output.line(one_line(line)))?;
    }
    if wrong.is_empty() {
        return Ok(Exit::Success.into());
    }
    let next = "`upright state export` prints the readable entries for import into a new file";
    Err(Failure::new(Exit::Failed, format!("the file is damaged in {} places; {next}", wrong.len())).into())
}

fn compact(state: &StateArgument, output: &Output) -> anyhow::Result<ExitCode> {
    let (before, after) = file(state)?.compact()?;
    if output.json {
        output.json_line(&json!({ "bytes_before": before, "bytes": after }))?;
    } else {
        output.line(format_args!("{} before, {} now", size(before), size(after)))?;
    }
    Ok(Exit::Success.into())
}

fn line(key: String, entry: &Entry) -> Line {
    let value =
        str::from_utf8(&entry.value).map_or_else(|_| Value::Base64(BASE64.encode(&entry.value)), |text| Value::Value(text.to_owned()));
    let modified = entry.modified.duration_since(UNIX_EPOCH).as_ref().map_or(0.0, Duration::as_secs_f64);
    Line { key, content_type: entry.content_type.clone(), modified, value }
}

async fn export(state: &StateArgument, output: &Output) -> anyhow::Result<ExitCode> {
    let address = state.existing()?;
    let lost = match address.file() {
        Some(file) => {
            let mut printed = Ok(());
            let lost = StoreFile::at(file).read(|key, entry| {
                if printed.is_ok() {
                    printed = output.json_line(&line(key, &entry));
                }
            })?;
            printed?;
            lost
        }
        None => export_from_server(&address, output).await?,
    };
    lost.iter().for_each(|lost| complain(one_line(lost)));
    if lost.is_empty() {
        return Ok(Exit::Success.into());
    }
    Err(Failure::new(
        Exit::Failed,
        format!("the file is damaged in {} places; the entries named above could not be read, and all others were exported", lost.len()),
    )
    .into())
}

async fn export_from_server(address: &StateAddress, output: &Output) -> anyhow::Result<Vec<String>> {
    let store = address.open().await?;
    let mut lost = Vec::new();
    for listed in store.list("").await? {
        match store.get(&listed.key).await {
            Ok(Some(entry)) => output.json_line(&line(listed.key, &entry))?,
            // Another program has removed it meanwhile.
            Ok(None) => {}
            Err(error @ StoreError::Corrupt { .. }) => lost.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(lost)
}

fn accept(line: Line) -> Result<(String, String, Bytes), String> {
    let Line { key, content_type, value, .. } = line;
    let value = match value {
        Value::Value(text) => text.into_bytes(),
        Value::Base64(text) => BASE64.decode(text).map_err(|error| error.to_string())?,
    };
    if !(1..=KEY_LIMIT).contains(&key.len()) {
        return Err(format!("the key has {} bytes, the limits are 1 and {KEY_LIMIT}", key.len()));
    }
    if value.len() > VALUE_LIMIT {
        return Err(format!("the value has {} bytes, the limit is {VALUE_LIMIT}", value.len()));
    }
    Ok((key, content_type, value.into()))
}

async fn import(arguments: &ImportArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let read = arguments.read("upright state export", accept)?;
    let store = arguments.state.open_or_make().await?;
    let mut counts = Counts::default();
    for (key, content_type, value) in read {
        match store.compare_and_set(&key, None, value.clone(), &content_type).await {
            Ok(_) => counts.new += 1,
            Err(StoreError::Conflict { .. }) if arguments.replace => {
                store.put(&key, value, &content_type).await?;
                counts.replaced += 1;
            }
            Err(StoreError::Conflict { .. }) => counts.kept += 1,
            Err(error) => return Err(error.into()),
        }
    }
    counts.print(output)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
