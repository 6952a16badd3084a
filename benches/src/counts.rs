//! How often a case allocates: counted by the program `count-allocations`, read here.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// What one call allocates, on average.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Allocated {
    /// The group's short name.
    pub group: String,
    /// The case's name.
    pub case: String,
    /// Allocations a call.
    pub count: f64,
    /// Bytes a call.
    pub bytes: f64,
}

/// Runs the counting program.
pub fn count(program: &Path) -> Result<Vec<Allocated>> {
    let output = Command::new(program).output().with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
