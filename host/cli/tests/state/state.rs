//! `upright state` on whole and damaged files.

use crate::common::command;
use serde_json::{Value, json};
use std::fs;
use upright::store::{FileStore, Store};
use upright_test_kit::command::{Ran, finish};
use upright_test_kit::folder::Folder;

/// A closed store.
async fn filled(scratch: &Folder) -> String {
    let path = scratch.text("state.db");
    let store = FileStore::open(&path).unwrap();
    for number in 0..200_u32 {
        store.put(&format!("checkpoint/{number}"), format!("{{\"row\":{number}}}").repeat(10).into(), "application/json").await.unwrap();
    }
    store.put("policy/component/x", vec![0, 159, 146, 150].into(), "application/wasm").await.unwrap();
    path
}

async fn state(arguments: &[&str], input: &str) -> Ran {
    let mut command = command(None, &[&["state"], arguments].concat());
    command.env_remove("UPRIGHT_STATE").env_remove("XDG_STATE_HOME").env_remove("HOME");
    finish(command, input).await
}

#[tokio::test]
async fn info_says_what_is_in_the_file_and_check_that_it_is_whole_while_a_program_has_it_open() {
    let scratch = Folder::new("state");
    let path = filled(&scratch).await;
    let open = FileStore::open(&path).unwrap();
    open.put("checkpoint/0", "1".into(), "application/json").await.unwrap();
    let info = state(&["info", "--state", &path, "--json"], "").await.ends_with(0).json().remove(0);
    assert_eq!((&info["file"], &info["format"], &info["last_version"]), (&json!(path), &json!(1), &json!(202)));
    let kinds: Vec<_> = info["kinds"].as_array().unwrap().iter().map(|kind| (kind["prefix"].clone(), kind["entries"].clone())).collect();
    assert_eq!(kinds, [(json!("checkpoint/"), json!(200)), (json!("policy/"), json!(1))]);
    let text = state(&["info", "--state", &path], "").await.ends_with(0).out;
    assert!(text.starts_with(&path) && text.contains("200  checkpoint/"), "{text}");
    assert_eq!(state(&["check", "--state", &path], "").await.ends_with(0).out, "the file is whole\n");
    open.put("checkpoint/0", "2".into(), "application/json").await.unwrap();
}

#[tokio::test]
async fn exported_state_is_imported_byte_for_byte_and_replaces_values_only_on_request() {
    let scratch = Folder::new("state");
    let (path, other) = (filled(&scratch).await, scratch.text("other.db"));
    let exported = state(&["export", "--state", &path], "").await.ends_with(0).out;
    assert_eq!(exported.lines().count(), 201);
    let printed = state(&["import", "-", "--state", &other], &exported).await.ends_with(0).out;
    assert_eq!(printed, "201 new, 0 replaced, 0 kept as they were\n");
    let printed = state(&["import", "-", "--state", &other], &exported).await.ends_with(0).out;
    assert_eq!(printed, "0 new, 0 replaced, 201 kept as they were (--replace replaces them)\n");
    let printed = state(&["import", "-", "--state", &other, "--replace", "--json"], &exported).await.ends_with(0).json().remove(0);
    assert_eq!(printed, json!({ "new": 0, "replaced": 201, "kept": 0 }));
    let [one, two] = [path, other].map(|path| FileStore::open(path).unwrap());
    for key in ["checkpoint/7", "policy/component/x"] {
        let [one, two] = [one.get(key).await.unwrap().unwrap(), two.get(key).await.unwrap().unwrap()];
        assert_eq!((one.value, one.content_type), (two.value, two.content_type));
    }
    for line in [
        "{",
        "{}",
        r#"{"key":"a","type":"b","base64":"?"}"#,
        r#"{"key":"a","type":"b","value":"c","more":1}"#,
        r#"{"key":"","type":"b","value":"c"}"#,
    ] {
        let refused = state(&["import", "-", "--state", &scratch.text("none.db")], line).await.ends_with(2);
        assert!(refused.err.contains("line 1") && refused.err.lines().count() == 1, "{refused:?}");
    }
    assert!(!scratch.path("none.db").exists());
}

#[tokio::test]
async fn a_copy_is_a_store_of_its_own_made_while_a_program_writes_and_replaces_no_file() {
    let scratch = Folder::new("state");
    let (path, copy) = (filled(&scratch).await, scratch.path("copy.db"));
    let open = FileStore::open(&path).unwrap();
    let writing = tokio::spawn(async move {
        for number in 0.. {
            open.put("written", number.to_string().into(), "text/plain").await.unwrap();
        }
    });
    let arguments = ["export", "--copy", copy.to_str().unwrap(), "--state", &path];
    state(&arguments, "").await.ends_with(0);
    let refused = state(&arguments, "").await.ends_with(1);
    assert!(refused.err.contains("is there already"), "{refused:?}");
    writing.abort();
    assert_eq!(state(&["check", "--state", copy.to_str().unwrap()], "").await.ends_with(0).out, "the file is whole\n");
    assert!(FileStore::open(&copy).unwrap().list("").await.unwrap().len() >= 201);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn compact_gives_back_the_room_of_what_was_removed() {
    let scratch = Folder::new("state");
    let path = filled(&scratch).await;
    let store = FileStore::open(&path).unwrap();
    store.put("large", vec![1; 5_000_000].into(), "").await.unwrap();
    store.delete("large").await.unwrap();
    let printed = state(&["compact", "--state", &path, "--json"], "").await.ends_with(0).json().remove(0);
    assert!(printed["bytes_before"].as_u64().unwrap() > 5_000_000 && printed["bytes"].as_u64().unwrap() < 500_000, "{printed}");
    assert_eq!(store.list("").await.unwrap().len(), 201);
}

#[tokio::test]
async fn damage_is_found_and_all_else_is_exported() {
    let scratch = Folder::new("state");
    let path = filled(&scratch).await;
    let whole = fs::read(&path).unwrap();
    // A flipped bit, and a truncated file.
    let mut flipped = whole.clone();
    let at = flipped.windows(12).rposition(|bytes| bytes == b"{\"row\":150}{").unwrap();
    flipped[at + 8] ^= 1;
    for (bytes, at_least) in [(flipped, 200), (whole[..whole.len() / 2].to_vec(), 50)] {
        fs::write(&path, &bytes).unwrap();
        let wrong = state(&["check", "--state", &path, "--json"], "").await.ends_with(1);
        assert!(wrong.json()[0]["whole"] == false && wrong.err.contains("upright state export"), "{wrong:?}");
        let exported = state(&["export", "--state", &path], "").await.ends_with(1);
        let lines: Vec<Value> = exported.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!((at_least..201).contains(&lines.len()) && exported.err.contains("could not be read"), "{} {}", lines.len(), exported.err);
        assert!(fs::read(&path).unwrap() == bytes, "the file was changed");
    }
}

#[tokio::test]
async fn a_state_command_reports_a_file_that_is_no_store_in_one_line() {
    let scratch = Folder::new("state");
    let text = scratch.text("notes.txt");
    fs::write(&text, "not a store ".repeat(100)).unwrap();
    for command in ["info", "check", "compact", "export"] {
        for (address, code, why) in
            [(text.as_str(), 1, "no database of SQLite"), ("nats://127.0.0.1:1", 2, "a file"), ("missing.db", 2, "no such file")]
        {
            if (command, code) == ("export", 2) && address.starts_with("nats") {
                continue;
            }
            let refused = state(&[command, "--state", address], "").await.ends_with(code);
            assert!(refused.err.contains(why) && refused.err.lines().count() == 1, "{command}: {refused:?}");
        }
    }
}
