//! The circuit breaker shared by calls of `upright exec`.

use crate::common::command;
use crate::scratch::Scratch;
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use upright::store::{FileStore, StateAddress, Store};
use upright::types::{BreakerConfig, Phase};
use upright::{CircuitBreaker, RecoveryManager};
use upright_test_kit::command::finish;
use upright_test_kit::wait::until;

const FLAGS: [&str; 6] = ["--breaker", "api", "--failure-threshold", "2", "--retries", "0"];
/// Leaves a trace; exits with the code in the file.
const SCRIPT: &str = "echo x >> runs; exit $(cat code)";
/// Leaves a trace; succeeds once `go` exists.
const WAITS: &str = "echo x >> runs; while [ ! -e go ]; do sleep 0.01; done";
const KEY: &str = "breaker/api";

fn store(scratch: &Scratch) -> FileStore {
    FileStore::open(scratch.path("state")).unwrap()
}

async fn state(scratch: &Scratch) -> Value {
    serde_json::from_slice(&store(scratch).get(KEY).await.unwrap().unwrap().value).unwrap()
}

async fn phase(scratch: &Scratch) -> String {
    state(scratch).await["state"]["phase"].as_str().unwrap().to_owned()
}

async fn change(scratch: &Scratch, change: impl FnOnce(&mut Value)) {
    let mut record = state(scratch).await;
    change(&mut record);
    store(scratch).put(KEY, record.to_string().into(), "application/json").await.unwrap();
}

/// As if opened at the machine's start.
async fn let_its_timeout_pass(scratch: &Scratch) {
    change(scratch, |record| record["state"]["since"] = json!(0)).await;
}

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
    assert_eq!(phase(&scratch).await, "open");
    scratch.write("code", "0");
    let ran = scratch.exec(&FLAGS, SCRIPT).await.ends_with(3);
    assert_eq!(scratch.runs(), 2);
    assert!(ran.err.starts_with("upright: sh was not run: Circuit breaker OPEN: \"api\"") && ran.err.lines().count() == 1, "{ran:?}");
    let ran = scratch.exec(&[&FLAGS[..], &["--fallback", "echo $UPRIGHT_EXIT_CODE $UPRIGHT_REASON"]].concat(), SCRIPT).await.ends_with(0);
    assert_eq!(ran.out, "3 circuit_open\n");
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
async fn after_its_timeout_an_exec_breaker_is_probed_and_two_successes_close_it() {
    let scratch = opened().await;
    let_its_timeout_pass(&scratch).await;
    scratch.write("code", "0");
    for expected in ["half_open", "closed"] {
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(0);
        assert_eq!(phase(&scratch).await, expected);
    }
    assert_eq!(scratch.runs(), 4);
}

#[tokio::test]
async fn a_probe_that_fails_opens_it_again() {
    let scratch = opened().await;
    let_its_timeout_pass(&scratch).await;
    scratch.exec(&FLAGS, SCRIPT).await.ends_with(75);
    scratch.exec(&FLAGS, SCRIPT).await.ends_with(3);
    assert_eq!(scratch.runs(), 3);
}

#[tokio::test]
async fn an_exec_breaker_stays_open_for_the_given_recovery_timeout() {
    let scratch = Scratch::new();
    scratch.write("code", "75");
    let flags = ["--breaker", "api", "--failure-threshold", "1", "--recovery-timeout", "0.001", "--retries", "0"];
    scratch.exec(&flags, SCRIPT).await.ends_with(75);
    scratch.write("code", "0");
    until("the timeout has passed", async || finish(scratch.sh(&flags, SCRIPT), "").await.code == Some(0)).await;
}

#[tokio::test]
async fn a_success_resets_the_consecutive_failures_of_an_exec_breaker() {
    let scratch = Scratch::new();
    for code in ["75", "0", "75", "0", "75"] {
        scratch.write("code", code);
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(code.parse().unwrap());
    }
    assert_eq!(phase(&scratch).await, "closed");
}

#[tokio::test]
async fn callers_mistakes_do_not_count_for_an_exec_breaker() {
    let scratch = Scratch::new();
    for code in ["64", "77", "127", "64"] {
        scratch.write("code", code);
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(code.parse().unwrap());
    }
    assert_eq!(scratch.runs(), 4);
}

#[tokio::test]
async fn after_the_wall_clock_was_stepped_back_it_is_open_for_its_timeout_at_most_and_then_recovers() {
    let scratch = Scratch::new();
    scratch.write("code", "75");
    let flags = ["--breaker", "api", "--failure-threshold", "1", "--recovery-timeout", "0.2", "--retries", "0"];
    scratch.exec(&flags, SCRIPT).await.ends_with(75);
    // It opened a minute ago, when the wall clock was a day ahead.
    let (minute, day) = (60_000_000_000_u64, 86_400_000_000_000_u64);
    change(&scratch, |record| {
        for instant in ["/now", "/state/since"] {
            let instant = record.pointer_mut(instant).unwrap();
            *instant = instant.as_u64().unwrap().saturating_sub(minute).into();
        }
        record["wall"] = (record["wall"].as_u64().unwrap() + day).into();
    })
    .await;
    scratch.write("code", "0");
    until("it has recovered", async || finish(scratch.sh(&flags, SCRIPT), "").await.code == Some(0)).await;
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
    assert_eq!(phase(&scratch).await, "open");
}

#[tokio::test]
async fn a_command_begun_before_a_transition_does_not_change_the_exec_breaker() {
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
            let_its_timeout_pass(&scratch).await;
            scratch.write("code", "0");
            scratch.exec(&FLAGS, SCRIPT).await.ends_with(0);
            let half_open = state(&scratch).await;
            scratch.write("go", "");
            half_open
        };
        let (late, half_open) = tokio::join!(late, meanwhile);
        late.ends_with(code.parse().unwrap());
        assert_eq!((&half_open["state"]["phase"], &half_open["state"]["half_open_successes"]), (&json!("half_open"), &json!(1)));
        assert_eq!(state(&scratch).await["state"], half_open["state"]);
    }
}

#[tokio::test]
async fn an_attempt_that_used_its_whole_time_limit_counts_as_a_failure_of_the_exec_breaker() {
    for (flag, code) in [("--attempt-timeout", 124), ("--deadline", 4)] {
        // The limit grows until the attempt has begun, for slow machines.
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
async fn of_twelve_calls_at_once_one_probes_and_the_others_are_rejected_until_it_has_ended() {
    const CALLS: usize = 12;
    let scratch = opened().await;
    let_its_timeout_pass(&scratch).await;
    let rejected = AtomicUsize::new(0);
    let calls = join_all((0..CALLS).map(|_| async {
        let ran = scratch.exec(&FLAGS, WAITS).await;
        rejected.fetch_add(usize::from(ran.code == Some(3)), Ordering::SeqCst);
        ran
    }));
    let release = async {
        until("all others are rejected", async || rejected.load(Ordering::SeqCst) == CALLS - 1).await;
        scratch.exec(&FLAGS, WAITS).await.ends_with(3);
        scratch.write("go", "");
    };
    let (calls, ()) = tokio::join!(calls, release);
    assert_eq!(calls.iter().filter(|ran| ran.code == Some(0)).count(), 1);
    assert!(calls.iter().filter(|ran| ran.code == Some(3)).all(|ran| ran.err.contains("is being probed")), "{calls:?}");
    assert_eq!(scratch.runs(), 2 + 1);
    scratch.exec(&FLAGS, WAITS).await.ends_with(0);
    assert_eq!(phase(&scratch).await, "closed");
}

async fn probe_that_gets(scratch: &Scratch, signal: Signal, flags: &[&str]) {
    let mut probe = scratch.sh(flags, WAITS);
    let mut probe = probe.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let runs = scratch.runs();
    until("the probe runs", async || scratch.runs() > runs).await;
    kill_process(Pid::from_raw(probe.id().unwrap() as i32).unwrap(), signal).unwrap();
    probe.wait().await.unwrap();
}

#[tokio::test]
async fn a_probe_that_is_interrupted_leaves_its_place_to_the_next() {
    let scratch = opened().await;
    let_its_timeout_pass(&scratch).await;
    probe_that_gets(&scratch, Signal::TERM, &FLAGS).await;
    scratch.write("code", "0");
    scratch.exec(&FLAGS, SCRIPT).await.ends_with(0);
}

#[tokio::test]
async fn a_probe_that_is_killed_holds_up_the_others_for_the_recovery_timeout_and_no_longer() {
    let scratch = Scratch::new();
    scratch.write("code", "75");
    let flags = ["--breaker", "api", "--failure-threshold", "1", "--retries", "0", "--recovery-timeout"];
    let (long, short) = ([&flags[..], &["600"]].concat(), [&flags[..], &["0.2"]].concat());
    scratch.exec(&long, SCRIPT).await.ends_with(75);
    let_its_timeout_pass(&scratch).await;
    probe_that_gets(&scratch, Signal::KILL, &long).await;
    scratch.write("go", "");
    scratch.write("code", "0");
    scratch.exec(&long, SCRIPT).await.ends_with(3);
    until("another may probe", async || finish(scratch.sh(&short, SCRIPT), "").await.code == Some(0)).await;
}

#[tokio::test]
async fn a_program_and_calls_on_the_same_state_have_a_breaker_of_a_name_in_common() {
    let scratch = Scratch::new();
    let breaker = BreakerConfig { failure_threshold: 2, ..BreakerConfig::default() };
    let state = StateAddress::File(scratch.path("state"));
    let manager = RecoveryManager::builder().state(state).breaker(breaker).build().unwrap();
    let api = manager.breakers().get("api");
    let fail = |breaker: &CircuitBreaker| drop(breaker.try_acquire().unwrap().failure(&std::io::Error::other("refused")));
    manager.breakers_settled().await;
    scratch.write("code", "75");
    for _ in 0..2 {
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(75);
    }
    until("the program knows", async || api.state() == Phase::Open).await;
    api.reset();
    manager.breakers_settled().await;
    scratch.write("code", "0");
    scratch.exec(&FLAGS, SCRIPT).await.ends_with(0);
    (0..2).for_each(|_| fail(&api));
    assert_eq!(api.state(), Phase::Open);
    manager.breakers_settled().await;
    scratch.exec(&FLAGS, SCRIPT).await.ends_with(3);
}

#[tokio::test]
async fn an_unreadable_exec_breaker_record_counts_as_closed_and_is_replaced() {
    for content in ["", "{", "\0\u{1}nonsense", "[1]", r#"{"format":99}"#] {
        let scratch = opened().await;
        store(&scratch).put(KEY, content.to_owned().into(), "application/json").await.unwrap();
        scratch.exec(&FLAGS, SCRIPT).await.ends_with(75);
        assert_eq!(state(&scratch).await["state"]["consecutive_failures"], 1, "{content:?}");
    }
}

#[tokio::test]
async fn without_a_writable_state_exec_warns_once_and_runs_the_command() {
    for what in ["folder", "text", "newer"] {
        let scratch = Scratch::new();
        let path = scratch.path("state");
        match what {
            // A file cannot contain a folder.
            "folder" => fs::write(&path, "x").unwrap(),
            "text" => fs::write(&path, "no store ".repeat(1000)).unwrap(),
            _ => {
                drop(store(&scratch));
                let mut newer = fs::read(&path).unwrap();
                // SQLite's user version.
                newer[60..64].copy_from_slice(&9_u32.to_be_bytes());
                fs::write(&path, newer).unwrap();
            }
        }
        scratch.write("code", "75");
        let mut exec = scratch.sh(&["--breaker", "api", "--retries", "1", "--base-delay", "0"], SCRIPT);
        exec.env("UPRIGHT_STATE", if what == "folder" { path.join("state.db") } else { path });
        let ran = finish(exec, "").await.ends_with(75);
        assert_eq!(scratch.runs(), 2);
        assert_eq!(ran.err.matches("the state of the circuit breaker api cannot be kept").count(), 1, "{ran:?}");
        assert!(ran.err.contains("going on without it") && !ran.err.contains("panicked"), "{ran:?}");
    }
}

#[tokio::test]
async fn exec_takes_its_state_from_the_flag_then_the_environment_then_the_users_folder() {
    let scratch = Scratch::new();
    for (flag, variables, file) in [
        (Some("by-flag"), &[("UPRIGHT_STATE", "by-variable")][..], "by-flag"),
        (None, &[("UPRIGHT_STATE", "by-variable")], "by-variable"),
        (None, &[("UPRIGHT_STATE", ""), ("XDG_STATE_HOME", "xdg")], "xdg/upright/state.db"),
        (None, &[("XDG_STATE_HOME", ""), ("HOME", "home")], "home/.local/state/upright/state.db"),
    ] {
        let mut exec = scratch.sh(&[&["--breaker", "api"][..], &flag.map_or(vec![], |file| vec!["--state", file])].concat(), "exit 75");
        let mut list = scratch.place(command(None, &[&["state", "info"][..], &flag.map_or(vec![], |file| vec!["--state", file])].concat()));
        for command in [&mut exec, &mut list] {
            command.env_remove("UPRIGHT_STATE").env_remove("XDG_STATE_HOME").env_remove("HOME");
            for (name, value) in variables {
                // These must be absolute.
                let value = if name.starts_with("UPRIGHT") || value.is_empty() { PathBuf::from(value) } else { scratch.path(value) };
                command.env(name, value);
            }
        }
        finish(exec, "").await.ends_with(75);
        assert!(scratch.path(file).exists(), "{file}");
        let info = finish(list, "").await.ends_with(0);
        assert!(info.out.contains("breaker/"), "the other commands have the same: {info:?}");
    }
    let mut homeless = scratch.sh(&["--breaker", "api"], "true");
    homeless.env_remove("UPRIGHT_STATE").env_remove("XDG_STATE_HOME").env_remove("HOME");
    let ran = finish(homeless, "").await.ends_with(2);
    assert!(ran.err.contains("--state") && ran.err.contains("UPRIGHT_STATE"), "{ran:?}");
}
