//! Decides which processes get a forwarded signal.
//!
//! Without a controlling terminal the command gets its own process group. With one it stays in ours: elsewhere SIGTTIN
//! would stop it when it reads a password, Ctrl-Z, `fg` and `bg` would miss it, and it would take the terminal from its
//! pipeline. Signals then go to its descendants in `/proc`, or to the command alone, as with `timeout --foreground`.

use super::processes::{Process, each_below};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process, test_kill_process_group};
use std::fs::File;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Group(Pid),
    Tree(Pid),
}

pub(super) fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

impl Reach {
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

    pub(super) fn is_gone(self) -> bool {
        match self {
            Self::Group(group) => test_kill_process_group(group).is_err(),
            Self::Tree(root) => test_kill_process(root).is_err(),
        }
    }
}
