//! All that an attempt has started, whatever it has become of it since.
//!
//! What an attempt starts may move to a process group or a session of its own (`setsid`, `timeout`), and may lose its parents (daemons, `&` in a shell that
//! ends). It cannot leave its descent: on Linux this program takes in the orphans among its descendants (a *child subreaper*), so that all of them stay below it in
//! `/proc`, and it buries those that end there. A control group would do the same and could be killed as a whole, but only where this user may
//! make one, which is the exception: in containers, in CI and under cron they are root's. Descent is there for everybody.
//!
//! Elsewhere than on Linux, and where there is no `/proc`, signals go to the process group of a command without a terminal, else to the command alone.

use super::processes::{Process, each_below};
use super::reach::Reach;
use crate::output::complain;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpgrp, getpid, kill_process_group, wait};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The number of an attempt, in the environment of the command and so of what it starts.
pub(super) const ATTEMPT: &str = "UPRIGHT_ATTEMPT";

/// How often to look for those who were born while others were stopped, before all are killed that were found.
const LOOKS: usize = 20;

pub(super) struct Household {
    /// This process, below which all are; none where they cannot be found.
    head: Option<Pid>,
    /// Those who were here before the first attempt, and those who cannot be ended.
    strangers: RefCell<HashSet<Process>>,
    /// Whether an orphan may be of strangers.
    mixed: bool,
    /// The command that runs.
    command: Cell<Option<Pid>>,
}

impl Household {
    /// From now on orphans below this process become its children.
    pub(super) fn new() -> Self {
        let itself = getpid();
        let head = Process::find(itself.as_raw_pid()).filter(|_| cfg!(target_os = "linux")).map(|process| process.pid);
        #[cfg(target_os = "linux")]
        if head.is_some() {
            // Where the kernel refuses, those who keep their parents are found all the same.
            let _ = rustix::process::set_child_subreaper(Some(itself));
        }
        // A shell that became this program (`exec`) may have had children.
        let mut strangers = HashSet::new();
        if let Some(head) = head.filter(|_| has_children()) {
            let add = |process| {
                strangers.insert(process);
            };
            each_below(head, |_| false, add);
        }
        // And the first process of a container gets the orphans of all others in it.
        let mixed = !strangers.is_empty() || itself == Pid::INIT;
        Self { head, strangers: RefCell::new(strangers), mixed, command: Cell::default() }
    }

    /// Says which process is the command.
    pub(super) fn has(&self, command: Pid) {
        self.command.set(Some(command));
    }

    /// Visits all who are there. The process groups that anybody else is in.
    fn each(&self, head: Pid, visit: impl FnMut(Process)) -> HashSet<i32> {
        let strangers = self.strangers.borrow();
        // Of orphans nobody knows whose they were, and to end somebody else's is worse than to miss one that has cleared its environment.
        let is_adopted = |process: &Process| process.is_child_of(head) && self.command.get() != Some(process.pid);
        let is_refused =
            |process: &Process| strangers.contains(process) || self.mixed && is_adopted(process) && !process.has_variable(ATTEMPT);
        each_below(head, is_refused, visit)
    }

    /// Sends signals to all.
    pub(super) fn signal(&self, reach: Reach, signals: &[Signal]) {
        let Some(head) = self.head else { return signals.iter().for_each(|signal| reach.signal(*signal)) };
        self.each(head, |process| {
            for signal in signals {
                // Whoever cannot be reached is told of in the end.
                let _ = process.send(*signal);
            }
        });
    }

    /// Kills all. Whether those who are there cannot be.
    pub(super) fn kill(&self, reach: Reach) -> bool {
        let Some(head) = self.head else {
            reach.signal(Signal::KILL);
            return false;
        };
        let mut groups = HashSet::new();
        if let Reach::Group(group) = reach {
            groups.insert(group);
        }
        // Stopped first, until all stand still: else those who are not dead yet go on starting others.
        let mut seen = HashSet::new();
        for _ in 0..LOOKS {
            let before = seen.len();
            self.send_to_all(head, Signal::STOP, &mut seen, &mut groups);
            if seen.len() == before {
                break;
            }
        }
        seen.clear();
        let reached = self.send_to_all(head, Signal::KILL, &mut seen, &mut groups);
        !seen.is_empty() && !reached
    }

    /// Sends a signal to those whom nobody has seen yet, and to groups in which there is nobody else: in a group nobody can be born unnoticed. Whether it reached
    /// anybody.
    fn send_to_all(&self, head: Pid, signal: Signal, seen: &mut HashSet<Process>, groups: &mut HashSet<Pid>) -> bool {
        let mut reached = false;
        let others = self.each(head, |process| {
            if seen.insert(process) {
                reached |= process.send(signal).is_ok();
                groups.extend(Pid::from_raw(process.group));
            }
        });
        let own = getpgrp();
        groups.retain(|group| *group != own && !others.contains(&group.as_raw_pid()));
        for group in &*groups {
            reached |= kill_process_group(*group, signal).is_ok();
        }
        reached
    }

    /// Whether all have ended; buries them. The command itself must have been buried before, or its status would be lost.
    pub(super) fn is_gone(&self, reach: Reach) -> bool {
        let has_children = has_children();
        let Some(head) = self.head else { return reach.is_gone() };
        if !self.mixed && self.strangers.borrow().is_empty() {
            // All who are left are below a child of ours. Whoever looks into `/proc` may miss one that is another each moment; the kernel does not.
            return !has_children;
        }
        // The second look is for one that was born behind the first one's back.
        (0..2).all(|_| {
            let mut anybody = false;
            self.each(head, |_| anybody = true);
            !anybody
        })
    }

    /// Whether it is certain that nobody is left, so that nobody will be.
    pub(super) fn is_deserted(&self, reach: Reach) -> bool {
        !has_children() && (self.head.is_some() || reach.is_gone())
    }

    /// Goes on without those who could not be ended, and says so.
    pub(super) fn give_up(&self) {
        /// So many are named.
        const NAMED: usize = 5;
        let Some(head) = self.head else { return };
        let mut left = Vec::new();
        self.each(head, |process| left.push(process));
        let mut names: Vec<String> = left.iter().take(NAMED).map(|process| format!("{} ({})", process.name(), process.pid)).collect();
        if left.len() > NAMED {
            names.push(format!("{} more", left.len() - NAMED));
        }
        let names = if names.is_empty() { "processes that live for a moment".to_owned() } else { names.join(", ") };
        complain(format_args!("what the attempt has started could not be ended and goes on running: {names}"));
        self.strangers.borrow_mut().extend(left);
    }
}

/// Buries all children that have ended. Whether there are others.
fn has_children() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Buries all children that have ended, adopted ones too. The status of this one, if it was among them.
pub(super) fn bury(command: Pid) -> io::Result<Option<ExitStatus>> {
    let mut status = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((child, ended))) if child == command => status = Some(ExitStatus::from_raw(ended.as_raw())),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(status),
            Err(error) => return status.map(Some).ok_or_else(|| error.into()),
        }
    }
}
