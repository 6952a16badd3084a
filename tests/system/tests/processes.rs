//! Programs on one file know of each other and lose nothing.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use upright::policy::PolicyLoader;
use upright::store::{FileStore, Store};
use upright_operations::PolicyFleet;
use upright_operations::fleet::PublishOptions;
use upright_system_tests::obeying::{TIMEOUT, manager};
use upright_test_kit::folder::Folder;

const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");

struct Programs {
    running: Vec<(Child, ChildStdin)>,
    answers: Receiver<(usize, String)>,
}

impl Programs {
    fn start(count: usize, state: &Path) -> Self {
        let (sender, answers) = channel();
        let start = |number: usize| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_store-program"));
            command.arg("obey").arg(state);
            let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
            let sender = sender.clone();
            std::thread::spawn(move || {
                output.lines().map_while(Result::ok).for_each(|answer| drop(sender.send((number, answer))));
            });
            (process, input)
        };
        let programs = Self { running: (0..count).map(start).collect(), answers };
        programs.all_answer("ready");
        programs
    }

    fn tell(&mut self, number: usize, line: &str) {
        writeln!(self.running[number].1, "{line}").unwrap();
    }

    fn next(&self) -> (usize, String) {
        self.answers.recv_timeout(Duration::from_secs(120)).expect("a program answers within two minutes")
    }

    fn all_answer(&self, expected: &str) {
        for _ in 0..self.running.len() {
            assert_eq!(self.next().1, expected);
        }
    }

    fn all(&mut self, line: &str, expected: &str) {
        (0..self.running.len()).for_each(|number| self.tell(number, line));
        self.all_answer(expected);
    }

    fn ask(&mut self, number: usize, line: &str, expected: &str) {
        self.tell(number, line);
        assert_eq!(self.next(), (number, expected.to_owned()));
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for (process, _) in &mut self.running {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[test]
fn eight_programs_on_one_file_count_to_ten_thousand_together_and_lose_nothing() {
    let folder = Folder::new("counting");
    let path = folder.path("state.db");
    let mut programs = Programs::start(8, &path);
    let began = Instant::now();
    programs.all("count 1250", "counted");
    println!("10,000 increments by eight programs in {:?}", began.elapsed());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(manager(&path).restore_checkpoint::<u64>("counter")).unwrap(), Some(10_000));
}

#[test]
fn a_breaker_that_one_program_opens_rejects_in_the_others() {
    let folder = Folder::new("opening");
    let mut programs = Programs::start(2, &folder.path("state.db"));
    let mut took = Vec::new();
    for _ in 0..20 {
        programs.tell(1, "until open");
        let began = Instant::now();
        programs.tell(0, "fail");
        programs.all_answer("open");
        took.push(began.elapsed());
        programs.ask(0, "reset", "closed");
        programs.ask(1, "until closed", "closed");
    }
    took.sort_unstable();
    println!("known to the other after {:?}, at most {:?}", took[took.len() / 2], took[took.len() - 1]);
}

async fn let_its_timeout_pass(store: &FileStore) {
    const KEY: &str = "breaker/ollama";
    let entry = store.get(KEY).await.unwrap().unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
    let since = record["state"]["since"].as_u64().unwrap();
    record["state"]["since"] = since.saturating_sub(TIMEOUT * 1_000_000_000).into();
    record["moved_at"] = (record["moved_at"].as_u64().unwrap() + 1).into();
    store.compare_and_set(KEY, Some(entry.version), record.to_string().into(), "application/json").await.unwrap();
}

#[tokio::test]
async fn of_twelve_programs_one_probes_a_half_open_breaker_and_the_others_are_rejected_until_it_has_ended() {
    const COUNT: usize = 12;
    let folder = Folder::new("probing");
    let path = folder.path("state.db");
    let mut programs = Programs::start(COUNT, &path);
    let store = FileStore::open(&path).unwrap();
    programs.ask(0, "fail", "open");
    programs.all("until open", "open");
    (0..COUNT).for_each(|number| programs.tell(number, "probe"));
    let mut met = vec![String::new(); COUNT];
    let mut until = |programs: &Programs, what: &str, count: usize| {
        while met.iter().filter(|met| *met == what).count() < count {
            let (number, answer) = programs.next();
            met[number] = answer;
            assert!(met.iter().filter(|met| *met == "probing").count() <= 1, "{met:?}");
        }
        met.iter().position(|met| met == "probing")
    };
    for outcome in ["badly", "badly", "badly", "well"] {
        until(&programs, "open", COUNT);
        let_its_timeout_pass(&store).await;
        let probing = until(&programs, "rejected", COUNT - 1).or_else(|| until(&programs, "probing", 1));
        programs.tell(probing.unwrap(), outcome);
    }
    until(&programs, "closed", COUNT);
}

#[tokio::test]
async fn a_policy_that_one_program_publishes_is_active_in_all_others() {
    let folder = Folder::new("publishing");
    let path = folder.path("state.db");
    let mut programs = Programs::start(3, &path);
    let store: Arc<dyn Store> = Arc::new(FileStore::open(&path).unwrap());
    let fleet = PolicyFleet::new(store);
    let policy = PolicyLoader::default().from_file(STEADY).unwrap();
    let began = Instant::now();
    fleet.publish(&policy, PublishOptions::default()).await.unwrap();
    programs.all("policy upright-steady", "upright-steady");
    println!("published and active in three programs after {:?}", began.elapsed());
    let killed = programs.running[2].0.id().to_string();
    programs.running[2].0.kill().unwrap();
    programs.running[2].0.wait().unwrap();
    let hosts = fleet.hosts().await.unwrap();
    let silent: Vec<_> = hosts.iter().filter(|host| fleet.is_silent(host)).map(|host| &host.host).collect();
    assert_eq!((hosts.len(), silent), (3, vec![&killed]));
}

/// Each thread of an idle program waits for an event, not for a time.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_program_that_is_idle_waits_for_no_time() {
    let folder = Folder::new("idle");
    let mut programs = Programs::start(1, &folder.path("state.db"));
    programs.ask(0, "rest", "rests");
    let tasks = format!("/proc/{}/task", programs.running[0].0.id());
    let waits = || -> Vec<(String, String)> {
        let of = |task: std::io::Result<std::fs::DirEntry>| {
            let read = |name: &str| std::fs::read_to_string(task.as_ref().unwrap().path().join(name)).unwrap_or_default().trim().to_owned();
            (read("comm"), read("syscall"))
        };
        std::fs::read_dir(&tasks).unwrap().map(of).collect()
    };
    /// Numbers of x86-64 system calls.
    fn is_for_no_time(syscall: &str) -> bool {
        let words: Vec<_> = syscall.split(' ').collect();
        match words.as_slice() {
            // read; futex without limit; epoll_wait and epoll_pwait without limit
            ["0", ..] | ["202", _, _, _, "0x0", ..] | ["232" | "281", _, _, _, "0xffffffff", ..] => true,
            // Some systems show all 64 bits.
            ["232" | "281", _, _, _, "0xffffffffffffffff", ..] => true,
            _ => false,
        }
    }
    let began = Instant::now();
    loop {
        let waits = waits();
        if waits.iter().all(|(_, syscall)| is_for_no_time(syscall)) {
            println!("{waits:#?}");
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{waits:#?}");
        std::thread::yield_now();
    }
}
