//! The circuit breaker that calls of `upright exec` share.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::finish;
use common::scratch::{Scratch, until};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

const FLAGS: [&str; 6] = ["--breaker", "api", "--failure-threshold", "2", "--retries", "0"];
/// Leaves a trace, and does what the file says.
const SCRIPT: &str = "echo x >> runs; exit $(cat code)";

fn file(scratch: &Scratch) -> PathBuf {
    scratch.path("state/breakers/api.json")
}

fn state(scratch: &Scratch) -> Value {
    serde_json::from_str(&fs::read_to_string(file(scratch)).unwrap()).unwrap()
}

/// Moves the beginning of the breaker's phase: so many nanoseconds since 1970.
fn move_to(scratch: &Scratch, since: u64) {
    let mut content = state(scratch);
    content["state"]["since"] = since.into();
    fs::write(file(scratch), content.to_string()).unwrap();
}

/// A breaker that two failures have opened.
async fn opened() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("code", "75");
    for _ in 0..2 {
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(75);
    }
    scratch
}

#[tokio::test]
async fn failures_of_several_calls_open_it_and_then_the_command_is_not_run() {
    let scratch = opened().await;
    assert_eq!(state(&scratch)["state"]["phase"], "open");
    scratch.write("code", "0");
    let ran = scratch.exec(&FLAGS, SCRIPT).await.ends_with(3);
    assert_eq!(scratch.runs(), 2);
    assert!(ran.err.starts_with("upright: sh was not run: Circuit breaker OPEN: \"api\"") && ran.err.lines().count() == 1, "{ran:?}");
    let ran = scratch.exec(&[&FLAGS[..], &["--fallback", "echo $UPRIGHT_EXIT_CODE $UPRIGHT_REASON"]].concat(), SCRIPT).await.ends_with(0);
    assert_eq!(ran.out, "3 circuit_open\n");
    // Another name, another breaker.
    scratch.exec(&["--breaker", "other"], SCRIPT).await.ends_with(0);
}

#[tokio::test]
async fn the_failure_that_opens_it_ends_the_attempts_and_is_the_commands_own() {
    let scratch = Scratch::new();
    scratch.write("code", "75");
    let ran = scratch.exec(&["--breaker", "api", "--failure-threshold", "2", "--retries", "9"], SCRIPT).await.ends_with(75);
    assert_eq!(scratch.runs(), 2);
    assert!(ran.err.contains("the circuit breaker api went from closed to open"), "{ran:?}");
    assert!(ran.err.contains("failed after 2 attempts") && ran.err.contains("its circuit breaker has opened"), "{ran:?}");
}

#[tokio::test]
async fn after_its_timeout_it_is_probed_and_successes_of_two_calls_close_it() {
    let scratch = opened().await;
    move_to(&scratch, 0);
    scratch.write("code", "0");
    for phase in ["half_open", "closed"] {
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(0);
        assert_eq!(state(&scratch)["state"]["phase"], phase);
    }
    assert_eq!(scratch.runs(), 4);
}

#[tokio::test]
async fn a_probe_that_fails_opens_it_again() {
    let scratch = opened().await;
    move_to(&scratch, 0);
    scratch.exec(&FLAGS, SCRIPT).await.ends_with(75);
    scratch.exec(&FLAGS, SCRIPT).await.ends_with(3);
    assert_eq!(scratch.runs(), 3);
}

#[tokio::test]
async fn it_opens_for_as_long_as_it_is_told() {
    let scratch = Scratch::new();
    scratch.write("code", "75");
    let flags = ["--breaker", "api", "--failure-threshold", "1", "--recovery-timeout", "0.001", "--retries", "0"];
    scratch.exec(&flags, SCRIPT).await.ends_with(75);
    scratch.write("code", "0");
    until("the timeout has passed", async || finish(scratch.sh(&flags, SCRIPT), "").await.code == Some(0)).await;
}

#[tokio::test]
async fn a_success_in_between_ends_the_row() {
    let scratch = Scratch::new();
    for code in ["75", "0", "75", "0", "75"] {
        scratch.write("code", code);
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(code.parse().unwrap());
    }
    assert_eq!(state(&scratch)["state"]["phase"], "closed");
}

#[tokio::test]
async fn mistakes_of_the_caller_do_not_count() {
    let scratch = Scratch::new();
    for code in ["64", "77", "127", "64"] {
        scratch.write("code", code);
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(code.parse().unwrap());
    }
    assert_eq!(scratch.runs(), 4);
}

#[tokio::test]
async fn a_wall_clock_that_was_stepped_back_keeps_it_open_for_its_timeout_at_most() {
    let scratch = opened().await;
    let day = 86_400_000_000_000;
    move_to(&scratch, state(&scratch)["state"]["since"].as_u64().unwrap() + day);
    let ran = scratch.exec(&FLAGS, SCRIPT).await.ends_with(3);
    let left = ran.err.split("for another ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(left.parse::<f64>().unwrap() <= 60.0, "{ran:?}");
}

#[tokio::test]
async fn calls_that_end_at_once_lose_none_of_what_the_others_saw() {
    const CALLS: usize = 8;
    let scratch = Scratch::new();
    let threshold = CALLS.to_string();
    let flags = ["--breaker", "api", "--failure-threshold", &threshold, "--retries", "0", "--quiet"];
    let script = "echo x >> runs; while [ ! -e go ]; do sleep 0.01; done; exit 75";
    let calls = join_all((0..CALLS).map(|_| scratch.exec(&flags, script)));
    let release = async {
        scratch.wait_for_lines("runs", CALLS).await;
        scratch.write("go", "");
    };
    let (calls, ()) = tokio::join!(calls, release);
    calls.into_iter().for_each(|ran| drop(ran.ends_with(75)));
    assert_eq!(state(&scratch)["state"]["phase"], "open");
}

#[tokio::test]
async fn what_began_before_it_moved_changes_nothing() {
    for code in ["0", "75"] {
        let scratch = Scratch::new();
        scratch.write("code", "75");
        let script = format!("echo > begun; while [ ! -e go ]; do sleep 0.01; done; exit {code}");
        let late = scratch.exec(&FLAGS, &script);
        let meanwhile = async {
            scratch.wait_for_lines("begun", 1).await;
            for _ in 0..2 {
                scratch.exec(&FLAGS, SCRIPT).await.ends_with(75);
            }
            move_to(&scratch, 0);
            scratch.write("code", "0");
            scratch.exec(&FLAGS, SCRIPT).await.ends_with(0);
            let half_open = state(&scratch);
            scratch.write("go", "");
            half_open
        };
        let (late, half_open) = tokio::join!(late, meanwhile);
        late.ends_with(code.parse().unwrap());
        assert_eq!((&half_open["state"]["phase"], &half_open["state"]["half_open_successes"]), (&json!("half_open"), &json!(1)));
        assert_eq!(state(&scratch), half_open);
    }
}

#[tokio::test]
async fn an_attempt_that_had_its_time_and_took_longer_counts() {
    for (flag, code) in [("--attempt-timeout", 124), ("--deadline", 4)] {
        // A limit that is raised until the attempt has begun, so that no slow machine makes a difference.
        let mut limits = ["0.05", "0.5", "5", "25"].into_iter();
        let open = loop {
            let limit = limits.next().expect("no attempt began within 25 s");
            let scratch = Scratch::new();
            let flags = ["--breaker", "api", "--failure-threshold", "1", "--retries", "0", flag, limit];
            scratch.exec(&flags, "echo > ready; exec sleep 600").await.ends_with(code);
            if scratch.lines("ready") > 0 {
                break scratch.exec(&flags, "exec sleep 600").await;
            }
        };
        open.ends_with(3);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_in_one_line_and_counts_as_closed() {
    let whole = fs::read_to_string(file(&opened().await)).unwrap();
    let mut foreign: Value = serde_json::from_str(&whole).unwrap();
    foreign["format"] = json!(99);
    let (half, foreign, long) = (whole[..whole.len() / 2].to_owned(), foreign.to_string(), " ".repeat(1 << 20));
    for content in ["", "{", "\0\u{1}nonsense", "[1]", &half, &foreign, &long] {
        let scratch = opened().await;
        fs::write(file(&scratch), content).unwrap();
        scratch.write("code", "0");
        let ran = scratch.exec(&FLAGS, SCRIPT).await.ends_with(0);
        assert!(ran.err.lines().count() == 1 && ran.err.contains("cannot be used") && ran.err.contains("api.json"), "{ran:?}");
        // It was replaced.
        assert_eq!(scratch.exec(&FLAGS, SCRIPT).await.ends_with(0).err, "");
    }
}

#[tokio::test]
async fn where_nothing_can_be_kept_the_command_runs_all_the_same() {
    for blocked in ["api.json", "api.lock"] {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path("state/breakers").join(blocked)).unwrap();
        scratch.write("code", "7");
        let ran = scratch.exec(&FLAGS, SCRIPT).await.ends_with(7);
        assert_eq!((scratch.runs(), ran.err.lines().count()), (1, 2), "{ran:?}");
        assert!(ran.err.starts_with("upright: the state of the circuit breaker api"), "{ran:?}");
    }
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let scratch = Scratch::new();
    for name in ["../out", "/tmp/out", "..", ".hidden", "a/b", "no\u{e9} name"] {
        scratch.exec(&["--breaker", name], "exit 0").await.ends_with(0);
    }
    let files = fs::read_dir(scratch.path("state/breakers")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: Vec<_> = files.filter(|name| name.ends_with(".json")).collect();
    assert_eq!((files.len(), files.iter().any(|name| name.starts_with('.'))), (6, false), "{files:?}");
    assert_eq!(fs::read_dir(scratch.path("state")).unwrap().count(), 1);
}

#[tokio::test]
async fn the_folder_is_the_flags_else_the_environments_else_the_users() {
    let scratch = Scratch::new();
    for (flag, variables, folder) in [
        (Some("by-flag"), &[("UPRIGHT_STATE", "by-variable")][..], "by-flag"),
        (None, &[("UPRIGHT_STATE", "by-variable")], "by-variable"),
        (None, &[("XDG_STATE_HOME", "xdg")], "xdg/upright"),
        (None, &[("XDG_STATE_HOME", ""), ("HOME", "home")], "home/.local/state/upright"),
    ] {
        let mut command = scratch.sh(&[&["--breaker", "api"][..], &flag.map_or(vec![], |folder| vec!["--state", folder])].concat(), "true");
        command.env_remove("UPRIGHT_STATE").env_remove("XDG_STATE_HOME").env_remove("HOME");
        for (name, value) in variables {
            // The user's must be absolute.
            let value = if name.starts_with("UPRIGHT") || value.is_empty() { PathBuf::from(value) } else { scratch.path(value) };
            command.env(name, value);
        }
        finish(command, "").await.ends_with(0);
        assert!(scratch.path(folder).join("breakers/api.json").exists(), "{folder}");
    }
    let mut homeless = scratch.sh(&["--breaker", "api"], "true");
    homeless.env_remove("UPRIGHT_STATE").env_remove("XDG_STATE_HOME").env_remove("HOME");
    let ran = finish(homeless, "").await.ends_with(2);
    assert!(ran.err.contains("expected --state DIR"), "{ran:?}");
}
