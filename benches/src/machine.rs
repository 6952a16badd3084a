//! Describes the machine and software of a measurement.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::SystemTime;

const CRATES: [&str; 10] = [
    "upright",
    "wasmtime",
    "recloser",
    "failsafe",
    "tower-resilience",
    "tower-resilience-circuitbreaker",
    "backon",
    "tower",
    "tokio",
    "rusqlite",
];

/// Machine, software and load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Name of the processor.
    pub processor: String,
    /// Number of usable cores.
    pub cores: usize,
    /// Operating system and version.
    pub system: String,
    /// The compiler.
    pub compiler: String,
    /// Crates with versions, from `Cargo.lock`.
    pub crates: Vec<(String, String)>,
    /// Load averages at the start, if known.
    pub load: String,
    /// Last commit, and whether files have changed since.
    pub commit: String,
    /// Start of the measurement.
    pub date: String,
}

impl Machine {
    /// This machine, now.
    pub fn here() -> Self {
        let file = |path| fs::read_to_string(path).unwrap_or_default();
        let processor = file("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split_once(':')).map(|(_, name)| name.trim().to_owned()))
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        Self {
            processor,
            cores: available_parallelism().map_or(0, usize::from),
            system: format!("{} {}", std::env::consts::OS, file("/proc/sys/kernel/osrelease").trim()),
            compiler: said("rustc", &["--version"]),
            crates: crates(),
            load: file("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(", "),
            commit: commit(),
            date: httpdate::fmt_http_date(SystemTime::now()),
        }
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    let changed = said("git", &["status", "--porcelain", "--", "..", ":!REPORT.md"]);
    if changed.is_empty() { commit } else { format!("{commit}, with changes") }
}

fn crates() -> Vec<(String, String)> {
    locked(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap_or_default())
}

fn locked(lock: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(this) = quoted(line, "name = ") {
            name = this;
        } else if let Some(version) = quoted(line, "version = ")
            && CRATES.contains(&name)
        {
            found.push((name.to_owned(), version.to_owned()));
        }
    }
    found
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_of_interest_is_found_in_the_lock_file() {
        let found: Vec<_> = crates().into_iter().map(|(name, _)| name).collect();
        let mut wanted = CRATES;
        wanted.sort_unstable();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_version_is_that_of_the_crate_above_it() {
        let lock =
            "version = 4\n[[package]]\nname = \"serde\"\nversion = \"9.9.9\"\n\n[[package]]\nname = \"tokio\"\nversion = \"1.2.3\"\n";
        assert_eq!(locked(lock), [("tokio".to_owned(), "1.2.3".to_owned())]);
    }
}
