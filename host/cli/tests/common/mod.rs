//! The command as a process. Each binary uses a part of this.
#![allow(dead_code)]

use tokio::process::Command;
use upright_simulator::FaultServer;
use upright_test_kit::command::{Ran, connect, finish};

/// Removes the environment variables that the program reads.
pub(crate) fn command(server: Option<&FaultServer>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upright"));
    for variable in ["OLLAMA_HOST", "RUST_LOG", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    if let Some(server) = server {
        command.env("OLLAMA_HOST", server.url());
    }
    command.env("RUST_BACKTRACE", "1").args(arguments);
    connect(&mut command);
    command
}

pub(crate) async fn upright(server: &FaultServer, arguments: &[&str]) -> Ran {
    finish(command(Some(server), arguments), "").await
}

pub(crate) async fn alone(arguments: &[&str], input: &str) -> Ran {
    finish(command(None, arguments), input).await
}
