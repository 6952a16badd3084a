//! `upright checkpoint` on stores that a program has written.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::scratch::{Scratch, until};
use common::{Ran, command, finish};
use serde_json::{Value, json};
use std::time::Duration;
use upright::RecoveryManager;
use upright::store::StateAddress;

fn path(scratch: &Scratch, name: &str) -> String {
    scratch.path(name).to_str().unwrap().to_owned()
}

/// A closed store.
async fn kept(scratch: &Scratch, name: &str) -> String {
    let path = path(scratch, name);
    let manager = RecoveryManager::builder().state(StateAddress::File(path.clone().into())).build().unwrap();
    manager.checkpoints().at("jobs/import").schema(3).save(&json!({ "row": 1000, "errors": ["ü"] })).await.unwrap();
    manager.save_checkpoint("other", &1.5).await.unwrap();
    manager.shutdown_gracefully(Duration::from_secs(60)).await;
    path
}

async fn checkpoint(arguments: &[&str], input: &str) -> Ran {
    let mut command = command(None, &[&["checkpoint"], arguments].concat());
    command.env_remove("UPRIGHT_STATE").env_remove("XDG_STATE_HOME").env_remove("HOME");
    finish(command, input).await
}

fn keys(ran: &Ran) -> Vec<Value> {
    ran.json().iter().map(|listed| listed["key"].clone()).collect()
}

#[tokio::test]
async fn a_saved_checkpoint_is_listed_shown_and_removed() {
    let scratch = Scratch::new();
    let state = kept(&scratch, "jobs.db").await;
    let listed = checkpoint(&["list", "--state", &state], "").await.ends_with(0);
    assert!(listed.out.contains("jobs/import  saved ") && listed.out.lines().count() == 2, "{listed:?}");
    let listed = checkpoint(&["list", "--state", &state, "--json"], "").await.ends_with(0);
    assert_eq!(keys(&listed), ["jobs/import", "other"]);
    assert!(listed.json()[0]["saved_at"].as_f64().unwrap() > 1.7e9);
    let shown = checkpoint(&["show", "jobs/import", "--state", &state], "").await.ends_with(0);
    assert_eq!(serde_json::from_str::<Value>(&shown.out).unwrap(), json!({ "row": 1000, "errors": ["ü"] }));
    let shown = checkpoint(&["show", "jobs/import", "--state", &state, "--json"], "").await.ends_with(0);
    assert_eq!(shown.json()[0]["schema"], 3);
    let import = format!("{{\"key\":\"long\",\"state\":[{}]}}", u128::MAX);
    checkpoint(&["import", "-", "--state", &state], &import).await.ends_with(0);
    assert_eq!(checkpoint(&["show", "long", "--state", &state], "").await.ends_with(0).out, format!("[{}]\n", u128::MAX));
    checkpoint(&["remove", "other", "--state", &state], "").await.ends_with(0);
    let gone = checkpoint(&["remove", "other", "--state", &state], "").await.ends_with(1);
    assert!(gone.err.contains("no checkpoint \"other\""), "{gone:?}");
    assert!(checkpoint(&["show", "other", "--state", &state], "").await.ends_with(1).err.contains("no checkpoint"));
}

#[tokio::test]
async fn exported_checkpoints_are_imported_and_replace_others_only_on_request() {
    let scratch = Scratch::new();
    let (state, other) = (kept(&scratch, "jobs.db").await, path(&scratch, "other.db"));
    let exported = checkpoint(&["export", "--state", &state], "").await.ends_with(0).out;
    assert_eq!(exported.lines().count(), 2);
    let printed = checkpoint(&["import", "-", "--state", &other], &exported).await.ends_with(0).out;
    assert_eq!(printed, "2 new, 0 replaced, 0 kept as they were\n");
    let again = checkpoint(&["import", "-", "--state", &other], &exported).await.ends_with(0).out;
    assert_eq!(again, "0 new, 0 replaced, 2 kept as they were (--replace replaces them)\n");
    let changed = exported.replace("1000", "2000");
    let file = path(&scratch, "jobs.jsonl");
    std::fs::write(&file, changed).unwrap();
    checkpoint(&["import", &file, "--replace", "--state", &other], "").await.ends_with(0);
    let one = checkpoint(&["export", "jobs/import", "--state", &other], "").await.ends_with(0);
    assert_eq!((&one.json()[0]["state"]["row"], &one.json()[0]["schema"]), (&json!(2000), &json!(3)));
    let manager = RecoveryManager::builder().state(StateAddress::File(other.into())).build().unwrap();
    let restored = manager.checkpoints().at("jobs/import").schema(3).restore::<Value>().await.unwrap().unwrap();
    assert_eq!(restored["row"], 2000);
}

#[tokio::test]
async fn a_file_with_one_wrong_line_imports_nothing() {
    let scratch = Scratch::new();
    let state = kept(&scratch, "jobs.db").await;
    let input = "{\"key\":\"new\",\"state\":1}\n{\"key\":\"newer\"}\n";
    let refused = checkpoint(&["import", "-", "--state", &state], input).await.ends_with(2);
    assert!(refused.err.contains("line 2") && refused.err.contains("upright checkpoint export"), "{refused:?}");
    let listed = checkpoint(&["list", "--state", &state, "--json"], "").await.ends_with(0);
    assert_eq!(keys(&listed), ["jobs/import", "other"]);
}

#[tokio::test]
async fn a_folder_stands_for_the_state_in_it() {
    let scratch = Scratch::new();
    kept(&scratch, "state.db").await;
    let listed = checkpoint(&["list", "--state", &path(&scratch, ""), "--json"], "").await.ends_with(0);
    assert_eq!(keys(&listed).len(), 2);
}

#[tokio::test]
async fn a_checkpoint_command_refuses_a_missing_or_empty_store_and_creates_none() {
    let scratch = Scratch::new();
    let (missing, empty) = (path(&scratch, "missing.db"), path(&scratch, "empty.db"));
    std::fs::write(&empty, "").unwrap();
    for (state, why) in [
        (missing.as_str(), "no such file"),
        (":memory:", "in memory"),
        ("http://me:secret@host", "expected a file, nats://"),
        (&path(&scratch, ""), "no such file"),
        (&empty, "the file is empty"),
    ] {
        let refused = checkpoint(&["list", "--state", state], "").await.ends_with(2);
        assert!(refused.err.contains(why) && refused.err.lines().count() == 1 && !refused.err.contains("secret"), "{refused:?}");
    }
    assert!(!std::path::Path::new(&missing).exists());
    assert_eq!(std::fs::metadata(&empty).unwrap().len(), 0, "what only reads makes no store of it");
    assert!(checkpoint(&["list"], "").await.ends_with(2).err.contains("--state"));
    let text = path(&scratch, "text.db");
    std::fs::write(&text, "no store").unwrap();
    assert_eq!(checkpoint(&["list", "--state", &text], "").await.ends_with(1).err.lines().count(), 1);
}

const WRITES: &str = "UPRIGHT_TEST_STATE_OF_A_PROGRAM_THAT_WRITES";

/// Helper process that saves until it is killed; as a test it does nothing.
#[tokio::test]
async fn the_program_that_writes() {
    let Some(state) = std::env::var_os(WRITES) else { return };
    let manager = RecoveryManager::builder().state(StateAddress::File(state.into())).build().unwrap();
    let key = format!("program/{}", std::process::id());
    for row in 0_u64.. {
        manager.save_checkpoint(&key, &row).await.unwrap();
    }
}

#[tokio::test]
async fn while_three_programs_write_checkpoints_are_listed_shown_removed_and_the_fleet_is_read() {
    let scratch = Scratch::new();
    let state = kept(&scratch, "jobs.db").await;
    let mut programs: Vec<_> = std::iter::repeat_with(|| {
        let mut program = std::process::Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "the_program_that_writes"]).env(WRITES, &state).stdout(std::process::Stdio::null()).spawn().unwrap()
    })
    .take(3)
    .collect();
    let rows = async || {
        let listed = checkpoint(&["list", "--state", &state, "--json"], "").await.ends_with(0);
        let mut rows = Vec::new();
        for key in keys(&listed).iter().filter_map(Value::as_str).filter(|key| key.starts_with("program/")) {
            let shown = checkpoint(&["show", key, "--state", &state], "").await.ends_with(0).out;
            rows.push((key.to_owned(), shown.trim().parse::<u64>().unwrap()));
        }
        rows
    };
    until("all three write", async || rows().await.len() == 3).await;
    let before = rows().await;
    until("all three have gone on", async || {
        let now = rows().await;
        now.iter().zip(&before).all(|(now, before)| now.0 == before.0 && now.1 > before.1)
    })
    .await;
    checkpoint(&["remove", "other", "--state", &state], "").await.ends_with(0);
    let fleet = finish(command(None, &["policy", "fleet", "--state", &state]), "").await.ends_with(0);
    assert_eq!(fleet.out, "nothing is published\n");
    assert!(programs.iter_mut().all(|program| program.try_wait().unwrap().is_none()), "a program ended by itself");
    for program in &mut programs {
        program.kill().unwrap();
        program.wait().unwrap();
    }
    assert_eq!(rows().await.len(), 3);
}
