//! The store in a file: effects of its folder and disk, and files that are no store.

use futures_util::FutureExt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use upright::checkpoints::Checkpoints;
use upright::fault::fault_of;
use upright::store::{FileStore, Store, StoreError};
use upright::types::{Endpoint, FaultKind};
use upright_test_kit::folder::Folder;
use upright_test_kit::full_store::{fill_and_recover, text};
use upright_test_kit::skipped;

const TEXT: &str = "text/plain";

/// A file system of this size in memory, unmounted on drop.
struct SmallDisk(Folder);

impl SmallDisk {
    fn mount(name: &str, size: &str) -> Option<Self> {
        let folder = Folder::new(name);
        let mounted =
            run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg::<&Path>(folder.as_ref()));
        mounted.then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg::<&Path>(self.0.as_ref()));
    }
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn skip(why: &str) {
    skipped("file_store", why);
}

fn open(path: impl AsRef<Path>) -> FileStore {
    FileStore::open(path).unwrap()
}

fn refused(path: impl AsRef<Path>) -> StoreError {
    FileStore::open(path).map(drop).unwrap_err()
}

#[tokio::test]
async fn a_store_that_is_opened_again_has_everything_and_its_versions_go_on() {
    let folder = Folder::new("again");
    let large = vec![7; 300_000];
    let store = open(folder.path("state.db"));
    store.put("small", "1".into(), TEXT).await.unwrap();
    store.put("large", large.clone().into(), "application/octet-stream").await.unwrap();
    store.put("gone", "1".into(), TEXT).await.unwrap();
    store.delete("gone").await.unwrap();
    let (small, listed) = (store.get("small").await.unwrap(), store.list("").await.unwrap());
    drop(store);
    for _ in 0..3 {
        let store = open(folder.path("state.db"));
        assert_eq!(store.get("small").await.unwrap(), small);
        assert!(store.get("large").await.unwrap().unwrap().value == large);
        assert_eq!(store.list("").await.unwrap(), listed);
        assert_eq!(store.get("gone").await.unwrap(), None);
    }
    let version = open(folder.path("state.db")).put("gone", "2".into(), TEXT).await.unwrap();
    assert_eq!(version, 5, "three writes and a deletion came before");
}

#[tokio::test]
async fn a_checkpoint_outlives_the_process_that_saved_it() {
    let folder = Folder::new("checkpoint");
    let checkpoints = |store: FileStore| Checkpoints::new(Arc::new(store));
    checkpoints(open(folder.path("state.db"))).at("import").save(&1000).await.unwrap();
    assert_eq!(checkpoints(open(folder.path("state.db"))).at("import").restore::<u32>().await.unwrap(), Some(1000));
}

#[test]
fn dropping_the_last_clone_waits_for_what_was_queued() {
    let folder = Folder::new("queued");
    let store = open(folder.path("state.db"));
    let keys: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    let mut turn = std::task::Context::from_waker(std::task::Waker::noop());
    for key in &keys {
        let _ = store.put(key, "1".into(), TEXT).as_mut().poll(&mut turn);
    }
    drop(store);
    let listed = open(folder.path("state.db")).list("").now_or_never().unwrap().unwrap();
    assert_eq!(listed.len(), keys.len());
}

#[tokio::test]
async fn more_writers_than_the_queue_has_room_for_all_get_their_answer() {
    let folder = Folder::new("many");
    let store = open(folder.path("state.db"));
    let puts = (0..5000).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.put(&number.to_string(), "1".into(), TEXT).await.unwrap() })
    });
    let mut versions = Vec::new();
    for put in puts.collect::<Vec<_>>() {
        versions.push(put.await.unwrap());
    }
    versions.sort_unstable();
    assert!(versions.into_iter().eq(1..=5000));
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_the_folders_above_it_are_made_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("private");
    let file = folder.path("a/b/state.db");
    drop(open(&file));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&folder.path("a/b")), mode(&folder.path("a"))), (0o600, 0o700, 0o700));
    assert_eq!(fs::read_dir(folder.path("a/b")).unwrap().count(), 2, "it and its bell");
    let store = open(&file);
    store.put("a", "1".into(), TEXT).await.unwrap();
    let _watching = store.watch("").await.unwrap();
    for beside in ["-wal", "-shm", "-bell"] {
        assert_eq!(mode(&folder.path(&format!("a/b/state.db{beside}"))), 0o600, "{beside}");
    }
}

#[tokio::test]
async fn several_who_make_the_same_store_at_once_end_up_with_one() {
    let folder = Folder::new("both");
    for round in 0..20 {
        let path = folder.path(&format!("{round}/state.db"));
        let stores: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (number, store) in (0..).zip(&stores) {
            assert_eq!(store.put(&number.to_string(), "1".into(), TEXT).await.unwrap(), number + 1);
        }
        drop(stores);
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(left.len() <= 2 && left.iter().all(|name| ["state.db", "state.db-bell"].iter().any(|own| name == own)), "{left:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn by_way_of_a_link_and_from_another_folder_it_is_the_same_store() {
    let folder = Folder::new("link");
    let store = open(folder.path("state.db"));
    std::os::unix::fs::symlink(folder.path("state.db"), folder.path("link.db")).unwrap();
    let linked = open(folder.path("link.db"));
    let mut changes = store.watch("").await.unwrap();
    let version = linked.put("a", "1".into(), TEXT).await.unwrap();
    assert_eq!(futures_util::StreamExt::next(&mut changes).await.unwrap().unwrap().version, version);
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
}

#[test]
fn what_is_no_store_is_refused_and_left_as_it_is() {
    let folder = Folder::new("other");
    let path = |name: &str| folder.path(name);
    let theirs = |name: &str| {
        let connection = rusqlite::Connection::open(path(name)).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch("CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)").unwrap();
        connection
    };
    drop(theirs("closed.db"));
    let open_there = theirs("open.db");
    for name in ["open.db", "open.db-wal"] {
        fs::copy(path(name), path(&name.replace("open", "killed"))).unwrap();
    }
    drop(open_there);
    fs::write(path("notes.txt"), "not a store. ".repeat(1000)).unwrap();
    fs::write(path("short"), "x").unwrap();
    fs::write(path("redb.redb"), [b"redb\x1a\x0a\xa9\x0d\x0a".as_slice(), &[0; 5000]].concat()).unwrap();
    for (name, expected) in [
        ("closed.db", "a database of SQLite"),
        ("killed.db", "a database of SQLite"),
        ("notes.txt", "no database of SQLite"),
        ("short", "a file of 1 bytes"),
        ("redb.redb", "in redb"),
    ] {
        let (before, log) = (fs::read(path(name)).unwrap(), fs::read(path("killed.db-wal")).unwrap());
        let error = FileStore::open(path(name)).map(drop).expect_err(name);
        assert!(matches!((&error, name), (StoreError::OldFormat { .. }, "redb.redb") | (StoreError::NotAStore { .. }, _)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains(name), "{text}");
        let fault = fault_of(&error);
        assert_eq!((fault.kind, fault.endpoint), (FaultKind::InvalidAnswer, Endpoint::Store));
        assert!(fs::read(path(name)).unwrap() == before && fs::read(path("killed.db-wal")).unwrap() == log, "{name}");
    }
    let error = refused(&folder);
    assert!(matches!(error, StoreError::Unavailable { .. }), "a folder is no file: {error:?}");
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_refused_with_both_numbers_also_by_one_who_has_it_open() {
    let folder = Folder::new("newer");
    let store = open(folder.path("state.db"));
    store.put("a", "1".into(), TEXT).await.unwrap();
    rusqlite::Connection::open(folder.path("state.db")).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let error = refused(folder.path("state.db"));
    assert!(matches!(error, StoreError::Newer { found: 9, known: 1, .. }), "{error:?}");
    let error = store.put("a", "2".into(), TEXT).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 9, known: 1, .. }), "{error:?}");
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"), "nothing was written");
}

#[cfg(unix)]
#[test]
fn a_file_that_must_not_be_written_is_reported_as_such() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("file-read-only");
    drop(open(folder.path("state.db")));
    fs::set_permissions(folder.path("state.db"), fs::Permissions::from_mode(0o400)).unwrap();
    match FileStore::open(folder.path("state.db")) {
        Ok(_) => skip("this user may write what must not be written (root): see the test with a disk mounted read-only"),
        Err(error) => assert_not_writable(&error),
    }
}

fn assert_not_writable(error: &StoreError) {
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error:?}");
    let fault = fault_of(error);
    assert_eq!((fault.kind, fault.endpoint), (FaultKind::PermissionDenied, Endpoint::Store));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_disk_that_is_mounted_read_only_neither_a_store_nor_a_new_one_can_be_opened() {
    let Some(disk) = SmallDisk::mount("disk-read-only", "4m") else { return skip("this process must not mount a disk") };
    let folder = &disk.0;
    drop(open(folder.path("state.db")));
    assert!(run(Command::new("mount").args(["-o", "remount,ro"]).arg::<&Path>(folder.as_ref())));
    assert_not_writable(&refused(folder.path("state.db")));
    assert_not_writable(&refused(folder.path("new.db")));
    assert_not_writable(&refused(folder.path("folder/new.db")));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_full_disk_what_was_saved_stays_readable_and_with_room_writing_works_again() {
    for (size, ballast) in [("6m", 3 << 20), ("48m", 12 << 20)] {
        let Some(disk) = SmallDisk::mount("full", size) else { return skip("this process must not mount a disk") };
        on_a_full_disk(&disk.0, ballast).await;
    }
}

#[cfg(target_os = "linux")]
async fn on_a_full_disk(folder: &Folder, room: usize) {
    let ballast = folder.path("ballast");
    fs::write(&ballast, vec![0; room]).unwrap();
    let store = open(folder.path("state.db"));
    fill_and_recover(&store).await;
    fs::remove_file(&ballast).unwrap();
    // Still too large: it fails alone in its group.
    let keys: Vec<_> = (0..10).map(|number| format!("small/{number}")).collect();
    let small = futures_util::future::join_all(keys.iter().map(|key| store.put(key, "1".into(), TEXT)));
    let (large, small) = tokio::join!(store.put("too-large", vec![3; room * 3 / 2].into(), TEXT), small);
    assert!(matches!(large, Err(StoreError::Full { .. })), "{large:?}");
    assert!(small.iter().all(Result::is_ok), "{small:?}");
    let version = store.put("afterwards", vec![4; 100_000].into(), TEXT).await.unwrap();
    assert_eq!(store.get("afterwards").await.unwrap().unwrap().version, version);
    drop(store);
    let store = open(folder.path("state.db"));
    assert_eq!(text(&store, "first").await.as_deref(), Some("1"));
    assert_eq!(store.get("afterwards").await.unwrap().unwrap().version, version);
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_cannot_be_made_on_a_full_disk_and_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount("full-from-the-beginning", "4k") else { return skip("this process must not mount a disk") };
    let error = refused(disk.0.path("state.db"));
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(fs::read_dir(&disk.0).unwrap().count(), 0);
}
