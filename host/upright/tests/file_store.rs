//! The store in a file from outside: what its folder, its disk and other processes do to it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "redb")]

use futures_util::FutureExt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use upright::checkpoints::Checkpoints;
use upright::clock::SystemClock;
use upright::fault::fault_of;
use upright::store::{FileStore, Store, StoreError};
use upright::types::{Endpoint, FaultKind};

const TEXT: &str = "text/plain";

/// A folder that goes with this, and what is mounted on it.
struct Folder {
    path: PathBuf,
    mounted: bool,
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("upright-file-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self { path, mounted: false }
    }

    /// A small disk; none where this process must not mount one.
    fn small_disk(name: &str, size: &str) -> Option<Self> {
        let mut folder = Self::new(name);
        folder.mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&folder.path));
        folder.mounted.then_some(folder)
    }

    fn file(&self) -> PathBuf {
        self.path.join("store.redb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.mounted {
            run(Command::new("umount").arg(&self.path));
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether the command could be run and succeeded.
fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Says that a test proves nothing here; not caught by libtest, so that it is seen.
fn skip(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

fn open(path: impl AsRef<Path>) -> FileStore {
    FileStore::open(path, SystemClock::shared()).unwrap()
}

fn refused(path: impl AsRef<Path>) -> StoreError {
    FileStore::open(path, SystemClock::shared()).map(drop).unwrap_err()
}

async fn text(store: &FileStore, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

#[tokio::test]
async fn a_store_that_is_opened_again_has_everything_and_its_versions_go_on() {
    let folder = Folder::new("again");
    let large = vec![7; 300_000];
    let store = open(folder.file());
    store.put("small", "1".into(), TEXT).await.unwrap();
    store.put("large", large.clone().into(), "application/octet-stream").await.unwrap();
    store.put("gone", "1".into(), TEXT).await.unwrap();
    store.delete("gone").await.unwrap();
    let (small, listed) = (store.get("small").await.unwrap(), store.list("").await.unwrap());
    drop(store);
    for _ in 0..3 {
        let store = open(folder.file());
        assert_eq!(store.get("small").await.unwrap(), small);
        assert!(store.get("large").await.unwrap().unwrap().value == large);
        assert_eq!(store.list("").await.unwrap(), listed);
        assert_eq!(store.get("gone").await.unwrap(), None);
    }
    let version = open(folder.file()).put("gone", "2".into(), TEXT).await.unwrap();
    assert_eq!(version, 5, "three writes and a deletion came before");
}

#[tokio::test]
async fn a_checkpoint_outlives_the_process_that_saved_it() {
    let folder = Folder::new("checkpoint");
    let checkpoints = |store: FileStore| Checkpoints::new(Arc::new(store), SystemClock::shared());
    checkpoints(open(folder.file())).save("import", &1000).await.unwrap();
    assert_eq!(checkpoints(open(folder.file())).restore::<u32>("import").await.unwrap(), Some(1000));
}

#[test]
fn dropping_the_last_clone_waits_for_what_was_queued() {
    let folder = Folder::new("queued");
    let store = open(folder.file());
    let keys: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    let mut turn = std::task::Context::from_waker(std::task::Waker::noop());
    for key in &keys {
        // Queued, and then nobody waits for the answer.
        let _ = store.put(key, "1".into(), TEXT).as_mut().poll(&mut turn);
    }
    drop(store);
    let listed = open(folder.file()).list("").now_or_never().unwrap().unwrap();
    assert_eq!(listed.len(), keys.len());
}

#[tokio::test]
async fn more_writers_than_the_queue_has_room_for_all_get_their_answer() {
    let folder = Folder::new("many");
    let store = open(folder.file());
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
    let file = folder.path.join("a/b/store.redb");
    drop(open(&file));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&folder.path.join("a/b")), mode(&folder.path.join("a"))), (0o600, 0o700, 0o700));
    assert_eq!(fs::read_dir(folder.path.join("a/b")).unwrap().count(), 1, "nothing else is left there");
}

#[tokio::test]
async fn a_store_is_opened_once_in_a_process() {
    let folder = Folder::new("twice");
    let store = open(folder.file());
    let error = refused(folder.file());
    assert!(matches!(&error, StoreError::InUse { path } if *path == folder.file()), "{error}");
    drop(store.clone());
    assert!(matches!(refused(folder.file()), StoreError::InUse { .. }), "a clone keeps it open");
    drop(store);
    open(folder.file());
}

const SECOND: &str = "UPRIGHT_TEST_SECOND_PROCESS";

/// The second process; as a test of its own it does nothing.
#[test]
fn the_second_process() {
    let Some(path) = std::env::var_os(SECOND) else { return };
    std::process::exit(match FileStore::open(path, SystemClock::shared()) {
        Err(StoreError::InUse { .. }) => 42,
        Ok(_) => 43,
        Err(_) => 44,
    });
}

#[tokio::test]
async fn a_second_process_is_told_that_the_store_is_in_use_and_can_have_it_afterwards() {
    let folder = Folder::new("second");
    let second = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_second_process"]).env(SECOND, folder.file()).stdout(Stdio::null());
        command.status().unwrap().code()
    };
    let store = open(folder.file());
    store.put("a", "1".into(), TEXT).await.unwrap();
    assert_eq!(second(), Some(42));
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"), "the first one is not disturbed");
    store.put("a", "2".into(), TEXT).await.unwrap();
    drop(store);
    assert_eq!(second(), Some(43));
}

#[tokio::test]
async fn two_who_make_the_same_store_at_once_end_up_with_one() {
    let folder = Folder::new("both");
    for round in 0..20 {
        let path = folder.path.join(format!("{round}/store.redb"));
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| FileStore::open(&path, SystemClock::shared()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (stores, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        assert!(refused.iter().all(|error| matches!(error, Err(StoreError::InUse { .. }))), "{refused:?}");
        assert!(!stores.is_empty() && stores.len() + refused.len() == 2);
    }
}

#[test]
fn what_is_no_store_is_refused_and_left_as_it_is() {
    let folder = Folder::new("other");
    let foreign = folder.path.join("foreign.redb");
    let database = redb::Database::create(&foreign).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    writing.commit().unwrap();
    drop(database);
    let text = folder.path.join("notes.txt");
    fs::write(&text, "not a store. ".repeat(1000)).unwrap();
    let short = folder.path.join("short");
    fs::write(&short, "x").unwrap();
    for path in [text, short, foreign] {
        let before = fs::read(&path).unwrap();
        let error = refused(&path);
        assert!(matches!(&error, StoreError::Damaged { path: told, .. } if *told == path), "{error:?}");
        assert!(error.to_string().contains("move it away"), "{error}");
        let fault = fault_of(&error);
        assert_eq!((fault.kind, fault.endpoint), (FaultKind::InvalidAnswer, Endpoint::Store));
        assert!(fs::read(&path).unwrap() == before, "{}", path.display());
    }
    let error = refused(&folder.path);
    assert!(matches!(error, StoreError::Unavailable { .. }), "a folder is no file: {error:?}");
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_refused_with_both_numbers() {
    const ABOUT: redb::TableDefinition<'_, u8, &[u8]> = redb::TableDefinition::new("about");
    let folder = Folder::new("newer");
    drop(open(folder.file()));
    let database = redb::Database::open(folder.file()).unwrap();
    let writing = database.begin_write().unwrap();
    {
        let mut newer = [3_u32.to_le_bytes().as_slice(), &9_u64.to_le_bytes(), b"and more"].concat();
        newer.extend(crc32fast::hash(&newer).to_le_bytes());
        writing.open_table(ABOUT).unwrap().insert(0, &newer[..]).unwrap();
    }
    writing.commit().unwrap();
    drop(database);
    let error = refused(folder.file());
    assert!(matches!(error, StoreError::Newer { found: 3, known: 2, .. }), "{error:?}");
}

#[cfg(unix)]
#[test]
fn a_file_that_must_not_be_written_is_told_as_such() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("file-read-only");
    drop(open(folder.file()));
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o400)).unwrap();
    match FileStore::open(folder.file(), SystemClock::shared()) {
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
    let Some(folder) = Folder::small_disk("disk-read-only", "4m") else { return skip("this process must not mount a disk") };
    drop(open(folder.file()));
    assert!(run(Command::new("mount").args(["-o", "remount,ro"]).arg(&folder.path)));
    assert_not_writable(&refused(folder.file()));
    assert_not_writable(&refused(folder.path.join("new.redb")));
    assert_not_writable(&refused(folder.path.join("folder/new.redb")));
}

/// Writes until there is no room, then holds the store to its promises.
async fn fill_and_recover(store: &FileStore) {
    let large = vec![1; 50_000];
    store.put("first", "1".into(), TEXT).await.unwrap();
    let mut saved = 0;
    let error = loop {
        match store.put(&format!("large/{saved}"), large.clone().into(), TEXT).await {
            Ok(_) => saved += 1,
            Err(error) => break error,
        }
        assert!(saved < 1000, "it is never full");
    };
    assert!(saved > 0);
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let fault = fault_of(&error);
    assert_eq!((fault.kind, fault.endpoint), (FaultKind::DiskFull, Endpoint::Store));

    // While it is full: reads go on, writes fail as such, and deleting what is there makes room.
    for round in 0..3 {
        assert_eq!(text(store, "first").await.as_deref(), Some("1"), "round {round}");
        for number in 0..saved {
            assert!(store.get(&format!("large/{number}")).await.unwrap().unwrap().value == large);
        }
        assert_eq!(store.get(&format!("large/{saved}")).await.unwrap(), None, "what failed is not there");
        assert_eq!(store.list("large/").await.unwrap().len(), saved);
        let error = store.put(&format!("large/{saved}"), vec![2; 4_000_000].into(), TEXT).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_full_disk_what_was_saved_stays_readable_and_with_room_writing_works_again() {
    // On the first there is no room for a log; on the second what is in it needs room as well.
    for (size, ballast, log) in [("6m", 3 << 20, false), ("48m", 12 << 20, true)] {
        let Some(folder) = Folder::small_disk("full", size) else { return skip("this process must not mount a disk") };
        on_a_full_disk(&folder, ballast, log).await;
    }
}

#[cfg(target_os = "linux")]
async fn on_a_full_disk(folder: &Folder, room: usize, log: bool) {
    let ballast = folder.path.join("ballast");
    fs::write(&ballast, vec![0; room]).unwrap();
    let store = open(folder.file());
    fill_and_recover(&store).await;
    assert_eq!(folder.path.join("store.redb-wal").exists(), log);
    fs::remove_file(&ballast).unwrap();
    // One that is too large even now, in a group with others: it alone fails.
    let keys: Vec<_> = (0..10).map(|number| format!("small/{number}")).collect();
    let small = futures_util::future::join_all(keys.iter().map(|key| store.put(key, "1".into(), TEXT)));
    let (large, small) = tokio::join!(store.put("too-large", vec![3; room * 3 / 2].into(), TEXT), small);
    assert!(matches!(large, Err(StoreError::Full { .. })), "{large:?}");
    assert!(small.iter().all(Result::is_ok), "{small:?}");
    let version = store.put("afterwards", vec![4; 100_000].into(), TEXT).await.unwrap();
    assert_eq!(store.get("afterwards").await.unwrap().unwrap().version, version);
    drop(store);
    assert!(!folder.path.join("store.redb-wal").exists());
    let store = open(folder.file());
    assert_eq!(text(&store, "first").await.as_deref(), Some("1"));
    assert_eq!(store.get("afterwards").await.unwrap().unwrap().version, version);
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_cannot_be_made_on_a_full_disk_and_leaves_nothing_behind() {
    let Some(folder) = Folder::small_disk("full-from-the-beginning", "4k") else { return skip("this process must not mount a disk") };
    let error = refused(folder.file());
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 0);
}

const LIMITED: &str = "UPRIGHT_TEST_LIMITED_FILE";

/// The process whose files may not grow; as a test of its own it does nothing.
#[tokio::test]
async fn the_process_with_a_limit() {
    let Some(path) = std::env::var_os(LIMITED) else { return };
    let store = open(PathBuf::from(path));
    fill_and_recover(&store).await;
    for number in 0..4 {
        assert!(store.delete(&format!("large/{number}")).await.unwrap());
    }
    store.put("afterwards", "1".into(), TEXT).await.unwrap();
    drop(store);
    std::process::exit(42);
}

/// The same without a disk of its own: the system refuses to let a file grow beyond a limit.
#[cfg(unix)]
#[tokio::test]
async fn under_a_limit_on_the_size_of_files_a_store_behaves_as_on_a_full_disk() {
    let folder = Folder::new("limit");
    // In blocks of 512 bytes; the signal that comes with the refusal would end the process.
    let shell = "trap '' XFSZ; ulimit -f 4000; exec \"$0\" --exact the_process_with_a_limit --nocapture";
    let mut command = Command::new("sh");
    command.arg("-c").arg(shell).arg(std::env::current_exe().unwrap()).env(LIMITED, folder.file());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(42), "{said}{}", String::from_utf8_lossy(&output.stdout));
    let store = open(folder.file());
    assert_eq!(text(&store, "afterwards").await.as_deref(), Some("1"));
    assert_eq!(text(&store, "first").await.as_deref(), Some("1"));
}
