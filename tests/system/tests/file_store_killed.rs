//! A process killed while saving loses nothing that it reported as saved.
//!
//! Two programs save to one file. SIGKILL ends one of them at a random moment, hundreds of times, also while it creates
//! the file; the other goes on.
#![cfg(unix)]

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use upright::store::{FileStore, Store};
use upright_system_tests::saving::{KEYS, key, runtime, value};
use upright_test_kit::folder::Folder;

const WRITERS: usize = 4;
const PROCESSES: usize = 2;
const OWN: usize = WRITERS / PROCESSES;
/// `UPRIGHT_KILLS` sets another number; 500 take two minutes.
const KILLS: usize = 100;
const OF_ONE_FILE: usize = 25;

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
        let mut process = Command::new(env!("CARGO_BIN_EXE_store-program"))
            .arg("save")
            .arg(path)
            .args([first_writer.to_string(), begin])
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
            self.note(&self.lines.recv().expect("the process ended by itself"), known);
            heard += 1;
        }
        for _ in 0..moment {
            std::thread::yield_now();
        }
        self.process.kill().unwrap();
        while let Ok(line) = self.lines.recv() {
            self.note(&line, known);
            heard += 1;
        }
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
        counts.kills += 1;
        counts.answered += heard;
        counts.before_any_answer += usize::from(heard == 0);
    }

    fn note(&self, line: &str, known: &mut Known) {
        let numbers: Vec<u64> = line.strip_prefix("saved ").unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
        let (writer, number, version) = (numbers[0] as usize, numbers[1], numbers[2]);
        assert_eq!(known.next[writer], number, "answers of a writer come in order");
        known.done.insert(key(writer, number), number);
        known.next[writer] = number + 1;
        if number % 17 != 0 {
            let first = self.first_version;
            assert!(version > first && known.versions.insert(version), "version {version} was given again, after {first}");
            known.last_version = known.last_version.max(version);
        }
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
    let kills = std::env::var("UPRIGHT_KILLS").map_or(KILLS, |number| number.parse().unwrap());
    for file in 0..kills.div_ceil(OF_ONE_FILE) {
        let path = folder.path(&format!("{file}/state.db"));
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
    let files = std::fs::read_dir(&folder).unwrap().flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    counts.drafts_left = files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains(".new-")).count();
    println!("seed {seed}: {counts:?}");
    assert!(counts.kills >= kills && counts.answered > kills && counts.values_compared > kills, "{counts:?}");
}
