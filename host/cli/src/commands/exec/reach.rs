//! Whom a signal for this program is handed on to.
//!
//! Without a controlling terminal the command gets a process group of its own, and a signal to the group reaches all of it. With one it must stay in
//! ours: the shell's job is our group, and a command outside of the terminal's foreground group is stopped by SIGTTIN when it reads the terminal
//! (a password, an answer); Ctrl-Z, `fg` and `bg` would not reach it, and in a pipeline it would take the terminal from its neighbours. There what the command has
//! started is found in `/proc`, on Linux; elsewhere signals then go to the command alone, as with `timeout --foreground`.

use super::processes::{Process, each_below};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process, test_kill_process_group};
use std::fs::File;

/// Whom signals go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// A process group.
    Group(Pid),
    /// A process and its descendants.
    Tree(Pid),
}

/// Whether this process has a controlling terminal.
pub(super) fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

impl Reach {
    /// Sends a signal to all who are there now. Those that end meanwhile need none.
    pub(super) fn signal(self, signal: Signal) {
        match self {
            Self::Group(group) => {
                let _ = kill_process_group(group, signal);
            }
            Self::Tree(root) => {
                let _ = kill_process(root, signal);
                if cfg!(target_os = "linux") {
                    let send = |process: Process| {
                        let _ = process.send(signal);
                    };
                    each_below(root, |_| false, send);
                }
            }
        }
    }

    /// Whether all have ended, as far as that can be told without looking for them.
    pub(super) fn is_gone(self) -> bool {
        match self {
            Self::Group(group) => test_kill_process_group(group).is_err(),
            Self::Tree(root) => test_kill_process(root).is_err(),
        }
    }
}
