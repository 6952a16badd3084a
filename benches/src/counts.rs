//! Reads the allocations counted by `count-allocations`.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// Average allocations of one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Allocated {
    /// Short name of the group.
    pub group: String,
    /// Name of the case.
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
