//! `upright checkpoint`, over stores that a program has written.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::scratch::Scratch;
use common::{Ran, command, finish};
use serde_json::{Value, json};
use std::time::Duration;
use upright::RecoveryManager;
use upright::store::StateAddress;

fn path(scratch: &Scratch, name: &str) -> String {
    scratch.path(name).to_str().unwrap().to_owned()
}

/// A store with two checkpoints, which no process holds.
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
async fn what_is_saved_is_listed_shown_and_removed() {
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
async fn what_is_exported_can_be_imported_and_replaces_only_if_asked() {
    let scratch = Scratch::new();
    let (state, other) = (kept(&scratch, "jobs.db").await, path(&scratch, "other.db"));
    let exported = checkpoint(&["export", "--state", &state], "").await.ends_with(0).out;
    assert_eq!(exported.lines().count(), 2);
    let told = checkpoint(&["import", "-", "--state", &other], &exported).await.ends_with(0).out;
    assert_eq!(told, "2 new, 0 replaced, 0 kept as they were\n");
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
async fn a_folder_stands_for_the_one_store_in_it_and_several_are_named() {
    let scratch = Scratch::new();
    kept(&scratch, "jobs.db").await;
    let folder = path(&scratch, "");
    let listed = checkpoint(&["list", "--state", &folder, "--json"], "").await.ends_with(0);
    assert_eq!(keys(&listed).len(), 2);
    kept(&scratch, "more.db").await;
    let refused = checkpoint(&["list", "--state", &folder], "").await.ends_with(2);
    assert!(refused.err.contains("jobs.db") && refused.err.contains("more.db"), "{refused:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_meant_is_told_and_none_is_made() {
    let scratch = Scratch::new();
    let missing = path(&scratch, "missing.db");
    for (state, why) in [
        (missing.as_str(), "no such file"),
        (":memory:", "in memory"),
        ("http://me:secret@host", "expected a file, nats://"),
        (&path(&scratch, ""), "no file of a store"),
    ] {
        let refused = checkpoint(&["list", "--state", state], "").await.ends_with(2);
        assert!(refused.err.contains(why) && refused.err.lines().count() == 1 && !refused.err.contains("secret"), "{refused:?}");
    }
    assert!(!std::path::Path::new(&missing).exists());
    assert!(checkpoint(&["list"], "").await.ends_with(2).err.contains("--state"));
    let text = path(&scratch, "text.db");
    std::fs::write(&text, "no store").unwrap();
    assert_eq!(checkpoint(&["list", "--state", &text], "").await.ends_with(1).err.lines().count(), 1);
}

#[tokio::test]
async fn a_store_that_a_program_holds_is_said_to_be_in_use() {
    let scratch = Scratch::new();
    let state = kept(&scratch, "jobs.db").await;
    let manager = RecoveryManager::builder().state(StateAddress::File(state.clone().into())).build().unwrap();
    manager.save_checkpoint("mine", &1).await.unwrap();
    let refused = checkpoint(&["list", "--state", &state], "").await.ends_with(1);
    assert!(refused.err.contains("in use") || refused.err.contains("another process"), "{refused:?}");
}
