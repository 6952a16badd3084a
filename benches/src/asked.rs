//! What a bench target was asked for.

use crate::measure::Effort;
use anyhow::{Result, bail, ensure};

/// The arguments after `cargo bench -p upright-benches --`.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `--quick` is only to see that everything runs.
    pub effort: Effort,
    /// `--report` writes `REPORT.md`.
    pub report: bool,
    /// The groups that are wanted; all if there are none.
    pub groups: Vec<String>,
}

impl Asked {
    /// What this program was asked for.
    ///
    /// # Errors
    /// Names what is not understood.
    pub fn of_program() -> Result<Self> {
        let mut asked = Self { effort: Effort::FULL, report: false, groups: Vec::new() };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                // From Cargo.
                "--bench" => {}
                "--quick" => asked.effort = Effort::QUICK,
                "--report" => asked.report = true,
                flag if flag.starts_with('-') => bail!("unknown flag {flag}; there are --quick, --report and the names of groups"),
                _ => asked.groups.push(argument),
            }
        }
        ensure!(!asked.report || asked.groups.is_empty(), "a report is of all groups");
        Ok(asked)
    }
}
