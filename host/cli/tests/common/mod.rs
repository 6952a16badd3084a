//! Runs the real program.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

#[cfg(target_os = "linux")]
pub mod places;
#[cfg(unix)]
pub mod scratch;

use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use upright_simulator::FaultServer;

#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }

    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for words in ["panicked at", "stack backtrace", "internal error"] {
            assert!(!self.err.contains(words), "{self:?}");
        }
        self
    }
}

/// Removes the environment variables that the program reads.
pub fn command(server: Option<&FaultServer>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upright"));
    for variable in ["OLLAMA_HOST", "RUST_LOG", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    if let Some(server) = server {
        command.env("OLLAMA_HOST", server.url());
    }
    command
        .env("RUST_BACKTRACE", "1")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub async fn finish(mut command: Command, input: &str) -> Ran {
    let mut child = command.spawn().unwrap();
    give(&mut child, input).await;
    end(child).await
}

pub async fn give(child: &mut Child, input: &str) {
    let mut stdin = child.stdin.take().unwrap();
    // Wrong arguments end the program before it reads.
    let _ = stdin.write_all(input.as_bytes()).await;
}

/// The time limit only ends a hanging process.
pub async fn end(child: Child) -> Ran {
    end_within(child, Duration::from_secs(60)).await
}

pub async fn end_within(child: Child, limit: Duration) -> Ran {
    let output = tokio::time::timeout(limit, child.wait_with_output()).await.expect("it hangs").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub async fn upright(server: &FaultServer, arguments: &[&str]) -> Ran {
    finish(command(Some(server), arguments), "").await
}

pub async fn alone(arguments: &[&str], input: &str) -> Ran {
    finish(command(None, arguments), input).await
}

#[cfg(unix)]
pub async fn interrupt(child: &Child) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
}
