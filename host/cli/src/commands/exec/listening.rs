//! Drains a daemon's standard error after this program has ended, so that its next write does not raise SIGPIPE.

use super::becoming::this_program;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// First argument of the draining process; internal.
pub(super) const LISTEN: &str = "__listen";

pub(super) fn leave_a_listener(pipe: OwnedFd) -> io::Result<()> {
    let mut command = Command::new(this_program()?);
    // A process keeps its folder from being unmounted, and its group gets the terminal's signals.
    command.arg0("upright").arg(LISTEN).current_dir("/").process_group(0);
    command.stdin(pipe).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}

pub(super) fn listen() -> ExitCode {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    ExitCode::SUCCESS
}
