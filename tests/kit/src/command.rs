//! Runs a program to its end.

use crate::wait::within;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// A program that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output as JSON Lines.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }

    /// Checks that the program ended with this code, and reported no bug of its own.
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for words in ["panicked at", "stack backtrace", "internal error"] {
            assert!(!self.err.contains(words), "{self:?}");
        }
        self
    }
}

/// Connects all three streams of a command with its test, whose end also ends the command.
pub fn connect(command: &mut Command) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
}

/// Runs a [connected](connect) command on this input.
pub async fn finish(mut command: Command, input: &str) -> Ran {
    let mut child = command.spawn().unwrap();
    give(&mut child, input).await;
    end(child).await
}

/// Writes the whole standard input of a program.
pub async fn give(child: &mut Child, input: &str) {
    let mut stdin = child.stdin.take().unwrap();
    // A program may end before it reads.
    let _ = stdin.write_all(input.as_bytes()).await;
}

/// Waits for the end of a program; at most a minute.
pub async fn end(child: Child) -> Ran {
    within(ended(child)).await
}

/// Waits for the end of a program, which may take longer than [`end`] allows.
pub async fn end_within(child: Child, limit: Duration) -> Ran {
    tokio::time::timeout(limit, ended(child)).await.expect("it hangs")
}

async fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Sends a signal by its name without `SIG`.
#[cfg(unix)]
pub async fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status().await.unwrap();
    assert!(sent.success(), "{signal} {process}");
}

/// Sends SIGINT, as Ctrl-C does.
#[cfg(unix)]
pub async fn interrupt(child: &Child) {
    send("INT", child.id().unwrap()).await;
}
