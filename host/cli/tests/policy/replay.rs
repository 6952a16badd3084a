//! `upright replay` with journals of the library.

use crate::common::alone;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use upright::journal::Journal;
use upright::testing::DrivenClock;
use upright::{PolicyLifecycle, RetryStrategy};
use upright_test_kit::command::Ran;

const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");
const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/policy.wasm");

/// A journal of the built-in policy; removed on drop.
struct Recorded(PathBuf);

impl Recorded {
    /// Each fails four times: retries after 1, 2 and 4 s, then gives up.
    fn new(operations: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("replay-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let journal = Journal::builder().file(folder.join("journal.jsonl")).build().unwrap();
        let policy = PolicyLifecycle::built_in().with_journal(journal);
        let clock = DrivenClock::skipping();
        for _ in 0..operations {
            // Its breaker stays closed.
            let retry = RetryStrategy::builder().max_retries(3).jitter(false).policy(policy.clone()).clock(clock.shared()).build().unwrap();
            let failed = retry.execute_blocking(|| Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)));
            assert!(failed.is_err());
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn journal(&self) -> String {
        self.path("journal.jsonl")
    }

    fn decisions(&self) -> u64 {
        fs::read_to_string(self.journal()).unwrap().lines().count() as u64
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn replay(arguments: &[&str]) -> Ran {
    alone(&[&["replay"], arguments].concat(), "").await
}

fn report(ran: &Ran) -> Value {
    let [report, rate] = &ran.json()[..] else { panic!("{ran:?}") };
    assert!(rate["decisions_per_second"].as_f64().is_some_and(|rate| rate >= 0.0), "{rate}");
    report.clone()
}

#[tokio::test]
async fn the_policy_that_decided_would_decide_the_same() {
    let recorded = Recorded::new(2);
    for arguments in [&[][..], &["--policy", BUILT_IN], &["--against", BUILT_IN]] {
        let journal = recorded.journal();
        let all = [&[journal.as_str(), "--json", "--fail-on-change"], arguments].concat();
        let report = report(&replay(&all).await.ends_with(0));
        assert_eq!((&report["entries"], &report["differing"]), (&json!(recorded.decisions()), &json!(0)), "{report}");
        assert_eq!(report["delay_seconds"], json!({ "before": 14.0, "after": 14.0 }));
        assert_eq!(report["retries"], json!({ "before": 6, "after": 6 }));
        assert!(report["fuel_per_decision"]["after"].as_f64().unwrap() > 100.0);
    }
}

#[tokio::test]
async fn a_policy_whose_delays_do_not_grow_differs_in_delays_and_that_can_fail_a_build() {
    let recorded = Recorded::new(2);
    let ran = replay(&[&recorded.journal(), "--policy", STEADY, "--json"]).await.ends_with(0);
    let report = report(&ran);
    assert_eq!(report["delay_seconds"], json!({ "before": 14.0, "after": 6.0 }));
    assert_eq!((&report["differing"], &report["retries"]["after"]), (&json!(4), &json!(6)));
    let group = &report["differences"][0];
    assert_eq!((&group["function"], &group["what"], &group["count"]), (&json!("recovery.decide"), &json!("delay"), &json!(4)));
    assert_eq!(group["after"], "retry_after, shorter");
    let ran = replay(&[&recorded.journal(), "--policy", STEADY, "--fail-on-change"]).await.ends_with(1);
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(lines[0].contains("upright-steady"), "{ran:?}");
    assert!(ran.out.contains("recovery.decide delay: retry_after → retry_after, shorter"), "{ran:?}");
    assert!(ran.out.contains("14.000 s → 6.000 s"), "{ran:?}");
    assert!(lines.last().unwrap().ends_with(" a second"), "{ran:?}");
    assert_eq!(ran.err, "");
}

#[tokio::test]
async fn the_same_journal_gives_the_same_report() {
    let recorded = Recorded::new(3);
    let again = || async { report(&replay(&[&recorded.journal(), "--policy", STEADY, "--against", BUILT_IN, "--json"]).await) };
    assert_eq!(again().await, again().await);
}

#[tokio::test]
async fn hostile_lines_are_counted_and_the_rest_is_replayed() {
    let recorded = Recorded::new(1);
    let good = fs::read(recorded.journal()).unwrap();
    let bad = [&b"\xff\xfe\x00\n{\"at\":1}\n"[..], &[b'['; 200_000], b"\n{\"lost\": 5}\n"].concat();
    let huge = String::from_utf8(good.clone()).unwrap().lines().next().unwrap().replace("\"attempt\":0", "\"attempt\":4294967295");
    fs::write(recorded.path("hostile.jsonl"), [&bad[..], &good, huge.as_bytes(), b"\n{\"cut"].concat()).unwrap();
    let ran = replay(&[&recorded.path("hostile.jsonl"), "--json"]).await.ends_with(0);
    let report = report(&ran);
    assert_eq!((&report["entries"], &report["lost"]), (&json!(recorded.decisions() + 1), &json!(5)), "{report}");
    assert_eq!(report["unreadable"]["lines"], 4);
    assert_eq!(report["unreadable"]["first"]["place"]["line"], 1);
    let ran = replay(&[&recorded.path("hostile.jsonl")]).await.ends_with(0);
    assert!(ran.out.contains("4 lines, of which the first: ") && ran.out.contains("5 more are missing"), "{ran:?}");
    assert!(!ran.out.contains('\u{0}') && !ran.out.contains('\u{1b}'), "{ran:?}");
}

#[tokio::test]
async fn an_empty_journal_differs_in_nothing() {
    let ran = alone(&["replay", "-", "--json", "--fail-on-change"], "").await.ends_with(0);
    let report = report(&ran);
    assert_eq!((&report["entries"], &report["fuel_per_decision"]["after"]), (&json!(0), &Value::Null));
    let ran = alone(&["replay", "-"], "\n\n").await.ends_with(0);
    assert!(ran.out.contains("nothing was asked") && ran.out.contains("0 (0.0 %)"), "{ran:?}");
}

#[tokio::test]
async fn a_folder_stands_for_its_journals_oldest_first() {
    let recorded = Recorded::new(1);
    let text = fs::read_to_string(recorded.journal()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    fs::write(recorded.path("journal.jsonl.10"), format!("{}\nnot an entry\n", lines[0])).unwrap();
    fs::write(recorded.path("journal.jsonl.2"), format!("{}\nnor this\n", lines[1])).unwrap();
    fs::write(recorded.journal(), lines[2..].join("\n")).unwrap();
    fs::write(recorded.path("notes.txt"), "no journal").unwrap();
    let folder = recorded.0.to_str().unwrap();
    let report = report(&replay(&[folder, "--json"]).await.ends_with(0));
    assert_eq!((&report["entries"], &report["unreadable"]["lines"]), (&json!(lines.len()), &json!(2)));
    let first = &report["unreadable"]["first"]["place"];
    assert!(first["journal"].as_str().unwrap().ends_with("journal.jsonl.10") && first["line"] == 2, "{first}");
}

#[tokio::test]
async fn replay_reports_an_unreadable_file_or_an_invalid_policy_as_bad_input() {
    let recorded = Recorded::new(1);
    fs::create_dir(recorded.path("empty")).unwrap();
    let (journal, empty) = (recorded.journal(), recorded.path("empty"));
    for (arguments, says) in [
        (&["/nowhere/journal.jsonl"][..], "/nowhere/journal.jsonl cannot be read"),
        (&[&empty], "has no journals"),
        (&[&journal, "--policy", "/nowhere/policy.wasm"], "/nowhere/policy.wasm"),
        (&[&journal, "--policy", &journal], "not a policy"),
        (&[&journal, "--against", &journal], "not a policy"),
        (&[], "JOURNAL"),
    ] {
        let ran = replay(arguments).await.ends_with(2);
        assert!(ran.out.is_empty() && ran.err.contains(says) && ran.err.lines().count() == 1, "{ran:?}");
    }
}
