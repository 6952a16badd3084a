use super::*;
use futures_util::StreamExt;
use std::sync::atomic::Ordering;
use upright_core::store::{Change, ChangeKind};
use upright_test_kit::folder::Folder;

struct InFolder(FileStore, #[allow(dead_code, reason = "it goes after the store")] Folder);

fn open(clock: SharedClock) -> InFolder {
    let folder = Folder::new("suite");
    InFolder(FileStore::open_with_clock(folder.path("state.db"), clock).unwrap(), folder)
}

impl Store for InFolder {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        self.0.get(key)
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        self.0.put(key, value, content_type)
    }

    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        self.0.compare_and_set(key, expected, value, content_type)
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        self.0.delete(key)
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool> {
        self.0.compare_and_delete(key, expected)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>> {
        self.0.list(prefix)
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes> {
        self.0.watch(prefix)
    }
}

upright_core::store_suite!(async |clock| open(clock));

fn two(folder: &Folder) -> [FileStore; 2] {
    let path = folder.path("state.db");
    [(); 2].map(|()| FileStore::open(&path).unwrap())
}

async fn next(changes: &mut Changes) -> (String, u64, ChangeKind) {
    let Change { key, version, kind } = changes.next().await.unwrap().unwrap();
    (key, version, kind)
}

#[tokio::test]
async fn a_watcher_sees_what_another_store_on_the_file_writes_in_the_order_of_the_versions() {
    let folder = Folder::new("watched");
    let [ours, theirs] = two(&folder);
    theirs.put("a", "0".into(), "").await.unwrap();
    let mut changes = ours.watch("a").await.unwrap();
    for round in 0..100 {
        let first = theirs.put("a", "1".into(), "").await.unwrap();
        let second = ours.put("a/b", "2".into(), "").await.unwrap();
        theirs.put("other", "3".into(), "").await.unwrap();
        assert!(theirs.delete("a").await.unwrap());
        assert_eq!(next(&mut changes).await, ("a".to_owned(), first, ChangeKind::Put), "round {round}");
        assert_eq!(next(&mut changes).await, ("a/b".to_owned(), second, ChangeKind::Put), "round {round}");
        assert_eq!(next(&mut changes).await, ("a".to_owned(), second + 2, ChangeKind::Deleted), "round {round}");
    }
}

#[tokio::test]
async fn a_watcher_is_woken_though_the_bell_was_removed() {
    let folder = Folder::new("bell");
    let [ours, theirs] = two(&folder);
    let mut changes = ours.watch("").await.unwrap();
    for round in 0..20 {
        // A change may be seen before the bell is rung and made again: the removal itself makes the watcher look.
        if let Err(error) = std::fs::remove_file(folder.path("state.db-bell")) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "round {round}");
        }
        let version = theirs.put("a", "1".into(), "").await.unwrap();
        assert_eq!(next(&mut changes).await.1, version, "round {round}");
    }
}

#[tokio::test]
async fn a_watcher_of_whom_more_was_written_than_is_kept_learns_how_much_it_missed() {
    let folder = Folder::new("missed");
    let [ours, theirs] = two(&folder);
    let mut changes = ours.watch("").await.unwrap();
    // Rings no bell.
    let connection = connection::open_or_make(theirs.path()).unwrap();
    let announced = 1;
    connection.execute("INSERT INTO changes VALUES(?1, 'a', 0)", [announced + 10]).unwrap();
    drop(connection);
    let version = ours.put("b", "1".into(), "").await.unwrap();
    assert!(matches!(changes.next().await, Some(Err(StoreError::ChangesMissed { count: 10 }))));
    assert_eq!(next(&mut changes).await, ("a".to_owned(), 11, ChangeKind::Put));
    assert_eq!(next(&mut changes).await, ("b".to_owned(), version, ChangeKind::Put));
}

#[tokio::test]
async fn the_table_of_changes_does_not_grow_without_an_end_and_versions_go_on() {
    let folder = Folder::new("bounded");
    let [ours, theirs] = two(&folder);
    let writes = 6 * entries::KEPT_CHANGES / 4;
    for stores in [[&ours, &theirs], [&theirs, &ours]] {
        let puts = (0..writes / 2).map(|number| stores[number as usize % 2].put("a", "1".into(), ""));
        futures_util::future::try_join_all(puts).await.unwrap();
    }
    let rows =
        |connection: &rusqlite::Connection| Ok(connection.query_row("SELECT count(*) FROM changes", [], |row| row.get::<_, i64>(0))?);
    let kept = ours.read(rows).unwrap() as u64;
    assert!((entries::KEPT_CHANGES..writes).contains(&kept), "{kept}");
    assert_eq!(theirs.put("a", "1".into(), "").await.unwrap(), writes + 1);
}

#[tokio::test]
async fn a_row_whose_version_or_type_was_changed_by_hand_is_corrupt_in_a_listing_too() {
    for change in ["version = version + 7", "modified = modified + 1", "type = 'other'", "key = 'b'"] {
        let folder = Folder::new("row");
        let [ours, _] = two(&folder);
        ours.put("a", "1".into(), "text/plain").await.unwrap();
        let connection = connection::open_or_make(ours.path()).unwrap();
        connection.execute(&format!("UPDATE entries SET {change}"), []).unwrap();
        let listed = ours.list("").await.unwrap_err();
        assert!(matches!(listed, StoreError::Corrupt { .. }), "{change}: {listed}");
        let wrong = StoreFile::at(ours.path()).check().unwrap();
        assert_eq!(wrong.len(), 1, "{change}: {wrong:?}");
    }
}

#[test]
fn a_check_finds_nothing_wrong_while_others_write_and_remove() {
    let folder = Folder::new("checked");
    let [ours, theirs] = two(&folder);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                for number in (0_u64..).take_while(|_| !done.load(Ordering::Relaxed)) {
                    let keys: Vec<_> = (0..50).map(|key| (number * 7 + key) % 200).map(|key| key.to_string()).collect();
                    futures_util::future::join_all(keys.iter().map(|key| theirs.put(key, "1".into(), ""))).await;
                    futures_util::future::join_all(keys.iter().step_by(3).map(|key| theirs.delete(key))).await;
                }
            });
        });
        for _ in 0..100 {
            let wrong = StoreFile::at(ours.path()).check();
            if !wrong.as_ref().is_ok_and(Vec::is_empty) {
                done.store(true, Ordering::Relaxed);
                panic!("{wrong:?}");
            }
        }
        done.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    });
}
