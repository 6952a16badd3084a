//! `upright checkpoint` on stores that a program has written.

use crate::common::command;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::process::Command;
use upright::RecoveryManager;
use upright::store::StateAddress;
use upright_test_kit::command::{Ran, connect, end, finish};
use upright_test_kit::folder::Folder;
use upright_test_kit::wait::until;

/// A closed store.
async fn kept(scratch: &Folder, name: &str) -> String {
    let path = scratch.text(name);
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
    let scratch = Folder::new("checkpoint");
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
    let scratch = Folder::new("checkpoint");
    let (state, other) = (kept(&scratch, "jobs.db").await, scratch.text("other.db"));
    let exported = checkpoint(&["export", "--state", &state], "").await.ends_with(0).out;
    assert_eq!(exported.lines().count(), 2);
    let printed = checkpoint(&["import", "-", "--state", &other], &exported).await.ends_with(0).out;
    assert_eq!(printed, "2 new, 0 replaced, 0 kept as they were\n");
    let again = checkpoint(&["import", "-", "--state", &other], &exported).await.ends_with(0).out;
    assert_eq!(again, "0 new, 0 replaced, 2 kept as they were (--replace replaces them)\n");
    let changed = exported.replace("1000", "2000");
    let file = scratch.text("jobs.jsonl");
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
    let scratch = Folder::new("checkpoint");
    let state = kept(&scratch, "jobs.db").await;
    let input = "{\"key\":\"new\",\"state\":1}\n{\"key\":\"newer\"}\n";
    let refused = checkpoint(&["import", "-", "--state", &state], input).await.ends_with(2);
    assert!(refused.err.contains("line 2") && refused.err.contains("upright checkpoint export"), "{refused:?}");
    let listed = checkpoint(&["list", "--state", &state, "--json"], "").await.ends_with(0);
    assert_eq!(keys(&listed), ["jobs/import", "other"]);
}

#[tokio::test]
async fn a_folder_stands_for_the_state_in_it() {
    let scratch = Folder::new("checkpoint");
    kept(&scratch, "state.db").await;
    let listed = checkpoint(&["list", "--state", &scratch.text(""), "--json"], "").await.ends_with(0);
    assert_eq!(keys(&listed).len(), 2);
}

#[tokio::test]
async fn a_checkpoint_command_refuses_a_missing_or_empty_store_and_creates_none() {
    let scratch = Folder::new("checkpoint");
    let (missing, empty) = (scratch.text("missing.db"), scratch.text("empty.db"));
    std::fs::write(&empty, "").unwrap();
    for (state, why) in [
        (missing.as_str(), "no such file"),
        (":memory:", "in memory"),
        ("http://me:secret@host", "expected a file, nats://"),
        (&scratch.text(""), "no such file"),
        (&empty, "the file is empty"),
    ] {
        let refused = checkpoint(&["list", "--state", state], "").await.ends_with(2);
        assert!(refused.err.contains(why) && refused.err.lines().count() == 1 && !refused.err.contains("secret"), "{refused:?}");
    }
    assert!(!std::path::Path::new(&missing).exists());
    assert_eq!(std::fs::metadata(&empty).unwrap().len(), 0, "what only reads makes no store of it");
    assert!(checkpoint(&["list"], "").await.ends_with(2).err.contains("--state"));
    let text = scratch.text("text.db");
    std::fs::write(&text, "no store").unwrap();
    assert_eq!(checkpoint(&["list", "--state", &text], "").await.ends_with(1).err.lines().count(), 1);
}

/// Saves the numbers from 1 on under its own key until the file `stop` is there. Fails if a number cannot be saved.
const WRITES: &str = r#"
row=0
until [ -e stop ]; do
    row=$((row + 1))
    echo "{\"key\":\"program/$$\",\"state\":$row}" | "$0" checkpoint import - --replace --state "$1" > /dev/null || exit 1
done
"#;

#[tokio::test]
async fn while_three_programs_write_checkpoints_are_listed_shown_removed_and_the_fleet_is_read() {
    let scratch = Folder::new("checkpoint");
    let state = kept(&scratch, "jobs.db").await;
    let write = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", WRITES, env!("CARGO_BIN_EXE_upright"), &state]).current_dir(&scratch);
        connect(&mut shell);
        shell.spawn().unwrap()
    };
    let mut programs = [write(), write()];
    // The third is this one, which keeps the store open.
    let manager = RecoveryManager::builder().state(StateAddress::File(state.clone().into())).build().unwrap();
    let writing = tokio::spawn(async move {
        for row in 0_u64.. {
            manager.save_checkpoint("program/this", &row).await.unwrap();
        }
    });
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
    assert!(!writing.is_finished());
    writing.abort();
    scratch.write("stop", "");
    for program in programs {
        end(program).await.ends_with(0);
    }
    assert_eq!(rows().await.len(), 3);
}
