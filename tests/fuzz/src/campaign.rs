//! Iteration after iteration, until something is found or the time is over.

use crate::dice::Dice;
use crate::finding::{Broken, caught};
use crate::targets::{Tally, Target};
use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// So many simpler cases are tried.
const SHRINKING: usize = 2000;
/// Memory is looked at each time that so many iterations are over.
const LOOKS_AT_MEMORY: u64 = 256;
/// So much more memory than in the beginning is too much, bytes. The compiler and the pools take some of it for good.
const GROWTH: u64 = 512 << 20;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After so many iterations.
    Iterations(u64),
    /// After so much time.
    Time(Duration),
}

/// What iterations are made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Equal seeds give equal cases.
    pub seed: u64,
    /// The first iteration.
    pub from: u64,
    /// When to stop.
    pub limit: Limit,
}

/// What a campaign came to.
#[derive(Debug)]
pub struct Report {
    /// How many cases were examined.
    pub iterations: u64,
    /// What happened to them.
    pub tally: Tally,
    /// Memory of the process in the beginning and in the end, bytes.
    pub memory: (u64, u64),
    /// What was found; the campaign ends with it.
    pub finding: Option<Finding>,
}

/// A case that fails.
#[derive(Debug)]
pub struct Finding {
    /// The iteration that made it.
    pub iteration: u64,
    /// The promise that does not hold.
    pub broken: Broken,
    /// The smallest case that still fails, in words.
    pub smallest: String,
    /// Where it was written to.
    pub files: Vec<PathBuf>,
    /// Why it could not be written.
    pub not_written: Option<String>,
}

/// Examines case after case. `begins` is told each iteration before it begins.
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

/// Shrinks a case that fails, and writes it down.
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

/// The smallest case found that breaks the same promise, and how.
pub fn shrink<T: Target>(target: &T, mut case: T::Case, mut broken: Broken) -> (T::Case, Broken) {
    // How much memory there is depends on all that was before.
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

/// Writes down a case that ended the process, as it was made.
///
/// # Errors
/// What the system says.
pub fn write_down<T: Target>(target: &T, seed: u64, iteration: u64, crashes: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(crashes)?;
    target.save(&target.make(&mut Dice::of(seed, iteration)), crashes, &format!("{}-{seed}-{iteration}", T::NAME))
}

/// The memory of this process.
struct Memory {
    system: Option<System>,
    first: Option<u64>,
}

impl Memory {
    fn new() -> Self {
        Self { system: System::new().ok(), first: None }
    }

    /// Bytes in use; 0 where the system does not tell.
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
