//! A folder in which `upright exec` runs scripts that leave traces.

use super::{Ran, command, finish};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Only ends a hanging test.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Scratch {
    folder: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("exec-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// 0 for a missing file.
    pub fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }

    pub fn runs(&self) -> usize {
        self.lines("runs")
    }

    pub fn number(&self, name: &str) -> u32 {
        self.find_number(name).unwrap()
    }

    /// `None` while it is being written.
    pub fn find_number(&self, name: &str) -> Option<u32> {
        fs::read_to_string(self.path(name)).ok()?.strip_suffix('\n')?.parse().ok()
    }

    /// Without delays, unless the flags set some.
    pub fn command(&self, flags: &[&str], words: &[&str]) -> Command {
        let at_once: &[&str] = if flags.contains(&"--base-delay") { &["exec"] } else { &["exec", "--base-delay", "0"] };
        self.place(command(None, &[at_once, flags, words].concat()))
    }

    pub fn sh(&self, flags: &[&str], script: &str) -> Command {
        self.command(flags, &["--", "sh", "-c", script])
    }

    pub async fn exec(&self, flags: &[&str], script: &str) -> Ran {
        finish(self.sh(flags, script), "").await
    }

    pub fn place(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder).env("UPRIGHT_STATE", self.path("state"));
        command
    }

    pub async fn wait_for_lines(&self, name: &str, lines: usize) {
        until(&format!("{name} has {lines} lines"), async || self.lines(name) >= lines).await;
    }
}

pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let polling = async {
        let mut moments = tokio::time::interval(Duration::from_millis(5));
        while !holds().await {
            moments.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, polling).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// A zombie is not alive.
pub fn is_alive(number: u32) -> bool {
    match fs::read_to_string(format!("/proc/{number}/stat")) {
        Ok(stat) => !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'),
        Err(_) if Path::new("/proc/self/stat").exists() => false,
        Err(_) => std::process::Command::new("kill").args(["-0", &number.to_string()]).status().unwrap().success(),
    }
}

pub async fn is_gone(number: u32) {
    until(&format!("process {number} ends"), async || !is_alive(number)).await;
}

pub async fn expect(from: &mut (impl AsyncRead + Unpin), bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    tokio::time::timeout(LIMIT, from.read_exact(&mut read)).await.expect("it hangs").unwrap();
    assert_eq!(read, bytes);
}

pub async fn output(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let giving = async move {
        let _ = stdin.write_all(input).await;
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(LIMIT, child.wait_with_output()), giving);
    ended.expect("it hangs").unwrap()
}

pub async fn send(signal: &str, number: u32) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &number.to_string()]).status().await.unwrap();
    assert!(sent.success(), "{signal} {number}");
}

pub fn id(child: &Child) -> u32 {
    child.id().unwrap()
}
