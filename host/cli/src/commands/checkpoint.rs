//! `upright checkpoint`: what programs have saved to resume from.

use crate::exit::{Exit, Failure};
use crate::output::{FAINT, Output, one_line, printable, span};
use anyhow::Context;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use upright::checkpoints::{Checkpoints, Exported, Imported};
use upright::clock::SystemClock;
use upright::store::StateAddress;

/// List, show, remove, export and import checkpoints
#[derive(Debug, clap::Args)]
pub(crate) struct CheckpointArguments {
    #[command(subcommand)]
    command: CheckpointCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CheckpointCommand {
    /// List what is saved
    List(StateArgument),
    /// Print the state that is saved under a key
    Show(OneArguments),
    /// Remove checkpoints
    Remove(SomeArguments),
    /// Print checkpoints as lines of JSON, to be imported elsewhere
    #[command(after_help = "Example: upright checkpoint export --state jobs.redb > jobs.jsonl")]
    Export(ExportArguments),
    /// Put checkpoints that were exported into a store
    #[command(after_help = "Example: upright checkpoint import jobs.jsonl --state nats://10.0.0.1:4222")]
    Import(ImportArguments),
}

#[derive(Debug, clap::Args)]
struct StateArgument {
    /// A file, a folder with one such file, or nats://HOST:PORT [default: the user's folder for state]
    #[arg(long, value_name = "STATE", env = "UPRIGHT_STATE")]
    state: Option<String>,
}

#[derive(Debug, clap::Args)]
struct OneArguments {
    /// The checkpoint's key
    key: String,

    #[command(flatten)]
    state: StateArgument,
}

#[derive(Debug, clap::Args)]
struct SomeArguments {
    /// The checkpoints' keys
    #[arg(required = true)]
    keys: Vec<String>,

    #[command(flatten)]
    state: StateArgument,
}

#[derive(Debug, clap::Args)]
struct ExportArguments {
    /// The checkpoints' keys [default: all]
    keys: Vec<String>,

    #[command(flatten)]
    state: StateArgument,
}

#[derive(Debug, clap::Args)]
struct ImportArguments {
    /// Lines of JSON, as they were exported; - for standard input
    file: PathBuf,

    /// Let them take the place of those that are there under the same keys
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    state: StateArgument,
}

pub(crate) async fn run(arguments: CheckpointArguments, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        CheckpointCommand::List(state) => list(&state.open().await?, output).await,
        CheckpointCommand::Show(OneArguments { key, state }) => show(&state.open().await?, &key, output).await,
        CheckpointCommand::Remove(SomeArguments { keys, state }) => remove(&state.open().await?, &keys, output).await,
        CheckpointCommand::Export(ExportArguments { keys, state }) => export(&state.open().await?, keys, output).await,
        CheckpointCommand::Import(arguments) => import(&arguments, output).await,
    }
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
        let state: serde_json::Value = serde_json::from_str(exported.state.get())?;
        output.line(serde_json::to_string_pretty(&state)?)?;
    }
    Ok(Exit::Success.into())
}

async fn remove(checkpoints: &Checkpoints, keys: &[String], output: &Output) -> anyhow::Result<ExitCode> {
    let mut missing = Vec::new();
    for key in keys {
        let removed = checkpoints.remove(key).await?;
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
            // One that somebody has removed meanwhile is not missed.
            Ok(None) if all => {}
            Ok(None) => return Err(none(key).into()),
            // The others shall not be lost with it.
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
    let name = arguments.file.display().to_string();
    let lines: Box<dyn BufRead> = if arguments.file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(&arguments.file).map_err(|error| Failure::bad_input(format!("{name}: {error}")))?))
    };
    // All of it is read first: a file that is wrong somewhere changes nothing.
    let mut read = Vec::new();
    for (number, line) in (1..).zip(lines.lines()) {
        let line = line.with_context(|| format!("{name}, line {number}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let exported: Exported = serde_json::from_str(&line).map_err(|error| {
            let expected = "expected what `upright checkpoint export` prints";
            Failure::bad_input(format!("{name}, line {number}: {}; {expected}", one_line(&error.to_string())))
        })?;
        read.push(exported);
    }
    let checkpoints = arguments.state.open_or_make().await?;
    let (mut new, mut replaced, mut kept) = (0, 0, 0);
    for exported in &read {
        *match checkpoints.import(exported, arguments.replace).await? {
            Imported::New => &mut new,
            Imported::Replaced => &mut replaced,
            Imported::Kept => &mut kept,
        } += 1;
    }
    if output.json {
        output.json_line(&json!({ "new": new, "replaced": replaced, "kept": kept }))?;
    } else {
        let hint = if kept > 0 { " (--replace replaces them)" } else { "" };
        output.line(format_args!("{new} new, {replaced} replaced, {kept} kept as they were{hint}"))?;
    }
    Ok(Exit::Success.into())
}

fn none(key: &str) -> Failure {
    Failure::new(Exit::Failed, format!("no checkpoint {key:?}; `upright checkpoint list` shows those that there are"))
}

impl StateArgument {
    /// The checkpoints of a store that is there already.
    async fn open(&self) -> anyhow::Result<Checkpoints> {
        let address = self.address()?;
        if let StateAddress::File(path) = &address
            && !path.exists()
        {
            return Err(Failure::bad_input(format!(
                "{}: there is no such file; expected one that a program keeps its state in",
                path.display()
            ))
            .into());
        }
        Self::at(&address).await
    }

    async fn open_or_make(&self) -> anyhow::Result<Checkpoints> {
        Self::at(&self.address()?).await
    }

    async fn at(address: &StateAddress) -> anyhow::Result<Checkpoints> {
        let clock = SystemClock::shared();
        Ok(Checkpoints::new(address.open(clock.clone()).await?, clock))
    }

    fn address(&self) -> Result<StateAddress, Failure> {
        let address = match &self.state {
            Some(text) => text.parse().unwrap_or(StateAddress::Memory),
            None => StateAddress::of_this_program().ok_or_else(|| {
                Failure::bad_input("there is no folder for state: neither XDG_STATE_HOME nor HOME is set; expected --state")
            })?,
        };
        match address {
            StateAddress::Memory => {
                Err(Failure::bad_input("a store in memory holds nothing of another program; expected a file or nats://HOST:PORT"))
            }
            StateAddress::File(path) => self.in_folder(path).map(StateAddress::File),
            address => Ok(address),
        }
    }

    /// The file that was meant where a folder was named, or nothing.
    fn in_folder(&self, path: PathBuf) -> Result<PathBuf, Failure> {
        let folder = match (&self.state, path.parent()) {
            (None, Some(folder)) => folder,
            _ if path.is_dir() => &path,
            _ => return Ok(path),
        };
        let is_store = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "redb");
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_store).collect();
        files.sort();
        match files.as_slice() {
            [file] => Ok(file.clone()),
            [] if self.state.is_none() => Ok(path),
            [] => Err(Failure::bad_input(format!("{}: no file of a store (*.redb) is in this folder", folder.display()))),
            several => {
                let names = several.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
                Err(Failure::bad_input(format!("there are several stores: {names}; expected one of them as --state")))
            }
        }
    }
}
