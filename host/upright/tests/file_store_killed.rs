//! A process killed while saving loses nothing that it reported as saved.
//!
//! Starts this test program twice on one file. SIGKILL ends one process at a random moment, hundreds of times, also
//! while it creates the file; the other goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(all(unix, feature = "sqlite"))]

mod scratch;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use scratch::Folder;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use upright::store::{FileStore, Store};

const FILE: &str = "UPRIGHT_TEST_STORE_OF_THE_KILLED";
const BEGIN: &str = "UPRIGHT_TEST_NUMBERS_OF_THE_KILLED";
const FIRST: &str = "UPRIGHT_TEST_FIRST_WRITER_OF_THE_KILLED";
const WRITERS: usize = 4;
const PROCESSES: usize = 2;
const OWN: usize = WRITERS / PROCESSES;
const KEYS: u64 = 50;
const KILLS: usize = 500;
const OF_ONE_FILE: usize = 25;

fn key(writer: usize, number: u64) -> String {
    format!("{writer}/{:02}", number % KEYS)
}

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

#[test]
fn the_process_that_is_killed() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let begin: Vec<u64> = std::env::var(BEGIN).unwrap().split(',').map(|number| number.parse().unwrap()).collect();
    let first: usize = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = FileStore::open(path).unwrap();
    std::thread::scope(|scope| {
        for (writer, begin) in (first..).zip(begin) {
            let store = &store;
            scope.spawn(move || {
                for number in begin.. {
                    let key = key(writer, number);
                    let version = match value(writer, number) {
                        Some(value) => runtime().block_on(store.put(&key, value.into(), "text/plain")).unwrap(),
                        None => u64::from(runtime().block_on(store.delete(&key)).unwrap()),
                    };
                    // One write, so that threads' lines do not mix; `print!` may be caught by libtest.
                    std::io::stdout().write_all(format!("\nsaved {writer} {number} {version}\n").as_bytes()).unwrap();
                }
            });
        }
    });
}

#[derive(Default)]
struct Known {
    done: HashMap<String, u64>,
    next: [u64; WRITERS],
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
    slowest_opening: Duration,
    drafts_left: usize,
}

struct Saving {
    process: Child,
    lines: Receiver<String>,

    first_version: u64,
}

impl Saving {
    fn start(path: &Path, number: usize, known: &Known) -> Self {
        let first_writer = number * OWN;
        let begin = known.next[first_writer..first_writer + OWN].iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_is_killed", "--nocapture"])
            .env(FILE, path)
            .env(FIRST, first_writer.to_string())
            .env(BEGIN, begin)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (hear, lines) = channel();
        // A thread, so that no process waits for the reader.
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| hear.send(line)));
        Self { process, lines, first_version: known.last_version }
    }

    fn kill(mut self, answers: usize, moment: u32, known: &mut Known, counts: &mut Counts) {
        let mut heard = 0;
        while heard < answers {
            heard += self.note(&self.lines.recv().expect("the process ended by itself"), known);
        }
        for _ in 0..moment {
            std::thread::yield_now();
        }
        self.process.kill().unwrap();
        while let Ok(line) = self.lines.recv() {
            heard += self.note(&line, known);
        }
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
        counts.kills += 1;
        counts.answered += heard;
        counts.before_any_answer += usize::from(heard == 0);
    }

    fn note(&self, line: &str, known: &mut Known) -> usize {
        let Some(rest) = line.strip_prefix("saved ") else { return 0 };
        let numbers: Vec<u64> = rest.split(' ').map(|number| number.parse().unwrap()).collect();
        let (writer, number, version) = (numbers[0] as usize, numbers[1], numbers[2]);
        assert_eq!(known.next[writer], number, "answers of a writer come in order");
        known.done.insert(key(writer, number), number);
        known.next[writer] = number + 1;
        if number % 17 != 0 {
            let first = self.first_version;
            assert!(version > first && known.versions.insert(version), "version {version} was given again, after {first}");
            known.last_version = known.last_version.max(version);
        }
        1
    }
}

async fn compare(path: &Path, first_writer: usize, known: &mut Known, counts: &mut Counts) {
    if !path.exists() {
        assert!(known.done.is_empty(), "the file is gone");
        return;
    }
    let began = Instant::now();
    let store = FileStore::open(path).unwrap();
    counts.slowest_opening = counts.slowest_opening.max(began.elapsed());
    for writer in first_writer..first_writer + OWN {
        let listed: BTreeMap<_, _> =
            store.list(&format!("{writer}/")).await.unwrap().into_iter().map(|listed| (listed.key, listed.version)).collect();
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
            // A write in progress may have been saved, but nothing older or partial.
            assert!(self::key(writer, under_way) == key && is(under_way), "{key}: {answered:?} was answered, {found:?} is there");
            counts.made_it_unanswered += 1;
            known.done.insert(key, under_way);
        }
        known.last_version = known.last_version.max(listed.values().copied().max().unwrap_or_default());
    }
}

#[test]
fn of_two_processes_that_save_and_are_killed_everything_that_was_answered_is_there_and_whole() {
    let folder = Folder::new("killed");
    let seed = std::env::var("UPRIGHT_TEST_SEED").map_or(4711, |seed| seed.parse().unwrap());
    let mut random = SmallRng::seed_from_u64(seed);
    let mut counts = Counts::default();
    let runtime = runtime();
    for file in 0..KILLS / OF_ONE_FILE {
        let path = folder.0.join(format!("{file}/state.db"));
        let mut known = Known::default();
        let mut running: [_; PROCESSES] = [0, 1].map(|number| Some(Saving::start(&path, number, &known)));
        for round in 0..OF_ONE_FILE {
            let number = random.random_range(0..PROCESSES);
            let answers = if random.random_range(0..5) == 0 { 0 } else { random.random_range(1..60) };
            running[number].take().unwrap().kill(answers, random.random_range(0..3000), &mut known, &mut counts);
            // Now and then the next process finds the file as the kill has left it; the other goes on all the while.
            if random.random_range(0..4) > 0 {
                runtime.block_on(compare(&path, number * OWN, &mut known, &mut counts));
            }
            if round + PROCESSES < OF_ONE_FILE {
                running[number] = Some(Saving::start(&path, number, &known));
            } else if let Some(other) = running[1 - number].take() {
                other.kill(0, 0, &mut known, &mut counts);
                for number in 0..PROCESSES {
                    runtime.block_on(compare(&path, number * OWN, &mut known, &mut counts));
                }
                break;
            }
        }
    }
    let files = std::fs::read_dir(&folder.0).unwrap().flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    counts.drafts_left = files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains(".new-")).count();
    println!("seed {seed}: {counts:?}");
    assert!(counts.kills >= KILLS && counts.answered > KILLS && counts.values_compared > KILLS, "{counts:?}");
}
