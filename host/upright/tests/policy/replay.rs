//! In a replay, a misbehaving policy's failures are counted, and safe mode answers as in a slot.

use std::time::Duration;
use upright_core::policy::Function;
use upright_operations::replay::{Replay, ReplayReport, Replayer};
use upright_test_kit::policies::{hurried, policy};

fn journal() -> Vec<String> {
    let journal = upright::journal::Journal::builder().build().unwrap();
    let slot = upright::PolicyLifecycle::native().with_journal(journal.clone());
    let clock = upright::testing::DrivenClock::skipping();
    let retry = upright::RetryStrategy::builder().max_retries(2).jitter(false).policy(slot).clock(clock.shared()).build().unwrap();
    let failed = retry.execute_blocking(|| Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
    assert!(failed.is_err());
    let mut entries = journal.recent(usize::MAX);
    entries.retain(|entry| entry.question.function() == Function::Decide);
    entries.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect()
}

fn replayed(bodies: &[(&str, &str)]) -> ReplayReport {
    let mut replay = Replay::new(Replayer::new(hurried(&policy(bodies))).unwrap(), None);
    journal().iter().for_each(|line| replay.line(line.as_bytes()));
    replay.report()
}

fn how_it_failed(report: &ReplayReport) -> Vec<(&str, &str, u64)> {
    report.differences.iter().map(|group| (group.what.as_str(), group.after.as_str(), group.count)).collect()
}

#[test]
fn each_way_of_failing_is_distinguished_and_safe_mode_answers() {
    for (body, how) in [
        ("unreachable", "trapped"),
        ("(loop $again (br $again)) unreachable", "took too long"),
        ("(drop (memory.grow (i32.const 10000))) unreachable", "out of memory"),
    ] {
        let report = replayed(&[("recovery#decide", body)]);
        assert_eq!(how_it_failed(&report), [("no_answer", how, 3)]);
        assert_eq!((report.retries.before, report.retries.after), (2, 2));
        assert_eq!([report.delay.before, report.delay.after], [Duration::from_secs(3); 2]);
    }
}

#[test]
fn a_policy_that_loops_is_stopped_at_the_same_instruction_every_time() {
    let bodies = [("recovery#decide", "(loop $again (br $again)) unreachable")];
    assert_eq!(replayed(&bodies), replayed(&bodies));
}
