//! Compares figures with targets and writes the report.

use crate::counts::Allocated;
use crate::group::{Group, Target};
use crate::machine::Machine;
use crate::measure::Span;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Results of a bench target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Section {
    /// Machine and software.
    pub machine: Machine,
    /// Method, in a sentence or two.
    pub method: String,
    /// The groups.
    pub groups: Vec<Measured>,
}

/// A measured group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Short name.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Purpose.
    pub note: String,
    /// Row to compare with.
    pub reference: String,
    /// One row for each case.
    pub rows: Vec<Row>,
    /// Results of the targets.
    pub verdicts: Vec<Verdict>,
}

/// A measured case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Name.
    pub name: String,
    /// Nanoseconds a call.
    pub span: Span,
    /// Allocations and bytes a call, if counted.
    pub allocated: Option<(f64, f64)>,
}

/// Result of a target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The target.
    pub wanted: String,
    /// The figure.
    pub found: String,
    /// Whether it was met.
    pub met: bool,
}

impl Measured {
    /// Compares a group's figures with its targets. `spans` follow the cases.
    pub fn new(group: &Group, spans: &[Span], allocated: &[Allocated]) -> Self {
        let rows: Vec<_> = group
            .cases
            .iter()
            .zip(spans)
            .map(|(case, span)| {
                let counted = allocated.iter().find(|counted| counted.group == group.id && counted.case == case.name);
                Row { name: case.name.into(), span: *span, allocated: counted.map(|counted| (counted.count, counted.bytes)) }
            })
            .collect();
        let verdicts = group.targets.iter().map(|target| target.judge(&rows)).collect();
        let (id, title, note) = (group.id.into(), group.title.into(), group.note.into());
        Self { id, title, note, reference: group.reference.into(), rows, verdicts }
    }

    /// The group as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n{}\n\n", self.title, self.note);
        let reference = self.rows.iter().find(|row| row.name == self.reference).map(|row| row.span.median);
        let counted = self.rows.iter().any(|row| row.allocated.is_some());
        text += "| | median | 10 to 90 % of rounds |";
        text += if counted { " allocations (bytes) |" } else { "" };
        let _ = writeln!(text, " × {} |", self.reference);
        text += if counted { "|---|--:|--:|--:|--:|\n" } else { "|---|--:|--:|--:|\n" };
        for Row { name, span, allocated } in &self.rows {
            let _ = write!(text, "| {name} | {} | {} to {} |", time(span.median), time(span.low), time(span.high));
            if counted {
                let cell = allocated.map_or_else(String::new, |(count, bytes)| amount(count, bytes));
                let _ = write!(text, " {cell} |");
            }
            let times = reference.map_or_else(String::new, |reference| format!("{:.2}", span.median / reference));
            let _ = writeln!(text, " {times} |");
        }
        if !self.verdicts.is_empty() {
            text += "\n| target | found | |\n|---|--:|---|\n";
        }
        for Verdict { wanted, found, met } in &self.verdicts {
            let _ = writeln!(text, "| {wanted} | {found} | {} |", if *met { "ok" } else { "**MISSED**" });
        }
        text
    }
}

impl Target {
    /// Checks the target.
    pub fn judge(&self, rows: &[Row]) -> Verdict {
        let row = |name: &str| rows.iter().find(|row| row.name == name);
        let median = |name| row(name).map_or(f64::NAN, |row| row.span.median);
        match *self {
            Self::TimesOf { case, peer, at_most } => {
                let times = median(case) / median(peer);
                Verdict { wanted: format!("{case} ≤ {at_most:.2} × {peer}"), found: format!("{times:.2} ×"), met: times <= at_most }
            }
            Self::Nanoseconds { case, at_most } => {
                let found = median(case);
                Verdict { wanted: format!("{case} ≤ {}", time(at_most)), found: time(found), met: found <= at_most }
            }
            Self::NoAllocation { case } => {
                let allocated = row(case).and_then(|row| row.allocated);
                let found = allocated.map_or_else(|| "not counted".into(), |(count, bytes)| amount(count, bytes));
                Verdict { wanted: format!("{case} allocates nothing"), found, met: allocated.is_some_and(|(count, _)| count == 0.0) }
            }
        }
    }
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        under if under < 1e3 => format!("{under:.1} ns"),
        under if under < 1e6 => format!("{:.2} µs", under / 1e3),
        more => format!("{:.2} ms", more / 1e6),
    }
}

fn amount(count: f64, bytes: f64) -> String {
    // Pools refill at times, so a count may be fractional.
    let round = |number: f64| format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    if count == 0.0 { "0".into() } else { format!("{} ({})", round(count), round(bytes)) }
}

const SECTIONS: [&str; 3] = ["recovery", "process", "store"];

/// Saves a section and rewrites the report from all.
pub fn keep(name: &str, section: &Section) -> Result<PathBuf> {
    let folder = kept_in()?;
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name).with_extension("json"), serde_json::to_vec_pretty(section)?)?;
    let mut sections = Vec::new();
    for name in SECTIONS {
        if let Ok(bytes) = fs::read(folder.join(name).with_extension("json")) {
            sections
                .push(serde_json::from_slice(&bytes).with_context(|| format!("the section {name} of another version: measure it again"))?);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("REPORT.md");
    fs::write(&path, markdown(&sections))?;
    Ok(path)
}

/// Folder of saved sections: `upright-benches` in the target folder.
pub fn kept_in() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    // target/release/deps/program
    Ok(program.ancestors().nth(3).context("this program lies in no target folder")?.join("upright-benches"))
}

fn markdown(sections: &[Section]) -> String {
    let mut text = String::from(
        "# What Upright costs\n\n\
         Written by `cargo bench -p upright-benches -- --report`; [README.md](README.md) says how to read it.\n",
    );
    for Section { machine, method, groups } in sections {
        let Machine { processor, cores, system, compiler, crates, load, commit, date } = machine;
        let crates: Vec<_> = crates.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let _ = write!(
            text,
            "\n## Measured on {date}\n\n{method}\n\n\
             | | |\n|---|---|\n| processor | {processor}, {cores} cores |\n| system | {system} |\n| compiler | {compiler} |\n\
             | commit | {commit} |\n| load before | {load} |\n| crates | {} |\n",
            crates.join(", ")
        );
        for group in groups {
            let _ = write!(text, "\n{}", group.markdown());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Case;

    fn measured(targets: Vec<Target>) -> Measured {
        let case = |name| Case::new(name, || || true, |right: &bool| *right);
        let cases = vec![case("ours"), case("theirs")];
        let group = Group { id: "group", title: "A title", note: "A note.", threads: 1, reference: "theirs", cases, targets };
        let spans = [30.0, 40.0].map(|median| Span { median, low: median - 1.0, high: median + 1.0 });
        let allocated = [("ours", 0.0), ("theirs", 1.5)].map(|(case, count)| Allocated {
            group: "group".into(),
            case: case.into(),
            count,
            bytes: count * 10.0,
        });
        Measured::new(&group, &spans, &allocated)
    }

    #[test]
    fn a_target_is_met_up_to_its_limit_and_missed_above_it() {
        let times = |at_most| Target::TimesOf { case: "ours", peer: "theirs", at_most };
        let within = |at_most| Target::Nanoseconds { case: "ours", at_most };
        let targets = vec![times(0.75), times(0.74), within(30.0), within(29.9)];
        let met: Vec<_> = measured(targets).verdicts.iter().map(|verdict| verdict.met).collect();
        assert_eq!(met, [true, false, true, false]);
    }

    #[test]
    fn a_case_that_allocates_or_was_not_measured_misses_its_target() {
        let nothing = |case| Target::NoAllocation { case };
        let targets = vec![nothing("ours"), nothing("theirs"), nothing("nobody"), Target::Nanoseconds { case: "nobody", at_most: 1e9 }];
        let met: Vec<_> = measured(targets).verdicts.iter().map(|verdict| verdict.met).collect();
        assert_eq!(met, [true, false, false, false]);
    }

    #[test]
    fn the_table_shows_each_case_beside_its_peer() {
        let text = measured(vec![Target::TimesOf { case: "ours", peer: "theirs", at_most: 0.5 }]).markdown();
        for line in [
            "### A title",
            "| | median | 10 to 90 % of rounds | allocations (bytes) | × theirs |",
            "| ours | 30.0 ns | 29.0 ns to 31.0 ns | 0 | 0.75 |",
            "| theirs | 40.0 ns | 39.0 ns to 41.0 ns | 1.5 (15) | 1.00 |",
            "| ours ≤ 0.50 × theirs | 0.75 × | **MISSED** |",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
        }
    }

    #[test]
    fn spans_are_written_in_the_unit_that_people_would_use() {
        assert_eq!([0.84, 999.0, 1500.0, 30e6].map(time), ["0.8 ns", "999.0 ns", "1.50 µs", "30.00 ms"]);
    }
}
