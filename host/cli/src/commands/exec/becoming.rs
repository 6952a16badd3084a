//! How a command is started, so that it does not outlive this program.
//!
//! A program that is killed by SIGKILL cannot end what it has started; the kernel can (`PR_SET_PDEATHSIG`), if the command's own process asks for it
//! before it begins. Code between fork and exec is not to be had without `unsafe`. So this program starts itself once more, and that process asks,
//! and then becomes the command: same process, same standard streams.

use super::failure::of_start;
use super::listening::{LISTEN, listen};
use crate::output::complain;
use rustix::process::{Pid, Signal, getpid, getppid};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The first argument of a process that is to become a command; nobody types it.
const BECOME: &str = "__become";

/// This program's own file on Linux, whatever has become of its name.
const ITSELF: &str = "/proc/self/exe";

/// What stands between a command's name and why it cannot be started.
const NOT_STARTED: &str = " cannot be started: ";

/// This program's own file.
pub(super) fn this_program() -> io::Result<PathBuf> {
    if has_own_file() { Ok(ITSELF.into()) } else { std::env::current_exe() }
}

fn has_own_file() -> bool {
    cfg!(target_os = "linux") && Path::new(ITSELF).exists()
}

/// The command, ready to be started; on Linux it ends when this process does.
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

/// Does what this process was started for by another one of this program, which nobody else asks for: becomes a command, or listens. Comes back with an
/// exit code, and with none if it was started for neither.
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

/// Why a process could not become the command, by the last words on its standard error: the error's number stands in them, since there is no other way to tell it.
pub(super) fn why_not_started(words: &str) -> Option<io::Error> {
    let (_, why) = words.trim_end().lines().last()?.strip_prefix("upright: ")?.rsplit_once(NOT_STARTED)?;
    let (_, number) = why.strip_suffix(')')?.rsplit_once("(os error ")?;
    number.parse().ok().map(io::Error::from_raw_os_error)
}

/// Lets this process, and what it becomes, end with that one.
fn end_with(parent: Pid) {
    #[cfg(target_os = "linux")]
    {
        // Where the kernel refuses there is nobody to tell, and nothing that the command would lack.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    }
    if getppid() != Some(parent) {
        // It has ended before that could be asked for.
        let _ = rustix::process::kill_process(getpid(), Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_read_from_the_last_words() {
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
