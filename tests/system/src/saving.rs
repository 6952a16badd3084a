//! Saves and deletes until it is killed. Prints each write once the store has confirmed it.

use std::io::Write;
use tokio::runtime::{Builder, Runtime};
use upright::store::{FileStore, Store};

/// Number of keys of a writer.
pub const KEYS: u64 = 50;

/// Key of a writer's write of this number.
pub fn key(writer: usize, number: u64) -> String {
    format!("{writer}/{:02}", number % KEYS)
}

/// Value of a writer's write of this number; `None` if it deletes the key.
pub fn value(writer: usize, number: u64) -> Option<Vec<u8>> {
    let length = match number % 17 {
        0 => return None,
        1 => 100_000,
        5 | 9 => 5_000,
        other => 20 + other as usize * 60,
    };
    let unit = format!("{writer}:{number};");
    Some(unit.bytes().cycle().take(length.max(unit.len())).collect())
}

/// A runtime without timers and sockets.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// Runs a thread for each writer, the first of this number. `begin` has the numbers of their first writes, separated by
/// commas. Prints lines `saved WRITER NUMBER VERSION`.
pub fn run(file: &str, first: &str, begin: &str) {
    let first: usize = first.parse().unwrap();
    let store = FileStore::open(file).unwrap();
    std::thread::scope(|scope| {
        for (writer, begin) in (first..).zip(begin.split(',')) {
            let store = &store;
            let begin: u64 = begin.parse().unwrap();
            scope.spawn(move || {
                for number in begin.. {
                    let key = key(writer, number);
                    let version = match value(writer, number) {
                        Some(value) => runtime().block_on(store.put(&key, value.into(), "text/plain")).unwrap(),
                        None => u64::from(runtime().block_on(store.delete(&key)).unwrap()),
                    };
                    // One write, so that threads' lines do not mix.
                    std::io::stdout().write_all(format!("saved {writer} {number} {version}\n").as_bytes()).unwrap();
                }
            });
        }
    });
}
