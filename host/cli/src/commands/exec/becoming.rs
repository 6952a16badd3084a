//! Starts a command so that it dies with this program.
//!
//! The kernel ends the children of a killed process if they ask for it before exec (`PR_SET_PDEATHSIG`). Code between
//! fork and exec needs `unsafe`, so this program starts itself, asks, and becomes the command.

use super::failure::of_start;
use super::listening::{LISTEN, listen};
use crate::output::complain;
use rustix::process::{Pid, Signal, getpid, getppid};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// First argument of a process that becomes a command; internal.
const BECOME: &str = "__become";

/// This program's file, even when its path has changed.
const ITSELF: &str = "/proc/self/exe";

const NOT_STARTED: &str = " cannot be started: ";

pub(super) fn this_program() -> io::Result<PathBuf> {
    if has_own_file() { Ok(ITSELF.into()) } else { std::env::current_exe() }
}

fn has_own_file() -> bool {
    cfg!(target_os = "linux") && Path::new(ITSELF).exists()
}

/// On Linux the command dies with this process.
pub(super) fn command(words: &[OsString]) -> Command {
    if has_own_file() {
        let mut command = Command::new(ITSELF);
        command.arg(BECOME).arg(getpid().as_raw_pid().to_string()).args(words);
        return command;
    }
    let (program, arguments) = words.split_first().map_or((OsStr::new(""), words), |(program, rest)| (program.as_os_str(), rest));
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Serves another process of this program. `None` in a normal start.
pub(crate) fn serve_another() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let purpose = words.next()?;
    if purpose == LISTEN {
        return Some(listen());
    }
    if purpose != BECOME {
        return None;
    }
    let parent = words.next()?.to_str()?.parse().ok().and_then(Pid::from_raw)?;
    let program = words.next()?;
    end_with(parent);
    let error = Command::new(&program).args(words).exec();
    complain(format_args!("{}{NOT_STARTED}{error}", program.display()));
    Some(ExitCode::from(of_start(&error)))
}

/// A failed exec can only report its error on standard error, as the last line.
pub(super) fn why_not_started(words: &str) -> Option<io::Error> {
    let (_, why) = words.trim_end().lines().last()?.strip_prefix("upright: ")?.rsplit_once(NOT_STARTED)?;
    let (_, number) = why.strip_suffix(')')?.rsplit_once("(os error ")?;
    number.parse().ok().map(io::Error::from_raw_os_error)
}

fn end_with(parent: Pid) {
    #[cfg(target_os = "linux")]
    {
        // The command works without this.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    }
    if getppid() != Some(parent) {
        // The parent has ended already.
        let _ = rustix::process::kill_process(getpid(), Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_os_error_number_is_read_from_the_last_line_of_standard_error() {
        let number = |words| why_not_started(words).and_then(|error| error.raw_os_error());
        assert_eq!(number("said before\nupright: ./a b cannot be started: Text file busy (os error 26)\n"), Some(26));
        for other in [
            "upright: x cannot be started: Text file busy (os error 26)\nsaid after",
            "x cannot be started: Text file busy (os error 26)",
            "upright: x cannot be started: Text file busy",
            "upright: x failed (os error 26)",
            "",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
