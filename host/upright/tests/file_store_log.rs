//! The log beside the store's file: what a killed process leaves is two files, and both are needed.
//!
//! A copy of both files, taken while the store is open and nothing is written, is what a kill at that moment leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "redb")]

mod scratch;

use scratch::Folder;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use upright::clock::SystemClock;
use upright::fault::fault_of;
use upright::store::{FileStore, Store, StoreError};
use upright::types::{Endpoint, FaultKind};

const TEXT: &str = "text/plain";

/// A folder inside with the files of that store as they are now.
fn kill_image(inside: &Folder, store: &FileStore, name: &str) -> PathBuf {
    let folder = inside.0.join(name);
    fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("store.redb");
    fs::copy(store.path(), &copy).unwrap();
    if log(store.path()).exists() {
        fs::copy(log(store.path()), log(&copy)).unwrap();
    }
    copy
}
fn log(store: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", store.display()))
}

fn open(path: &Path) -> FileStore {
    FileStore::open(path, SystemClock::shared()).unwrap()
}

fn refused(path: &Path) -> StoreError {
    FileStore::open(path, SystemClock::shared()).map(drop).unwrap_err()
}

type Values = BTreeMap<String, (u64, Vec<u8>)>;

/// Saves, saves again and deletes, some values large, and keeps account of it.
async fn change(store: &FileStore, values: &mut Values, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let key = format!("checkpoint/{}", number % 60);
        if number % 13 == 5 {
            assert_eq!(store.delete(&key).await.unwrap(), values.remove(&key).is_some());
            continue;
        }
        // First values that go to the database at once, then so many that a log is full.
        let length = match number % 40 {
            7 if number < 400 => 200_000,
            12 | 22 if number >= 400 => 60_000,
            8 | 30 => 5000,
            other => 20 + other as usize * 4,
        };
        let value: Vec<u8> = format!("{number};").bytes().cycle().take(length).collect();
        let version = store.put(&key, value.clone().into(), TEXT).await.unwrap();
        values.insert(key, (version, value));
    }
}

async fn read(store: &FileStore) -> Values {
    let mut values = Values::new();
    for listed in store.list("").await.unwrap() {
        let entry = store.get(&listed.key).await.unwrap().unwrap();
        assert_eq!(entry.version, listed.version);
        values.insert(listed.key, (entry.version, entry.value.to_vec()));
    }
    values
}

/// So many that the log was begun, and not so many that it is full.
async fn with_a_log(path: &Path) -> (FileStore, Values) {
    let (store, mut values) = (open(path), Values::new());
    change(&store, &mut values, 0..35).await;
    assert!(log(path).exists());
    (store, values)
}

#[tokio::test]
async fn what_a_kill_leaves_has_everything_at_any_moment_and_its_versions_go_on() {
    let folder = Folder::new("any-moment");
    let (store, mut values) = (open(&folder.0.join("store.redb")), Values::new());
    let mut last = 0;
    // Through several logs; the last ones one by one, so that a log is full between two of them.
    let moments: Vec<u64> = (0..30).chain((30..700).step_by(41)).chain(700..1000).collect();
    for (index, moment) in moments.windows(2).enumerate() {
        change(&store, &mut values, moment[0]..moment[1]).await;
        if index % 3 > 0 {
            continue;
        }
        let copy = kill_image(&folder, &store, "killed");
        let killed = open(&copy);
        assert!(read(&killed).await == values, "at {moment:?}");
        last = values.values().map(|(version, _)| *version).max().unwrap_or_default();
        assert!(killed.put("new", "1".into(), TEXT).await.unwrap() > last);
        // Killed again before it came to an end.
        let again = open(&kill_image(&folder, &killed, "again"));
        let mut found = read(&again).await;
        assert!(found.remove("new").is_some() && found == values, "at {moment:?}, killed twice");
    }
    assert!(last > 900);
}

#[tokio::test]
async fn an_orderly_end_leaves_one_file_with_everything() {
    let folder = Folder::new("orderly");
    let path = folder.0.join("store.redb");
    let (store, mut values) = with_a_log(&path).await;
    drop(store);
    assert!(!log(&path).exists());
    let store = open(&path);
    assert!(read(&store).await == values);
    // The versions that were reserved come back.
    let last = values.values().map(|(version, _)| *version).max().unwrap();
    change(&store, &mut values, 35..36).await;
    assert!(values.values().any(|(version, _)| (last + 1..last + 20).contains(version)));
}

#[tokio::test]
async fn what_was_killed_is_put_in_order_by_the_next_end() {
    let folder = Folder::new("next-end");
    let (store, values) = with_a_log(&folder.0.join("store.redb")).await;
    let copy = kill_image(&folder, &store, "killed");
    drop(open(&copy));
    assert!(!log(&copy).exists());
    assert!(read(&open(&copy)).await == values);
}

#[tokio::test]
async fn a_log_that_is_missing_cut_short_or_of_another_store_is_told_and_nothing_is_changed() {
    let folder = Folder::new("lost");
    let (store, values) = with_a_log(&folder.0.join("store.redb")).await;
    let (other, _) = with_a_log(&folder.0.join("other.redb")).await;
    let copy = kill_image(&folder, &store, "killed");
    let (file, right) = (fs::read(&copy).unwrap(), fs::read(log(&copy)).unwrap());
    let wrong = [None, Some(right[..right.len() / 2].to_vec()), Some(fs::read(log(other.path())).unwrap()), Some(b"notes".to_vec())];
    for wrong in wrong {
        fs::remove_file(log(&copy)).unwrap();
        if let Some(bytes) = &wrong {
            fs::write(log(&copy), bytes).unwrap();
        }
        let error = refused(&copy);
        assert!(matches!(&error, StoreError::LogLost { path, log: told, .. } if *path == copy && *told == log(&copy)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("store.redb-wal") && text.contains("or an empty file to go on without it"), "{text}");
        let fault = fault_of(&error);
        assert_eq!((fault.kind, fault.endpoint), (FaultKind::InvalidAnswer, Endpoint::Store));
        assert!(fs::read(log(&copy)).ok() == wrong && fs::read(&copy).unwrap() == file, "both are left as they are");
        fs::write(log(&copy), &right).unwrap();
    }
    assert!(read(&open(&copy)).await == values, "with the right one everything is there");
}

#[tokio::test]
async fn who_empties_the_log_goes_on_with_what_was_in_the_file() {
    let folder = Folder::new("emptied");
    let (store, mut values) = with_a_log(&folder.0.join("store.redb")).await;
    let copy = kill_image(&folder, &store, "killed");
    fs::write(log(&copy), "").unwrap();
    let store = open(&copy);
    let found = read(&store).await;
    assert!(!found.is_empty() && found.iter().all(|(key, value)| values.get(key).is_none_or(|new| new.0 >= value.0)));
    values = found;
    change(&store, &mut values, 100..130).await;
    assert!(read(&open(&kill_image(&folder, &store, "again"))).await == values);
    drop(store);
    assert!(read(&open(&copy)).await == values && !log(&copy).exists());
}

#[tokio::test]
async fn a_file_that_was_put_back_does_not_take_the_log_of_a_later_one() {
    let folder = Folder::new("put-back");
    let (store, mut values) = with_a_log(&folder.0.join("store.redb")).await;
    let old = fs::read(store.path()).unwrap();
    // The database goes to the disk several times.
    change(&store, &mut values, 35..200).await;
    let copy = kill_image(&folder, &store, "killed");
    fs::write(&copy, old).unwrap();
    assert!(matches!(refused(&copy), StoreError::LogLost { .. }));
}

#[tokio::test]
async fn a_log_that_an_end_did_not_come_to_remove_harms_nothing() {
    let folder = Folder::new("not-removed");
    let path = folder.0.join("store.redb");
    let (store, mut values) = with_a_log(&path).await;
    let left = fs::read(log(&path)).unwrap();
    drop(store);
    fs::write(log(&path), left).unwrap();
    let store = open(&path);
    assert!(read(&store).await == values);
    change(&store, &mut values, 35..70).await;
    assert!(read(&open(&kill_image(&folder, &store, "killed"))).await == values);
    drop(store);
    assert!(!log(&path).exists());
    assert!(read(&open(&path)).await == values);
}

#[tokio::test]
async fn a_log_that_a_new_store_finds_in_its_place_is_left_to_whom_it_belongs() {
    let folder = Folder::new("moved-away");
    let path = folder.0.join("store.redb");
    let (store, values) = with_a_log(&path).await;
    let copy = kill_image(&folder, &store, "killed");
    let moved = folder.0.join("killed/moved.redb");
    fs::rename(&copy, &moved).unwrap();
    // Somebody begins anew, and saves more often than it takes for a log.
    let (new, mut of_new) = (open(&copy), Values::new());
    change(&new, &mut of_new, 0..40).await;
    fs::rename(log(&copy), log(&moved)).unwrap();
    assert!(read(&open(&moved)).await == values);
    drop(new);
    assert!(read(&open(&copy)).await == of_new);
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_somebody_removed_is_made_anew_when_the_database_goes_to_the_disk() {
    let folder = Folder::new("cleaned");
    let (store, mut values) = with_a_log(&folder.0.join("store.redb")).await;
    fs::remove_file(log(store.path())).unwrap();
    // One of these is large.
    change(&store, &mut values, 35..60).await;
    assert!(log(store.path()).exists());
    assert!(read(&open(&kill_image(&folder, &store, "killed"))).await == values);
}

#[cfg(unix)]
#[tokio::test]
async fn by_way_of_a_link_the_log_lies_beside_the_file_itself() {
    let folder = Folder::new("link");
    let (path, link) = (folder.0.join("store.redb"), folder.0.join("link.redb"));
    drop(open(&path));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let (store, mut values) = (open(&link), Values::new());
    change(&store, &mut values, 0..35).await;
    assert!(log(&path).exists() && !log(&link).exists());
}

const ELSEWHERE: &str = "UPRIGHT_TEST_GOES_ELSEWHERE";

/// The process that goes to another folder; as a test of its own it does nothing.
#[tokio::test]
async fn the_process_that_goes_elsewhere() {
    let Some(folder) = std::env::var_os(ELSEWHERE).map(PathBuf::from) else { return };
    std::env::set_current_dir(folder.join("here")).unwrap();
    let store = open(Path::new("store.redb"));
    std::env::set_current_dir(folder.join("elsewhere")).unwrap();
    for number in 0..20 {
        store.put(&number.to_string(), "1".into(), TEXT).await.unwrap();
    }
    // Nothing is closed.
    std::process::exit(42);
}

#[tokio::test]
async fn a_program_that_goes_to_another_folder_keeps_its_log_beside_the_file() {
    let folder = Folder::new("elsewhere");
    ["here", "elsewhere"].iter().for_each(|name| fs::create_dir(folder.0.join(name)).unwrap());
    let mut process = std::process::Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "the_process_that_goes_elsewhere"]).env(ELSEWHERE, &folder.0).stdout(std::process::Stdio::null());
    assert_eq!(process.status().unwrap().code(), Some(42));
    assert_eq!(fs::read_dir(folder.0.join("elsewhere")).unwrap().count(), 0);
    assert_eq!(open(&folder.0.join("here/store.redb")).list("").await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_flipped_byte_in_the_log_is_told_or_leaves_out_the_last_save_alone() {
    let folder = Folder::new("flipped");
    let (store, mut values) = (open(&folder.0.join("store.redb")), Values::new());
    change(&store, &mut values, 41..70).await;
    let before = values.clone();
    // Not one of the large ones.
    change(&store, &mut values, 71..72).await;
    let copy = kill_image(&folder, &store, "killed");
    let (file, whole) = (fs::read(&copy).unwrap(), fs::read(log(&copy)).unwrap());
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut told, mut left_out, mut without_effect) = (0, 0, 0);
    for position in (0..used).step_by(397).chain(used - 60..=used).chain([used + 1, whole.len() - 1]) {
        let mut flipped = whole.clone();
        flipped[position] ^= 0x11;
        fs::write(&copy, &file).unwrap();
        fs::write(log(&copy), &flipped).unwrap();
        match FileStore::open(&copy, SystemClock::shared()) {
            Err(StoreError::LogLost { .. }) => told += 1,
            Err(error) => panic!("byte {position}: {error:?}"),
            Ok(store) => {
                let found = read(&store).await;
                if found == values {
                    without_effect += 1;
                } else {
                    assert!(found == before && position > used - 4096, "byte {position} of {used}");
                    left_out += 1;
                }
            }
        }
    }
    println!("{used} bytes in use: {told} told, {left_out} left out the last save, {without_effect} without effect");
    assert!(told > 5 && left_out > 0 && without_effect > 0);
}

#[tokio::test]
async fn where_no_log_can_be_had_everything_is_saved_all_the_same() {
    let folder = Folder::new("without");
    let path = folder.0.join("store.redb");
    fs::write(log(&path), "my notes").unwrap();
    let (store, mut values) = (open(&path), Values::new());
    change(&store, &mut values, 0..60).await;
    let copy = kill_image(&folder, &store, "killed");
    fs::remove_file(log(&copy)).unwrap();
    assert!(read(&open(&copy)).await == values);
    drop(store);
    assert_eq!(fs::read(log(&path)).unwrap(), b"my notes");
    assert!(read(&open(&path)).await == values);
}

#[cfg(unix)]
#[tokio::test]
async fn a_store_that_was_renamed_while_it_is_open_keeps_its_log() {
    let folder = Folder::new("renamed");
    let (path, elsewhere) = (folder.0.join("store.redb"), folder.0.join("elsewhere.redb"));
    let (store, mut values) = with_a_log(&path).await;
    fs::rename(&path, &elsewhere).unwrap();
    let (new, mut of_new) = (open(&path), Values::new());
    change(&new, &mut of_new, 0..40).await;
    change(&store, &mut values, 35..60).await;
    // What a kill would leave, once the log has been put where it belongs.
    let killed = folder.0.join("killed.redb");
    fs::copy(&elsewhere, &killed).unwrap();
    assert!(matches!(refused(&killed), StoreError::LogLost { .. }));
    fs::copy(log(&path), log(&killed)).unwrap();
    assert!(read(&open(&killed)).await == values);
    drop(new);
    assert!(read(&open(&path)).await == of_new);
}

#[cfg(unix)]
#[tokio::test]
async fn the_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("private");
    let (store, _) = with_a_log(&folder.0.join("store.redb")).await;
    assert_eq!(fs::metadata(log(store.path())).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_program_that_saves_a_few_times_makes_no_log() {
    let folder = Folder::new("few");
    let path = folder.0.join("store.redb");
    let (store, mut values) = (open(&path), Values::new());
    change(&store, &mut values, 0..5).await;
    assert!(!log(&path).exists());
    assert!(read(&open(&kill_image(&folder, &store, "killed"))).await == values);
}
