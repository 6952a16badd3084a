//! Somebody who goes on reading what a command's processes say, after this program has ended.
//!
//! A command's standard error is a pipe to this program. A daemon that the command has left running may hold it, and would be ended by SIGPIPE with the first word
//! that it writes after this program's end. So a process is left behind that reads on, hands nothing on, and ends with the last who can write.

use super::becoming::this_program;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// The first argument of a process that is to listen; nobody types it.
pub(super) const LISTEN: &str = "__listen";

/// Leaves somebody behind who reads this.
pub(super) fn leave_a_listener(pipe: OwnedFd) -> io::Result<()> {
    let mut command = Command::new(this_program()?);
    // In the folder where it was started it would keep a file system from being unmounted, and in our group it would hear the terminal.
    command.arg0("upright").arg(LISTEN).current_dir("/").process_group(0);
    command.stdin(pipe).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}

/// Reads to the end.
pub(super) fn listen() -> ExitCode {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    ExitCode::SUCCESS
}
