//! Finds and ends all processes that an attempt has started, even in another process group or session.
//!
//! On Linux this program is a *child subreaper*: orphans stay below it in `/proc`, and it reaps them. A control group
//! could be killed as a whole, but containers, CI and cron rarely allow one. Elsewhere signals go to the command's
//! process group, or with a terminal to the command alone.

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

pub(super) const ATTEMPT: &str = "UPRIGHT_ATTEMPT";

/// Maximum number of passes that stop processes, before all are killed.
const LOOKS: usize = 20;

pub(super) struct Household {
    /// `None` where descendants cannot be found.
    head: Option<Pid>,
    /// Processes from before the first attempt, or that could not be ended.
    strangers: RefCell<HashSet<Process>>,
    /// Orphans may belong to another program.
    mixed: bool,
    command: Cell<Option<Pid>>,
}

impl Household {
    /// Makes this process adopt the orphans below it.
    pub(super) fn new() -> Self {
        let itself = getpid();
        let head = Process::find(itself.as_raw_pid()).filter(|_| cfg!(target_os = "linux")).map(|process| process.pid);
        #[cfg(target_os = "linux")]
        if head.is_some() {
            // Without it only orphans are missed.
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
        // The first process of a container adopts all its orphans.
        let mixed = !strangers.is_empty() || itself == Pid::INIT;
        Self { head, strangers: RefCell::new(strangers), mixed, command: Cell::default() }
    }

    pub(super) fn has(&self, command: Pid) {
        self.command.set(Some(command));
    }

    /// Returns the process groups that contain other processes.
    fn each(&self, head: Pid, visit: impl FnMut(Process)) -> HashSet<i32> {
        let strangers = self.strangers.borrow();
        // An orphan's origin is unknown. Missing one is better than killing a foreign one.
        let is_adopted = |process: &Process| process.is_child_of(head) && self.command.get() != Some(process.pid);
        let is_refused =
            |process: &Process| strangers.contains(process) || self.mixed && is_adopted(process) && !process.has_variable(ATTEMPT);
        each_below(head, is_refused, visit)
    }

    pub(super) fn signal(&self, reach: Reach, signals: &[Signal]) {
        let Some(head) = self.head else { return signals.iter().for_each(|signal| reach.signal(*signal)) };
        self.each(head, |process| {
            for signal in signals {
                // `give_up` reports these.
                let _ = process.send(*signal);
            }
        });
    }

    /// Returns whether none of those left can be killed.
    pub(super) fn kill(&self, reach: Reach) -> bool {
        let Some(head) = self.head else {
            reach.signal(Signal::KILL);
            return false;
        };
        let mut groups = HashSet::new();
        if let Reach::Group(group) = reach {
            groups.insert(group);
        }
        // Stopped first: running processes keep starting others.
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

    /// Signals processes that are not in `seen`, and groups without foreign members; a signal to a group cannot miss a
    /// new process. Returns whether it reached any.
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

    /// Reaps them; the command must be reaped before, or its status is lost.
    pub(super) fn is_gone(&self, reach: Reach) -> bool {
        let has_children = has_children();
        let Some(head) = self.head else { return reach.is_gone() };
        if !self.mixed && self.strangers.borrow().is_empty() {
            // The kernel, unlike a scan of `/proc`, never misses a process that keeps replacing itself.
            return !has_children;
        }
        // A second pass, for a process born during the first.
        (0..2).all(|_| {
            let mut anybody = false;
            self.each(head, |_| anybody = true);
            !anybody
        })
    }

    /// Whether nothing is left that could start more.
    pub(super) fn is_deserted(&self, reach: Reach) -> bool {
        !has_children() && (self.head.is_some() || reach.is_gone())
    }

    /// Reports what could not be ended, and ignores it from now on.
    pub(super) fn give_up(&self) {
        const NAMED: usize = 5;
        let Some(head) = self.head else { return };
        let mut left = Vec::new();
        self.each(head, |process| left.push(process));
        let mut names: Vec<String> = left.iter().take(NAMED).map(|process| format!("{} ({})", process.name(), process.pid)).collect();
        if left.len() > NAMED {
            names.push(format!("{} more", left.len() - NAMED));
        }
        let names = if names.is_empty() { "short-lived processes".to_owned() } else { names.join(", ") };
        complain(format_args!("processes of the attempt could not be ended and keep running: {names}"));
        self.strangers.borrow_mut().extend(left);
    }
}

/// Reaps ended children; returns whether others remain.
fn has_children() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Reaps all ended children; returns the command's status.
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
