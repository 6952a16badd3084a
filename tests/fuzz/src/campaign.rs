//! Iterates until a finding or the end of the time.

use crate::dice::Dice;
use crate::finding::{Broken, caught};
use crate::targets::{Tally, Target};
use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

const SHRINKING: usize = 2000;
const LOOKS_AT_MEMORY: u64 = 256;
/// Maximum growth of memory, bytes.
const GROWTH: u64 = 512 << 20;

/// End of a campaign.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After this many iterations.
    Iterations(u64),
    /// After this time.
    Time(Duration),
}

/// Parameters of a campaign.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Equal seeds give equal cases.
    pub seed: u64,
    /// First iteration.
    pub from: u64,
    /// End of the campaign.
    pub limit: Limit,
}

/// Result of a campaign.
#[derive(Debug)]
pub struct Report {
    /// Number of cases examined.
    pub iterations: u64,
    /// Counts of events.
    pub tally: Tally,
    /// Memory at begin and end, bytes.
    pub memory: (u64, u64),
    /// The finding that ended the campaign.
    pub finding: Option<Finding>,
}

/// A failing case.
#[derive(Debug)]
pub struct Finding {
    /// Its iteration.
    pub iteration: u64,
    /// The broken promise.
    pub broken: Broken,
    /// Smallest failing case, described.
    pub smallest: String,
    /// Files with the case.
    pub files: Vec<PathBuf>,
    /// Error of writing them.
    pub not_written: Option<String>,
}

/// Runs a campaign. Calls `begins` before each iteration.
pub fn run<T: Target>(target: &T, plan: Plan, crashes: &Path, mut begins: impl FnMut(u64)) -> Report {
    let started = Instant::now();
    let mut memory = Memory::new();
    let mut report = Report { iterations: 0, tally: Tally::new(), memory: (0, 0), finding: None };
    for iteration in plan.from.. {
        let over = match plan.limit {
            Limit::Iterations(limit) => report.iterations >= limit,
            Limit::Time(limit) => started.elapsed() >= limit,
        };
        if over {
            break;
        }
        begins(iteration);
        let case = target.make(&mut Dice::of(plan.seed, iteration));
        report.iterations += 1;
        let examined = caught(|| target.examine(&case, &mut report.tally)).and_then(|()| memory.look(report.iterations));
        if let Err(broken) = examined {
            report.finding = Some(found(target, plan.seed, iteration, &case, broken, crashes));
            break;
        }
    }
    report.memory = (memory.first.unwrap_or_default(), memory.now());
    report
}

fn found<T: Target>(target: &T, seed: u64, iteration: u64, case: &T::Case, broken: Broken, crashes: &Path) -> Finding {
    let (smallest, broken) = shrink(target, case.clone(), broken);
    let stem = format!("{}-{seed}-{iteration}", T::NAME);
    let written = std::fs::create_dir_all(crashes).and_then(|()| target.save(&smallest, crashes, &stem));
    let (files, not_written) = match written {
        Ok(files) => (files, None),
        Err(error) => (Vec::new(), Some(format!("{}: {error}", crashes.display()))),
    };
    Finding { iteration, broken, smallest: target.describe(&smallest), files, not_written }
}

/// Smallest case found that breaks the same promise, and how.
pub fn shrink<T: Target>(target: &T, mut case: T::Case, mut broken: Broken) -> (T::Case, Broken) {
    if matches!(broken, Broken::Grew { .. }) {
        return (case, broken);
    }
    let mut left = SHRINKING;
    'smaller: loop {
        for simpler in target.simpler(&case) {
            if left == 0 {
                break 'smaller;
            }
            left -= 1;
            match caught(|| target.examine(&simpler, &mut Tally::new())) {
                Err(still) if discriminant(&still) == discriminant(&broken) => {
                    (case, broken) = (simpler, still);
                    continue 'smaller;
                }
                _ => {}
            }
        }
        break;
    }
    (case, broken)
}

/// Saves a case that ended the process.
///
/// # Errors
/// The I/O error.
pub fn write_down<T: Target>(target: &T, seed: u64, iteration: u64, crashes: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(crashes)?;
    target.save(&target.make(&mut Dice::of(seed, iteration)), crashes, &format!("{}-{seed}-{iteration}", T::NAME))
}

struct Memory {
    system: Option<System>,
    first: Option<u64>,
}

impl Memory {
    fn new() -> Self {
        Self { system: System::new().ok(), first: None }
    }

    fn now(&mut self) -> u64 {
        let (Some(system), Ok(own)) = (&mut self.system, sysinfo::get_current_pid()) else { return 0 };
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, ProcessRefreshKind::nothing().with_memory());
        system.process(own).map_or(0, sysinfo::Process::memory)
    }

    fn look(&mut self, iterations: u64) -> Result<(), Broken> {
        if !iterations.is_multiple_of(LOOKS_AT_MEMORY) {
            return Ok(());
        }
        let resident = self.now();
        let before = *self.first.get_or_insert(resident);
        if resident > before.saturating_add(GROWTH) { Err(Broken::Grew { resident, before }) } else { Ok(()) }
    }
}
