//! Policies that fail the probe, given to each command that takes one.

use crate::common::alone;
use serde_json::{Value, json};
use upright::policy::CONTRACT_VERSION;
use upright_test_kit::command::Ran;
use upright_test_kit::folder::Folder;
use upright_test_kit::policies::{self, hostile, policy};

const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/policy.wasm");

fn file(bytes: Vec<u8>) -> (Folder, String) {
    let scratch = Folder::new("admission");
    scratch.write("policy.wasm", bytes);
    let path = scratch.text("policy.wasm");
    (scratch, path)
}

fn remembering() -> Vec<u8> {
    policy(&hostile::sensible_but("backoff#delay", hostile::REMEMBERS))
}

fn assert_error_names(ran: &Ran, words: &[&str]) {
    assert!(ran.out.is_empty() && ran.err.lines().count() == 1, "{ran:?}");
    assert!(words.iter().all(|words| ran.err.contains(words)), "{}", ran.err);
}

#[tokio::test]
async fn a_policy_that_remembers_is_refused_by_every_command_that_would_let_it_answer() {
    let (scratch, path) = file(remembering());
    scratch.write("journal.jsonl", "");
    let journal = scratch.text("journal.jsonl");
    let state = scratch.text("state");
    for arguments in [
        &["policy", "eval", "backoff.delay", "--policy", &path][..],
        &["policy", "bench", &path],
        &["policy", "diff", DEFAULT, &path],
        &["policy", "diff", &path, DEFAULT],
        &["policy", "publish", &path, "--state", &state],
        &["replay", &journal, "--policy", &path],
        &["replay", &journal, "--against", &path],
        &["run", "qwen3:8b", "hi", "--policy", &path],
        &["demo", "--policy", &path],
    ] {
        let ran = alone(arguments, "").await.ends_with(2);
        assert_error_names(&ran, &["the policy answered the same question in backoff.delay twice, and differently the second time"]);
    }
}

#[tokio::test]
async fn a_policy_that_does_not_pass_is_inspected_all_the_same_and_said_not_to_pass() {
    let (_scratch, path) = file(remembering());
    let inspected = alone(&["policy", "inspect", &path], "").await.ends_with(1);
    assert!(
        inspected.out.contains("name      hostile") && inspected.out.contains("probe     refused: the policy answered the same question"),
        "{inspected:?}"
    );
    let inspected = alone(&["policy", "inspect", &path, "--json"], "").await.ends_with(1);
    let [description] = &inspected.json()[..] else { panic!("{inspected:?}") };
    assert_eq!((&description["name"], &description["passes_probe"]), (&json!("hostile"), &json!(false)));
    assert!(description["refused"].as_str().unwrap().contains("backoff.delay"), "{description}");
    // The author needs to see the wrong answers.
    let tested = alone(&["policy", "test", &path, "--decision-limit", "10", "--json"], "").await.ends_with(1);
    assert_eq!(tested.json()[0]["ok"], json!(false));
}

#[tokio::test]
async fn a_policy_that_would_not_pass_can_be_signed_and_verified_since_that_says_who_it_is_from() {
    let (scratch, path) = file(policy(&[hostile::sensible(), vec![("memory", "300")]].concat()));
    let (key, public) = (scratch.text("k"), scratch.text("k.pub"));
    alone(&["policy", "keygen", &key], "").await.ends_with(0);
    alone(&["policy", "sign", &path, "--key", &key, "--revision", "1"], "").await.ends_with(0);
    alone(&["policy", "verify", &path, "--trust", &public], "").await.ends_with(0);
}

#[tokio::test]
async fn a_first_memory_above_the_limit_is_refused_with_the_flag_that_lets_it_in() {
    let (_scratch, path) = file(policy(&[hostile::sensible(), vec![("memory", "300")]].concat()));
    let refused = alone(&["policy", "inspect", &path], "").await.ends_with(2);
    assert_error_names(&refused, &[&path, "begins with 19660800 bytes of memory", "may have 16777216", "--memory-limit 19"]);
    alone(&["policy", "inspect", &path, "--memory-limit", "19", "--decision-limit", "10"], "").await.ends_with(0);
    let (_scratch, path) = file(policies::with_instances(&policy(&hostile::sensible()), "(module)", 64));
    assert_error_names(&alone(&["policy", "inspect", &path], "").await.ends_with(2), &[&path, "65 core instances", "may have 64"]);
}

#[tokio::test]
async fn a_policy_of_another_patch_version_is_shown_with_its_own_and_one_of_another_minor_version_is_refused() {
    let built_in = std::fs::read(DEFAULT).unwrap();
    let numbers: Vec<u64> = CONTRACT_VERSION.split('.').map(|number| number.parse().unwrap()).collect();
    let of = |version: &str| {
        let (from, to) = (format!("@{CONTRACT_VERSION}"), format!("@{version}"));
        let mut bytes = built_in.clone();
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        bytes
    };
    let patch = format!("{}.{}.9", numbers[0], numbers[1]);
    let (_scratch, path) = file(of(&patch));
    let shown = alone(&["policy", "inspect", &path, "--decision-limit", "10", "--json"], "").await.ends_with(0).json();
    assert_eq!((&shown[0]["contract_version"], &shown[0]["refused"]), (&json!(patch), &Value::Null));
    let minor = format!("{}.{}.0", numbers[0], numbers[1] + 1);
    let (_scratch, path) = file(of(&minor));
    let refused = alone(&["policy", "inspect", &path], "").await.ends_with(2);
    assert_error_names(&refused, &[&path, &minor, "is newer than this host", CONTRACT_VERSION, "rebuild the policy"]);
}
