//! Whom signals go to: the command, and what it has started.
//!
//! Without a controlling terminal the command gets a process group of its own, and a signal to the group reaches all of it. With one it must stay in
//! ours: the shell's job is our group, and a command outside of the terminal's foreground group is stopped by SIGTTIN when it reads the terminal
//! (a password, an answer); Ctrl-Z, `fg` and `bg` would not reach it, and in a pipeline it would take the terminal from its neighbours. There what the command has
//! started is found in `/proc`, on Linux; elsewhere signals then go to the command alone, as with `timeout --foreground`.

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use std::fs::{self, File};

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
    /// Those who are there now.
    pub(super) fn company(self) -> Company {
        Company { reach: self, members: Vec::new() }
    }
}

/// The processes that are to end, also those that lose their parents on the way.
pub(super) struct Company {
    reach: Reach,
    /// Of a tree: all that were seen.
    members: Vec<Process>,
}

impl Company {
    /// Sends a signal to all. Those that end meanwhile need none.
    pub(super) fn signal(&mut self, signal: Signal) {
        match self.reach {
            Reach::Group(group) => {
                let _ = kill_process_group(group, signal);
            }
            Reach::Tree(root) if cfg!(target_os = "linux") => {
                self.look_around(root);
                for member in self.members.iter().filter(|member| member.is_alive()) {
                    let _ = kill_process(member.pid, signal);
                }
            }
            Reach::Tree(root) => {
                let _ = kill_process(root, signal);
            }
        }
    }

    /// Whether all have ended, apart from the command itself perhaps, for which its parent can wait.
    pub(super) fn is_gone(&mut self) -> bool {
        match self.reach {
            // The kernel counts zombies too, which somebody else may be slow to bury.
            Reach::Group(group) if cfg!(target_os = "linux") => {
                test_kill_process_group(group).is_err() || !Process::all().iter().any(|process| process.group == group.as_raw_pid())
            }
            Reach::Group(group) => test_kill_process_group(group).is_err(),
            Reach::Tree(root) => {
                self.look_around(root);
                !self.members.iter().any(Process::is_alive)
            }
        }
    }

    /// Adds what the members have started since.
    fn look_around(&mut self, root: Pid) {
        let all = Process::all();
        if self.members.is_empty() {
            self.members.extend(all.iter().find(|process| process.pid == root));
        }
        let mut seen = 0;
        while let Some(member) = self.members.get(seen).copied() {
            let is_new = |process: &&Process| process.parent == member.pid.as_raw_pid() && !self.members.contains(process);
            let children: Vec<Process> = all.iter().filter(is_new).copied().collect();
            self.members.extend(children);
            seen += 1;
        }
    }
}

/// A process; its number alone may become another's.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: Pid,
    parent: i32,
    group: i32,
    /// When it was started, in the kernel's ticks.
    started: u64,
}

impl PartialEq for Process {
    fn eq(&self, other: &Self) -> bool {
        self.pid == other.pid && self.started == other.started
    }
}

impl Process {
    fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Self::find).collect()
    }

    /// The process of this number, unless it has ended.
    fn find(number: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{number}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name stands in parentheses, and may hold any.
        let (before, after) = stat.rsplit_once(')')?;
        let pid = before.split(' ').next()?.parse().ok().and_then(Pid::from_raw)?;
        let mut fields = after.split_ascii_whitespace();
        // A zombie has ended.
        let _ = fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self { pid, parent, group, started })
    }

    fn is_alive(&self) -> bool {
        Self::find(self.pid.as_raw_pid()).is_some_and(|process| process == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(state: &str) -> String {
        let rest = (4..=52).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        format!("7 (a) b (c) {state} {rest}\n")
    }

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let process = Process::parse(&stat("S")).unwrap();
        assert_eq!((process.pid.as_raw_pid(), process.parent, process.group, process.started), (7, 4, 5, 22));
        for gone in [stat("Z"), stat("X"), "7 (x".to_owned(), String::new(), "7 (x) S 1 1".to_owned()] {
            assert!(Process::parse(&gone).is_none(), "{gone}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_tree_holds_its_root_and_all_below_it_and_nothing_else() {
        let mut shell =
            std::process::Command::new("sh").args(["-c", "exec 3<&0; cat <&3 & wait"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
        let root = Pid::from_child(&shell);
        let mut company = Reach::Tree(root).company();
        while company.members.len() < 2 {
            company.look_around(root);
            std::thread::yield_now();
        }
        assert!(!company.is_gone());
        company.signal(Signal::KILL);
        shell.wait().unwrap();
        while !company.is_gone() {
            std::thread::yield_now();
        }
        assert!(Process::find(rustix::process::getpid().as_raw_pid()).unwrap().is_alive());
    }
}
