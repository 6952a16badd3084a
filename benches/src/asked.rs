//! Arguments of a bench target.

use crate::measure::Effort;
use anyhow::{Result, bail, ensure};

/// The arguments after `cargo bench -p upright-benches --`.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `--quick` only checks that everything runs.
    pub effort: Effort,
    /// `--report` writes `REPORT.md`.
    pub report: bool,
    /// Groups to run; all if empty.
    pub groups: Vec<String>,
}

impl Asked {
    /// Reads this program's arguments.
    ///
    /// # Errors
    /// Names an unknown argument.
    pub fn of_program() -> Result<Self> {
        let mut asked = Self { effort: Effort::FULL, report: false, groups: Vec::new() };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
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
