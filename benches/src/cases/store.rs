//! Cost of saving and restoring, beside SQLite on one disk (write-ahead log, `synchronous = FULL`, calling thread).

use crate::group::{Case, Group, Target, ready, succeeded};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context as Turn, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;
use upright::checkpoints::Checkpoints;
use upright::store::{FileStore, Store};

/// Short names of the groups.
pub const IDS: [&str; 4] = ["store", "store-contended", "store-read", "store-open"];

const SAVE: &str = "`FileStore::put`";
const CHECKPOINT: &str = "`Checkpoints::save`";
const INSERT: &str = "SQLite, insert or replace";

const GET: &str = "`FileStore::get`";
const ABSENT: &str = "`FileStore::get` of a key that is not there";
const RESTORE: &str = "`Checkpoints::restore`";
const SELECT: &str = "SQLite, select";
const SELECT_PARSED: &str = "SQLite, select and parse";

const OPEN: &str = "`FileStore::open` and `get`";
const OPEN_SQLITE: &str = "SQLite, open and select";

/// Entries of the opened store; fewer in tests.
const ENTRIES: usize = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
const KEYS: usize = 100;
const JSON: &str = "application/json";
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS entries(key TEXT PRIMARY KEY, value BLOB, type TEXT, version INTEGER, modified REAL) WITHOUT ROWID";
const PUT: &str = "INSERT INTO entries VALUES(?1, ?2, ?3, 1, unixepoch('subsec'))
    ON CONFLICT DO UPDATE SET value = excluded.value, type = excluded.type, version = version + 1, modified = excluded.modified";
const LOOK: &str = "SELECT value, type, version, modified FROM entries WHERE key = ?1";

/// A folder on the target folder's disk, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = crate::report::kept_in()?.join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Progress {
    current_row: u64,
    file_path: String,
    errors: Vec<String>,
    done: f64,
}

fn progress(row: u64) -> Progress {
    let errors = vec!["row 17: no date".into(), "row 4711: two dates".into()];
    Progress { current_row: row, file_path: "/data/imports/2026/customers-and-orders.csv".into(), errors, done: row as f64 / 1e6 }
}

fn json(row: u64) -> Result<Bytes> {
    Ok(serde_json::to_vec(&progress(row))?.into())
}

/// The groups, with files in this folder.
pub fn groups(folder: &Folder) -> Result<Vec<Group>> {
    Ok(vec![save(folder, 1)?, save(folder, 16)?, read(folder)?, open(folder)?])
}

fn save(folder: &Folder, threads: usize) -> Result<Group> {
    let contended = threads > 1;
    let store = FileStore::open(folder.file(&format!("save-{threads}.db")))?;
    let checkpoints = Checkpoints::new(Arc::new(store.clone()));
    let sqlite = folder.file(&format!("save-{threads}.sqlite"));
    // Stays open: the last close removes the log, and overwriting an old one is fastest.
    let kept = Arc::new(Mutex::new(connect(&sqlite)?));
    let put = move || {
        let (store, mut turn) = (store.clone(), Turns::new());
        move || {
            let (key, row) = turn.next();
            json(row).is_ok_and(|json| wait(store.put(&key, json, JSON)).is_ok())
        }
    };
    let save = move || {
        let (checkpoints, mut turn) = (checkpoints.clone(), Turns::new());
        move || {
            let (key, row) = turn.next();
            wait(checkpoints.at(key.as_str()).save(&progress(row))).is_ok()
        }
    };
    let insert = move || {
        let (connection, kept, mut turn) = (connect(&sqlite), Arc::clone(&kept), Turns::new());
        move || {
            let _ = &kept;
            let (key, row) = turn.next();
            connection.as_ref().is_ok_and(|connection| insert(connection, &key, row).is_ok())
        }
    };
    let right = |right: &bool| *right;
    let times_of_sqlite = |at_most| Target::TimesOf { case: SAVE, peer: INSERT, at_most };
    Ok(Group {
        id: if contended { IDS[1] } else { IDS[0] },
        title: if contended { "Saving, sixteen writers at once" } else { "Saving, one writer" },
        note: if contended {
            "The same by sixteen threads; each has its own connection to SQLite, which waits for the others. What a thread waits for one save."
        } else {
            "150 bytes of JSON, over a hundred keys in turn, on the disk when it is answered. SQLite with a write-ahead log and `synchronous = FULL`, statements \
             prepared, on the calling thread; without checksums, and without a record of changes for those who watch."
        },
        threads,
        reference: INSERT,
        cases: vec![Case::new(SAVE, put, right), Case::new(CHECKPOINT, save, right), Case::new(INSERT, insert, right)],
        targets: vec![times_of_sqlite(if contended { 1.0 / 3.0 } else { 1.1 })],
    })
}

fn read(folder: &Folder) -> Result<Group> {
    let store = FileStore::open(folder.file("read.db"))?;
    let sqlite = folder.file("read.sqlite");
    fill(&store, &sqlite, 10_000)?;
    let checkpoints = Checkpoints::new(Arc::new(store.clone()));
    let gets = |key: fn(usize) -> String| {
        let store = store.clone();
        move || {
            let (store, keys, mut next) = (store.clone(), (0..KEYS).map(|number| key(number * 97)).collect::<Vec<_>>(), 0);
            move || {
                next = (next + 1) % KEYS;
                ready(store.get(&keys[next]))
            }
        }
    };
    let restore = move || {
        let (checkpoints, keys, mut next) = (checkpoints.clone(), (0..KEYS).map(|number| name(number * 97)).collect::<Vec<_>>(), 0);
        move || {
            next = (next + 1) % KEYS;
            ready(checkpoints.at(keys[next].as_str()).restore::<Progress>())
        }
    };
    let selects = |parse: bool| {
        let sqlite = sqlite.clone();
        move || {
            let (connection, keys, mut next) = (connect(&sqlite), (0..KEYS).map(|number| stored(number * 97)).collect::<Vec<_>>(), 0);
            move || {
                next = (next + 1) % KEYS;
                let found = connection.as_ref().ok().and_then(|connection| select(connection, &keys[next]).ok().flatten());
                found.is_some_and(|value| !parse || serde_json::from_slice::<Progress>(&value).is_ok())
            }
        }
    };
    Ok(Group {
        id: IDS[2],
        title: "Restoring",
        note: "Of 10,000 entries of 150 bytes of JSON a hundred in turn, which are in memory by then. Each value is checked against its checksum, which SQLite does not do. \
               The select reads the same columns that make an entry.",
        threads: 1,
        reference: SELECT,
        cases: vec![
            Case::new(GET, gets(stored), |answer| matches!(answer, Poll::Ready(Ok(Some(_))))),
            Case::new(ABSENT, gets(|number| format!("{}-not", stored(number))), |answer| matches!(answer, Poll::Ready(Ok(None)))),
            Case::new(RESTORE, restore, |answer| succeeded(answer) && !matches!(answer, Poll::Ready(Ok(None)))),
            Case::new(SELECT, selects(false), |right: &bool| *right),
            Case::new(SELECT_PARSED, selects(true), |right: &bool| *right),
        ],
        targets: vec![Target::Nanoseconds { case: GET, at_most: 8e3 }, Target::Nanoseconds { case: RESTORE, at_most: 8e3 }],
    })
}

fn open(folder: &Folder) -> Result<Group> {
    let (path, sqlite) = (folder.file("open.db"), folder.file("open.sqlite"));
    let filled = Arc::new(OnceLock::new());
    let fill = move |path: &Path, sqlite: &Path| -> bool {
        *filled.get_or_init(|| FileStore::open(path).is_ok_and(|store| self::fill(&store, sqlite, ENTRIES).is_ok()))
    };
    let (ours, theirs) = ((path.clone(), sqlite.clone(), fill.clone()), (path, sqlite, fill));
    let last = stored(ENTRIES - 1);
    let of_ours = last.clone();
    let open = move || {
        let (path, sqlite, fill) = ours.clone();
        let (key, filled) = (of_ours.clone(), fill(&path, &sqlite));
        move || filled && FileStore::open(&path).is_ok_and(|store| matches!(ready(store.get(&key)), Poll::Ready(Ok(Some(_)))))
    };
    let connect = move || {
        let (path, sqlite, fill) = theirs.clone();
        let (key, filled) = (last.clone(), fill(&path, &sqlite));
        move || filled && connect(&sqlite).is_ok_and(|connection| select(&connection, &key).is_ok_and(|found| found.is_some()))
    };
    Ok(Group {
        id: IDS[3],
        title: "Opening a store of a million entries",
        note: "Opened after a clean end, read once and closed again.",
        threads: 1,
        reference: OPEN_SQLITE,
        cases: vec![Case::new(OPEN, open, |right: &bool| *right), Case::new(OPEN_SQLITE, connect, |right: &bool| *right)],
        targets: vec![Target::Nanoseconds { case: OPEN, at_most: 100e6 }],
    })
}

struct Turns {
    writer: usize,
    row: u64,
}

impl Turns {
    fn new() -> Self {
        static WRITERS: AtomicUsize = AtomicUsize::new(0);
        Self { writer: WRITERS.fetch_add(1, Ordering::Relaxed) % 16, row: 0 }
    }

    fn next(&mut self) -> (String, u64) {
        self.row += 1;
        (format!("import/{}/{}", self.writer, self.row % KEYS as u64), self.row)
    }
}

fn name(number: usize) -> String {
    format!("import/{number}")
}

fn stored(number: usize) -> String {
    format!("checkpoint/{}", name(number))
}

fn fill(store: &FileStore, sqlite: &Path, count: usize) -> Result<()> {
    let numbers: Vec<_> = (0..count).collect();
    for chunk in numbers.chunks(1000) {
        let puts = chunk.iter().map(|number| async move { anyhow::Ok(store.put(&stored(*number), json(*number as u64)?, JSON).await?) });
        wait(try_join_all(puts))?;
    }
    let mut connection = connect(sqlite)?;
    for chunk in numbers.chunks(100_000) {
        let transaction = connection.transaction()?;
        chunk.iter().try_for_each(|number| insert(&transaction, &stored(*number), *number as u64))?;
        transaction.commit()?;
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    ensure!(mode == "wal", "SQLite has the journal mode {mode}");
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute(TABLE, []).context("the table cannot be made")?;
    Ok(connection)
}

fn insert(connection: &Connection, key: &str, row: u64) -> Result<()> {
    let changed = connection.prepare_cached(PUT)?.execute((key, &json(row)?[..], JSON))?;
    ensure!(changed == 1, "{changed} rows were changed");
    Ok(())
}

fn select(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>> {
    let mut select = connection.prepare_cached(LOOK)?;
    let found = select.query_row([key], |row| {
        let rest: (String, i64, f64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        std::hint::black_box(&rest);
        row.get(0)
    });
    Ok(found.optional()?)
}

fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Turn::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}
