//! Imports lines of JSON into a store.

use super::address::StateArgument;
use crate::exit::{Exit, Failure};
use crate::output::{Output, one_line};
use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct ImportArguments {
    /// File with exported lines of JSON; - for standard input
    file: PathBuf,

    /// Replace existing entries that have an imported key
    #[arg(long)]
    pub(super) replace: bool,

    #[command(flatten)]
    pub(super) state: StateArgument,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) new: u64,
    pub(super) replaced: u64,
    pub(super) kept: u64,
}

impl ImportArguments {
    /// Reads all lines first, so that a wrong one changes nothing. `expected` is the export command.
    pub(super) fn read<L: DeserializeOwned, T>(&self, expected: &str, accept: impl Fn(L) -> Result<T, String>) -> anyhow::Result<Vec<T>> {
        let name = self.file.display().to_string();
        let lines: Box<dyn BufRead> = if self.file == Path::new("-") {
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(&self.file).map_err(|error| Failure::bad_input(format!("{name}: {error}")))?))
        };
        let mut read = Vec::new();
        for (number, text) in (1..).zip(lines.lines()) {
            let text = text.with_context(|| format!("{name}, line {number}"))?;
            if text.trim().is_empty() {
                continue;
            }
            let line = serde_json::from_str(&text).map_err(|error| error.to_string()).and_then(&accept);
            let wrong =
                |why: String| Failure::bad_input(format!("{name}, line {number}: {}; expected what `{expected}` prints", one_line(&why)));
            read.push(line.map_err(wrong)?);
        }
        Ok(read)
    }
}

impl Counts {
    pub(super) fn print(&self, output: &Output) -> anyhow::Result<ExitCode> {
        let Self { new, replaced, kept } = self;
        if output.json {
            output.json_line(&json!({ "new": new, "replaced": replaced, "kept": kept }))?;
        } else {
            let hint = if *kept > 0 { " (--replace replaces them)" } else { "" };
            output.line(format_args!("{new} new, {replaced} replaced, {kept} kept as they were{hint}"))?;
        }
        Ok(Exit::Success.into())
    }
}
