//! Reads Linux's process tree in `/proc`.

use rustix::io::{Errno, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::fs;
use std::hash::{Hash, Hasher};

/// Process numbers are reused, so the start time counts too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    parent: i32,
    pub(super) group: i32,
    /// In kernel ticks.
    started: u64,
    /// Perhaps not yet reaped.
    ended: bool,
}

impl PartialEq for Process {
    fn eq(&self, other: &Self) -> bool {
        self.pid == other.pid && self.started == other.started
    }
}

impl Eq for Process {}

impl Hash for Process {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.pid, self.started).hash(hasher);
    }
}

impl Process {
    pub(super) fn find(number: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{number}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name may contain parentheses.
        let (before, after) = stat.rsplit_once(')')?;
        let pid = before.split(' ').next()?.parse().ok().and_then(Pid::from_raw)?;
        let mut fields = after.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let threads: u32 = fields.nth(14)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        // A zombie may have running threads.
        let ended = matches!(state, "Z" | "X") && threads <= 1;
        Some(Self { pid, parent, group, started, ended })
    }

    pub(super) fn is_alive(&self) -> bool {
        Self::find(self.pid.as_raw_pid()).is_some_and(|process| process == *self && !process.ended)
    }

    pub(super) fn is_child_of(&self, parent: Pid) -> bool {
        self.parent == parent.as_raw_pid()
    }

    pub(super) fn has_variable(&self, name: &str) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid.as_raw_pid())).unwrap_or_default();
        let is_it = |variable: &[u8]| variable.strip_prefix(name.as_bytes()).is_some_and(|value| value.starts_with(b"="));
        environment.split(|byte| *byte == 0).any(is_it)
    }

    pub(super) fn name(&self) -> String {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid.as_raw_pid())).unwrap_or_default();
        name.trim_end().to_owned()
    }

    /// No error if it has ended.
    pub(super) fn send(&self, signal: Signal) -> Result<()> {
        match self.send_to_itself(signal) {
            Err(Errno::SRCH) => Ok(()),
            sent => sent,
        }
    }

    /// A pidfd stays with its process, so identity is checked after opening it.
    fn send_to_itself(&self, signal: Signal) -> Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
            match pidfd_open(self.pid, PidfdFlags::empty()) {
                Ok(descriptor) => return if self.is_alive() { pidfd_send_signal(descriptor, signal) } else { Ok(()) },
                Err(Errno::SRCH) => return Ok(()),
                // Before Linux 5.3, or out of descriptors.
                Err(_) => {}
            }
        }
        if self.is_alive() { kill_process(self.pid, signal) } else { Ok(()) }
    }
}

/// Visits living descendants, except refused ones and theirs. Returns the process groups that contain other processes.
pub(super) fn each_below(root: Pid, is_refused: impl Fn(&Process) -> bool, mut visit: impl FnMut(Process)) -> HashSet<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut numbers: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut families = HashSet::from([root.as_raw_pid()]);
    let mut join = |process: Process, families: &mut HashSet<i32>| {
        let is_joined = !is_refused(&process);
        if is_joined {
            families.insert(process.pid.as_raw_pid());
            if !process.ended {
                visit(process);
            }
        }
        is_joined
    };
    // Youngest first, and at once: a short-lived process would be gone after a full scan.
    numbers.sort_unstable_by(|one, other| other.cmp(one));
    let (mut others, mut refused) = (Vec::new(), Vec::new());
    for process in numbers.into_iter().filter_map(Process::find) {
        if !families.contains(&process.parent) {
            others.push(process);
        } else if !join(process, &mut families) {
            refused.push(process);
        }
    }
    loop {
        let (children, strangers): (Vec<_>, Vec<_>) = others.into_iter().partition(|process| families.contains(&process.parent));
        others = strangers;
        if children.is_empty() {
            break;
        }
        refused.extend(children.into_iter().filter(|child| !join(*child, &mut families)));
    }
    others.iter().chain(&refused).filter(|process| !process.ended).map(|process| process.group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn stat(state: &str, threads: u32) -> String {
        let fields = (4..=52).map(|field| if field == 20 { threads } else { field }.to_string());
        format!("7 (a) b (c) {state} {}\n", fields.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_proc_stat_line_is_parsed_for_any_process_name() {
        let process = Process::parse(&stat("S", 1)).unwrap();
        assert_eq!((process.pid.as_raw_pid(), process.parent, process.group, process.started, process.ended), (7, 4, 5, 22, false));
        for nonsense in ["7 (x", "", "7 (x) S 1 1"] {
            assert!(Process::parse(nonsense).is_none(), "{nonsense}");
        }
    }

    #[test]
    fn a_process_has_ended_when_all_its_threads_have() {
        assert!(Process::parse(&stat("Z", 1)).unwrap().ended && Process::parse(&stat("X", 0)).unwrap().ended);
        assert!(!Process::parse(&stat("Z", 2)).unwrap().ended);
    }

    #[cfg(target_os = "linux")]
    fn below(root: Pid, is_refused: impl Fn(&Process) -> bool) -> Vec<Process> {
        let mut found = Vec::new();
        each_below(root, is_refused, |process| found.push(process));
        found
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_search_below_a_process_finds_all_descendants_except_excluded_ones() {
        let mut shell = Command::new("sh").args(["-c", "exec 3<&0; cat <&3 & cat <&3 & wait"]).stdin(Stdio::piped()).spawn().unwrap();
        let root = Pid::from_child(&shell);
        while below(root, |_| false).len() < 2 {
            std::thread::yield_now();
        }
        let found = below(root, |_| false);
        assert!(found.iter().all(|process| process.is_child_of(root) && process.is_alive()));
        let without = below(root, |process| *process == found[0]);
        assert!(without == found[1..]);
        let itself = rustix::process::getpid();
        assert!(below(itself, |process| process.pid == root).iter().all(|process| !found.contains(process)));
        for process in found.iter().chain(&[Process::find(root.as_raw_pid()).unwrap()]) {
            process.send(Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        while found.iter().any(Process::is_alive) {
            std::thread::yield_now();
        }
        // The number is unused now.
        found[0].send(Signal::KILL).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_known_by_its_environment() {
        let mut cat = Command::new("cat").env("UPRIGHT_TEST", "1").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::find(i32::try_from(cat.id()).unwrap()).unwrap();
        // Before exec it has our environment, or briefly none.
        let patience = std::time::Instant::now();
        while !process.has_variable("UPRIGHT_TEST") && patience.elapsed().as_secs() < 60 {
            std::thread::yield_now();
        }
        assert!(process.has_variable("UPRIGHT_TEST") && process.name() == "cat");
        assert!(!process.has_variable("UPRIGHT_TES") && !process.has_variable("UPRIGHT"));
        drop(cat.stdin.take());
        cat.wait().unwrap();
    }
}
