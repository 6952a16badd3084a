//! Cost of replaying a journal with another policy.

use crate::group::{Case, Group, Target};
use anyhow::{Result, ensure};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use upright::journal::Journal;
use upright::testing::DrivenClock;
use upright::{PolicyLifecycle, RetryStrategy};
use upright_operations::replay::{Replay, ReplayReport, Replayer};

const REPLAY: &str = "read, ask and compare one decision";
/// Test builds are slow: a hundredth.
const DECISIONS: usize = if cfg!(debug_assertions) { 1_000 } else { 100_000 };
const ATTEMPTS: u32 = 4;

pub(super) fn group() -> Result<Group> {
    let journal = Arc::new(journal()?);
    let replays = move || {
        let mut pass = Pass::new(Arc::clone(&journal));
        move || pass.next()
    };
    Ok(Group {
        id: "replay",
        title: "A journal of 100,000 decisions is put to a policy",
        note: "The journal is of operations that fail four times, with the built-in policy, which is also the one that is asked. Its lines are read from memory, one after the other and \
               again from the beginning; each pass must give the report that the pass before gave. At most 5 µs a decision is 200,000 a second.",
        threads: 1,
        reference: REPLAY,
        cases: vec![Case::new(REPLAY, replays, |next: &Result<()>| next.is_ok())],
        targets: vec![Target::Nanoseconds { case: REPLAY, at_most: 5_000.0 }],
    })
}

struct Pass {
    journal: Arc<Vec<Vec<u8>>>,
    next: usize,
    replay: Option<Replay>,
    before: Option<ReplayReport>,
}

impl Pass {
    fn new(journal: Arc<Vec<Vec<u8>>>) -> Self {
        Self { journal, next: 0, replay: None, before: None }
    }

    fn next(&mut self) -> Result<()> {
        let mut replay = match self.replay.take() {
            Some(replay) => replay,
            None => {
                let mut replay = Replay::new(Replayer::built_in()?, None);
                replay.begin("journal.jsonl");
                replay
            }
        };
        replay.line(&self.journal[self.next]);
        self.next += 1;
        if self.next < self.journal.len() {
            self.replay = Some(replay);
            return Ok(());
        }
        self.next = 0;
        let report = replay.report();
        ensure!(report.entries == DECISIONS as u64 && report.differences.is_empty(), "the policy differs from itself");
        ensure!(self.before.get_or_insert_with(|| report.clone()) == &report, "another report than before");
        Ok(())
    }
}

fn journal() -> Result<Vec<Vec<u8>>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("upright-bench-journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("journal.jsonl");
    let written = write(&file).and_then(|()| Ok(std::fs::read(&file)?));
    std::fs::remove_dir_all(&folder)?;
    let written = written?;
    let lines: Vec<_> = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    ensure!(lines.len() == DECISIONS, "the journal has {} lines", lines.len());
    Ok(lines)
}

fn write(file: &Path) -> Result<()> {
    let journal = Journal::builder().file(file).file_limit(1 << 30).total_limit(2 << 30).build()?;
    let policy = PolicyLifecycle::built_in().with_journal(journal.clone());
    let clock = DrivenClock::skipping();
    for operation in 0..DECISIONS / (ATTEMPTS as usize + 1) {
        let retry = RetryStrategy::builder().max_retries(ATTEMPTS - 1).policy(policy.clone()).clock(clock.shared()).build()?;
        let failed = retry.execute_blocking(|| Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)));
        ensure!(failed.is_err(), "an operation was to fail");
        // The bounded queue drops what comes too fast.
        if operation % 100 == 0 {
            journal.flush();
        }
    }
    journal.flush();
    Ok(())
}
