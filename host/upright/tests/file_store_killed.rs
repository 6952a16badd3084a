//! A process that is killed while it saves loses nothing that it was told was saved.
//!
//! The process is this test program, started again: four threads save, and print what was answered. It is killed by SIGKILL at a random moment, hundreds of
//! times, over the same file and over new ones, also while it makes the file or repairs it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(all(unix, feature = "redb"))]

mod scratch;

use scratch::Folder;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use upright::clock::SystemClock;
use upright::store::{FileStore, Store};

const FILE: &str = "UPRIGHT_TEST_STORE_OF_THE_KILLED";
const BEGIN: &str = "UPRIGHT_TEST_NUMBERS_OF_THE_KILLED";
const WRITERS: usize = 4;
/// Keys of each writer.
const KEYS: u64 = 50;
const KILLS: usize = 500;
/// Kills after which a new file is taken.
const OF_ONE_FILE: usize = 25;

fn key(writer: usize, number: u64) -> String {
    format!("{writer}/{:02}", number % KEYS)
}

/// What a writer does with its number: some delete, and some values are large.
fn value(writer: usize, number: u64) -> Option<Vec<u8>> {
    let length = match number % 17 {
        0 => return None,
        1 => 100_000,
        5 | 9 => 5_000,
        other => 20 + other as usize * 60,
    };
    let unit = format!("{writer}:{number};");
    Some(unit.bytes().cycle().take(length.max(unit.len())).collect())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// The process that is killed; as a test of its own it does nothing.
#[test]
fn the_process_that_is_killed() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let begin: Vec<u64> = std::env::var(BEGIN).unwrap().split(',').map(|number| number.parse().unwrap()).collect();
    let store = FileStore::open(path, SystemClock::shared()).unwrap();
    std::thread::scope(|scope| {
        for (writer, begin) in begin.into_iter().enumerate() {
            let store = &store;
            scope.spawn(move || {
                for number in begin.. {
                    let key = key(writer, number);
                    let version = match value(writer, number) {
                        Some(value) => runtime().block_on(store.put(&key, value.into(), "text/plain")).unwrap(),
                        None => u64::from(runtime().block_on(store.delete(&key)).unwrap()),
                    };
                    // One write, so that lines of several threads do not mix; not by `print!`, which libtest may catch.
                    std::io::stdout().write_all(format!("\nsaved {writer} {number} {version}\n").as_bytes()).unwrap();
                }
            });
        }
    });
}

/// What is known of one file: what each writer did last with each key, and its next number.
#[derive(Default)]
struct Known {
    done: HashMap<String, u64>,
    next: [u64; WRITERS],
    /// All that were told.
    versions: HashSet<u64>,
    last_version: u64,
}

#[derive(Debug, Default)]
struct Counts {
    kills: usize,
    answered: usize,
    before_any_answer: usize,
    made_it_unanswered: usize,
    values_compared: usize,
    logs_taken_in: usize,
    drafts_left: usize,
}

/// Starts the process, kills it after so many answers and a moment more, and takes note of what it was told.
fn kill_once(path: &Path, known: &mut Known, answers: usize, moment: u32, counts: &mut Counts) {
    let begin = known.next.map(|number| number.to_string()).join(",");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(FILE, path)
        .env(BEGIN, begin)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut heard = 0;
    let first_version = known.last_version;
    let mut hear = |line: String| {
        let Some(rest) = line.strip_prefix("saved ") else { return 0 };
        let numbers: Vec<u64> = rest.split(' ').map(|number| number.parse().unwrap()).collect();
        let (writer, number, version) = (numbers[0] as usize, numbers[1], numbers[2]);
        assert_eq!(known.next[writer], number, "answers of a writer come in order");
        known.done.insert(key(writer, number), number);
        known.next[writer] = number + 1;
        if number % 17 != 0 {
            assert!(version > first_version && known.versions.insert(version), "version {version} was given again, after {first_version}");
            known.last_version = known.last_version.max(version);
        }
        1
    };
    while heard < answers {
        heard += hear(lines.next().expect("the process ended by itself").unwrap());
    }
    for _ in 0..moment {
        std::thread::yield_now();
    }
    process.kill().unwrap();
    for line in lines {
        heard += hear(line.unwrap());
    }
    let status = process.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{status}");
    counts.kills += 1;
    counts.answered += heard;
    counts.before_any_answer += usize::from(heard == 0);
}

/// Holds what is in the file against what is known of it.
async fn compare(path: &Path, known: &mut Known, counts: &mut Counts) {
    if !path.exists() {
        assert!(known.done.is_empty(), "the file is gone");
        return;
    }
    counts.logs_taken_in += usize::from(PathBuf::from(format!("{}-wal", path.display())).exists());
    let store = FileStore::open(path, SystemClock::shared()).unwrap();
    let listed: BTreeMap<_, _> = store.list("").await.unwrap().into_iter().map(|listed| (listed.key, listed.version)).collect();
    for writer in 0..WRITERS {
        let under_way = known.next[writer];
        for number in 0..KEYS {
            let key = key(writer, number);
            let entry = store.get(&key).await.unwrap();
            assert_eq!(listed.get(&key).copied(), entry.as_ref().map(|entry| entry.version), "{key}");
            counts.values_compared += 1;
            let found = entry.map(|entry| entry.value);
            let is = |number: u64| found.as_deref() == value(writer, number).as_deref();
            let answered = known.done.get(&key).copied();
            if answered.map_or(found.is_none(), is) {
                continue;
            }
            // The one that was not answered may have been saved as well; but nothing older, nothing else and no part of anything.
            assert!(self::key(writer, under_way) == key && is(under_way), "{key}: {answered:?} was answered, {found:?} is there");
            counts.made_it_unanswered += 1;
            known.done.insert(key, under_way);
        }
    }
    known.last_version = known.last_version.max(listed.values().copied().max().unwrap_or_default());
}

#[test]
fn of_a_process_that_is_killed_everything_that_was_answered_is_there_and_whole() {
    let folder = Folder::new("killed");
    let seed = std::env::var("UPRIGHT_TEST_SEED").map_or(4711, |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut counts, mut known) = (Counts::default(), Known::default());
    let runtime = runtime();
    for round in 0..KILLS {
        let path = folder.0.join(format!("{}/store.redb", round / OF_ONE_FILE));
        if round % OF_ONE_FILE == 0 {
            known = Known::default();
        }
        let answers = if random.u8(..5) == 0 { 0 } else { random.usize(1..60) };
        kill_once(&path, &mut known, answers, random.u32(..3000), &mut counts);
        // Now and then the next process finds the file as the kill has left it.
        if random.u8(..4) > 0 || round % OF_ONE_FILE == OF_ONE_FILE - 1 {
            runtime.block_on(compare(&path, &mut known, &mut counts));
        }
    }
    let files = std::fs::read_dir(&folder.0).unwrap().flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    counts.drafts_left =
        files.filter(|file| file.as_ref().unwrap().path().extension().is_none_or(|name| name != "redb" && name != "redb-wal")).count();
    println!("seed {seed}: {counts:?}");
    assert_eq!(counts.kills, KILLS);
    assert!(counts.answered > KILLS && counts.values_compared > KILLS && counts.logs_taken_in > KILLS / 10, "{counts:?}");
}
