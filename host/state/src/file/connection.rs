//! Opens, makes and upgrades the database.
//!
//! Only SQLite opens the file: closing any other descriptor drops the process's locks
//! (<https://www.sqlite.org/howtocorrupt.html>, 2.2).

use super::failure::{Case, Failure};
use super::place;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

/// "UPRT".
const APPLICATION: i32 = 0x5550_5254;

/// Upgrade steps; the first makes the tables. All run in one transaction.
const STEPS: &[&str] = &["
    CREATE TABLE entries(
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        type TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    CREATE TABLE changes(version INTEGER PRIMARY KEY, key TEXT NOT NULL, deleted INTEGER NOT NULL) STRICT;
"];

pub(super) const FORMAT: u32 = STEPS.len() as u32;

/// Maximum wait for another writer; a large group takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Maximum size of the log after a burst, bytes.
const LOG_KEPT: i64 = 16 << 20;
const SMALLEST_PAGE: u64 = 512;
/// Start of a redb file, the previous engine's.
const REDB: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const SQLITE: &[u8] = b"SQLite format 3\0";

pub(super) fn open_or_make(path: &Path) -> Result<Connection, Failure> {
    place::refuse_network_file_systems(path)?;
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            place::make(path, |draft| open(draft, STEPS).map(drop))?;
        }
        Ok(file) if file.is_dir() => return Err(Failure::new(Case::Unavailable, "it is a folder; expected a file")),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    open(path, STEPS)
}

fn open(path: &Path, steps: &[&str]) -> Result<Connection, Failure> {
    place::refuse_read_only(path)?;
    let mut connection = recognised(path, steps, false)?;
    upgrade(&mut connection, steps)?;
    journal(&connection)?;
    Ok(connection)
}

pub(super) fn of_existing(path: &Path) -> Result<Connection, Failure> {
    place::refuse_network_file_systems(path)?;
    open(path, STEPS)
}

pub(super) fn reader(path: &Path) -> Result<Connection, Failure> {
    let connection = connect(path)?;
    set(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Reads around damage, as of one moment.
pub(super) fn reader_of_damaged(path: &Path) -> Result<Connection, Failure> {
    let connection = recognised(path, STEPS, true)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.execute_batch("BEGIN")?;
    Ok(connection)
}

pub(super) fn strict_reader(path: &Path) -> Result<Connection, Failure> {
    recognised(path, STEPS, false)
}

fn connect(path: &Path) -> Result<Connection, Failure> {
    // Opening makes no file.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn set(connection: &Connection) -> Result<(), Failure> {
    // Reports damage where it is.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS `fsync` alone does not reach the disk.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    Ok(connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?)
}

/// Accepts a store or an empty file. Leaves others unchanged: closing does not write their log back.
fn recognised(path: &Path, steps: &[&str], damaged: bool) -> Result<Connection, Failure> {
    let length = fs::metadata(path)?.len();
    // SQLite treats it as empty.
    if (1..SMALLEST_PAGE).contains(&length) {
        return Err(Failure::new(Case::NotAStore, format!("a file of {length} bytes")));
    }
    let connection = connect(path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Otherwise SQLite reads no page of a truncated file.
    connection.pragma_update(None, "writable_schema", damaged)?;
    if let Err(failure) = recognise(&connection, steps) {
        drop(connection);
        return Err(if failure.case == Case::NotADatabase { by_its_beginning(path) } else { failure });
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, damaged)?;
    set(&connection)?;
    Ok(connection)
}

fn recognise(connection: &Connection, steps: &[&str]) -> Result<(), Failure> {
    // One transaction: another process may be making the store.
    let connection = &*connection.unchecked_transaction()?;
    let application: i32 = pragma(connection, "application_id")?;
    let is_empty = is_empty(connection)?;
    if application == APPLICATION && !is_empty && format(connection, steps)? == 0 {
        return Err(Failure::new(Case::Damaged, "it has tables, and no format"));
    }
    if application != APPLICATION && !is_empty {
        let found = format!("a database of SQLite with the application id {application:#010x}; expected {APPLICATION:#010x}");
        return Err(Failure::new(Case::NotAStore, found));
    }
    format(connection, steps).map(drop)
}

/// This process has no lock on the file that closing could drop.
fn by_its_beginning(path: &Path) -> Failure {
    let mut beginning = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut beginning));
    match read {
        Err(error) => error.into(),
        Ok(_) if beginning.starts_with(REDB) => Failure::new(Case::OldFormat, ""),
        Ok(_) if beginning.starts_with(SQLITE) => Failure::new(Case::Damaged, "its first page makes no sense"),
        Ok(_) => Failure::new(Case::NotAStore, "no database of SQLite"),
    }
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<T, Failure> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

fn is_empty(connection: &Connection) -> Result<bool, Failure> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0 && pragma::<i32>(connection, "user_version")? == 0)
}

/// 0 before the database is made. Fails with [`Case::Newer`] if unknown.
fn format(connection: &Connection, steps: &[&str]) -> Result<usize, Failure> {
    let found: i32 = pragma(connection, "user_version")?;
    match usize::try_from(found) {
        Ok(format) if format <= steps.len() => Ok(format),
        _ => Err(Failure::new(Case::Newer { found: found as u32, known: steps.len() as u32 }, "")),
    }
}

/// Fails if another process has upgraded the store.
pub(super) fn still_known(connection: &Connection) -> Result<(), Failure> {
    let found: i32 = connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))?;
    if found == FORMAT as i32 { Ok(()) } else { Err(Failure::new(Case::Newer { found: found as u32, known: FORMAT }, "")) }
}

fn upgrade(connection: &mut Connection, steps: &[&str]) -> Result<(), Failure> {
    if format(connection, steps)? == steps.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = format(&transaction, steps)?;
    for step in &steps[from..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    Ok(transaction.commit()?)
}

fn journal(connection: &Connection) -> Result<(), Failure> {
    /// Maximum number of attempts.
    const TRIES: usize = 100;
    let mut switched = Ok(String::new());
    for _ in 0..TRIES {
        switched = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match &switched {
            // Only a transaction waits for other processes.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN IMMEDIATE; COMMIT")?
            }
            _ => break,
        }
    }
    match switched?.as_str() {
        "wal" => Ok(()),
        mode => Err(Failure::new(Case::Unavailable, format!("SQLite keeps the journal mode {mode} here; expected wal"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upright_test_kit::folder::Folder;

    const LATER: &[&str] = &[STEPS[0], "ALTER TABLE changes ADD COLUMN program TEXT NOT NULL DEFAULT '';"];

    fn file(folder: &Folder) -> std::path::PathBuf {
        let path = folder.path("state.db");
        let connection = open_or_make(&path).unwrap();
        connection.execute("INSERT INTO changes VALUES(1, 'a', 0)", []).unwrap();
        path
    }

    fn formats(path: &Path) -> (i32, i64) {
        let connection = Connection::open(path).unwrap();
        let columns = "SELECT count(*) FROM pragma_table_info('changes')";
        (pragma(&connection, "user_version").unwrap(), connection.query_row(columns, [], |row| row.get(0)).unwrap())
    }

    #[test]
    fn a_store_of_an_older_format_is_upgraded_in_one_transaction_and_keeps_what_it_has() {
        let folder = Folder::new("older");
        let path = file(&folder);
        let before = formats(&path);
        assert_eq!(before, (1, 3));
        let broken = [LATER, &["ALTER TABLE none ADD COLUMN x;"]].concat();
        assert!(open(&path, &broken).is_err());
        assert_eq!(formats(&path), before);
        let upgraded: String = open(&path, LATER).unwrap().query_row("SELECT key || program FROM changes", [], |row| row.get(0)).unwrap();
        assert_eq!((upgraded.as_str(), formats(&path)), ("a", (2, 4)));
        let newer = open(&path, STEPS).unwrap_err();
        assert_eq!(newer.case, Case::Newer { found: 2, known: 1 });
    }

    #[test]
    fn of_several_that_upgrade_a_store_at_once_each_finds_it_upgraded() {
        let folder = Folder::new("older-together");
        let path = file(&folder);
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| open(&path, LATER).map(drop).unwrap()))));
        assert_eq!(formats(&path), (2, 4));
    }

    #[test]
    fn a_process_that_is_overtaken_by_a_newer_version_writes_nothing_more() {
        let folder = Folder::new("overtaken");
        let path = file(&folder);
        let connection = open_or_make(&path).unwrap();
        still_known(&connection).unwrap();
        open(&path, LATER).unwrap();
        assert_eq!(still_known(&connection).unwrap_err().case, Case::Newer { found: 2, known: 1 });
    }

    #[test]
    fn an_empty_file_becomes_a_store_whoever_else_opens_it_at_the_same_moment() {
        let folder = Folder::new("empty");
        for round in 0..20 {
            let path = folder.path(&round.to_string());
            fs::write(&path, "").unwrap();
            std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| open_or_make(&path).map(drop).unwrap()))));
            assert_eq!(formats(&path), (1, 3));
        }
    }
}
