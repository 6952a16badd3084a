//! What putting a journal to another policy costs.

use crate::group::{Case, Group, Target};
use anyhow::{Result, ensure};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use upright::journal::Journal;
use upright::policy::replay::{Replay, ReplayReport, Replayer};
use upright::testing::DrivenClock;
use upright::{PolicySlot, RetryStrategy};

const REPLAY: &str = "read, ask and compare 100,000 decisions";
const DECISIONS: usize = 100_000;
/// Attempts of each operation in the journal; with the beginning of its breaker that is a decision more.
const ATTEMPTS: u32 = 4;

pub(super) fn group() -> Result<Group> {
    let journal = Arc::new(journal()?);
    let replays = move || {
        let journal = Arc::clone(&journal);
        // Compiled once; a program that replays does so once, too.
        let replay = Arc::new(Mutex::new(None));
        move || replayed(&journal, &replay)
    };
    Ok(Group {
        id: "replay",
        title: "A journal of 100,000 decisions is put to a policy",
        note: "The journal is of operations that fail four times, with the built-in policy, which is also the one that is asked; it is read from memory, parsed line by line, \
               and the policy is compiled in each call as in `upright replay`. At most 5 µs a decision is 200,000 a second.",
        threads: 1,
        reference: REPLAY,
        cases: vec![Case::new(REPLAY, replays, |report: &Result<ReplayReport>| {
            report.as_ref().is_ok_and(|report| report.entries == DECISIONS as u64 && report.differences.is_empty())
        })],
        targets: vec![Target::Nanoseconds { case: REPLAY, at_most: 5e3 * DECISIONS as f64 }],
    })
}

/// The report, which must be the same each time.
fn replayed(journal: &[u8], before: &Mutex<Option<ReplayReport>>) -> Result<ReplayReport> {
    let mut replay = Replay::new(Replayer::built_in()?, None);
    replay.begin("journal.jsonl");
    for line in journal.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        replay.line(line);
    }
    let report = replay.report();
    let mut before = before.lock().map_err(|_| anyhow::anyhow!("another call has panicked"))?;
    ensure!(before.get_or_insert_with(|| report.clone()) == &report, "another report than before");
    Ok(report)
}

fn journal() -> Result<Vec<u8>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("upright-bench-journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("journal.jsonl");
    let written = write(&file).and_then(|()| Ok(std::fs::read(&file)?));
    std::fs::remove_dir_all(&folder)?;
    let written = written?;
    let lines = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    ensure!(lines == DECISIONS, "the journal has {lines} lines");
    Ok(written)
}

fn write(file: &std::path::Path) -> Result<()> {
    let journal = Journal::builder().file(file).limits(1 << 30, 2 << 30).build()?;
    let policy = PolicySlot::built_in().with_journal(journal.clone());
    let clock = DrivenClock::skipping();
    for operation in 0..DECISIONS / (ATTEMPTS as usize + 1) {
        // Each with a breaker of its own, which does not open.
        let retry = RetryStrategy::builder().max_retries(ATTEMPTS - 1).policy(policy.clone()).clock(clock.shared()).build()?;
        let failed = retry.execute_blocking(|| Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)));
        ensure!(failed.is_err(), "an operation was to fail");
        // The queue is bounded, and drops what comes faster than it is written.
        if operation % 100 == 0 {
            journal.flush();
        }
    }
    journal.flush();
    Ok(())
}
