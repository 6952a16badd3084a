//! Runs one process to its end, and ends all that it has started.

use super::becoming;
use super::household::{Household, bury};
use super::input::Input;
use super::listening::leave_a_listener;
use super::reach::{Reach, has_terminal};
use super::stderr::StandardError;
use rustix::process::{Pid, Signal, kill_process};
use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::ChildStdin;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, sleep, timeout};

/// Time from SIGTERM to SIGKILL, and from there to giving up.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// Interval of the checks whether all have ended.
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct Running {
    number: Pid,
    reach: Reach,
    /// SIGCHLD. Tokio's `Child` would not reap adopted processes.
    deaths: unix::Signal,
    status: Option<ExitStatus>,
    stdin: Option<ChildStdin>,
    /// `None` when the process inherits ours.
    stderr: Option<StandardError>,
    /// Its own end has been reported.
    left: bool,
    /// It had no descendants then.
    deserted: bool,
    kill_at: Option<Instant>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            // Its number is not reused before it is reaped.
            let _ = kill_process(self.number, Signal::KILL);
        }
    }
}

impl Running {
    pub(super) fn start(
        words: &[OsString],
        input: &mut Input,
        household: &Household,
        listen: bool,
        environment: &[(&str, String)],
    ) -> io::Result<Self> {
        let mut command = becoming::command(words);
        let stderr = if listen {
            let (ours, its) = io::pipe()?;
            command.stderr(its);
            Some(StandardError::new(ours)?)
        } else {
            command.stderr(Stdio::inherit());
            None
        };
        let alone = !has_terminal();
        if alone {
            command.process_group(0);
        }
        command.stdin(input.begin()?).stdout(Stdio::inherit());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        // Before the start, so that no SIGCHLD is missed.
        let deaths = unix::signal(SignalKind::child())?;
        let mut child = command.spawn()?;
        let number = Pid::from_child(&child);
        household.has(number);
        let reach = if alone { Reach::Group(number) } else { Reach::Tree(number) };
        let stdin = child.stdin.take();
        let mut running = Self { number, reach, deaths, status: None, stdin: None, stderr, left: false, deserted: false, kill_at: None };
        running.stdin = stdin.map(ChildStdin::from_std).transpose()?;
        Ok(running)
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    pub(super) fn said(&self) -> String {
        self.stderr.as_ref().map(StandardError::said).unwrap_or_default()
    }

    /// Cancel safe, and may be called again.
    pub(super) async fn ended(&mut self, input: &mut Input) -> io::Result<ExitStatus> {
        let Self { number, deaths, status, stdin, stderr, .. } = self;
        let status = tokio::select! {
            status = death(*number, deaths, status) => status?,
            never = hand_on(stderr) => match never {},
            never = input.feed(stdin) => match never {},
        };
        if let Some(stderr) = stderr {
            stderr.finish().await;
        }
        Ok(status)
    }

    /// Its descendants keep running.
    pub(super) fn leave(&mut self, household: &Household) {
        self.left = true;
        // Later the group's number may be reused.
        self.deserted = self.status.is_some() && household.is_deserted(self.reach);
    }

    pub(super) fn is_left(&self) -> bool {
        self.left
    }

    pub(super) fn is_being_stopped(&self) -> bool {
        self.kill_at.is_some()
    }

    /// SIGTERM, then SIGKILL after [`GRACE`], for it and its descendants. Cancel safe; another call continues.
    pub(super) async fn stop(&mut self, household: &Household, input: &mut Input) {
        if self.deserted {
            return;
        }
        let kill_at = match self.kill_at {
            Some(at) => at,
            None => {
                // A stopped process would not receive SIGTERM.
                household.signal(self.reach, &[Signal::TERM, Signal::CONT]);
                *self.kill_at.insert(Instant::now() + GRACE)
            }
        };
        loop {
            let looked_at = Instant::now();
            if self.status.is_some() && household.is_gone(self.reach) {
                break;
            }
            if looked_at >= kill_at + GRACE || looked_at >= kill_at && household.kill(self.reach) {
                household.give_up();
                break;
            }
            // With thousands of processes a check takes long.
            self.attend(input, LOOK.max(looked_at.elapsed())).await;
        }
        // A stalled reader of our standard error is not waited for.
        let _ = timeout(GRACE, self.ended(input)).await;
    }

    /// Serves its streams for this long, or until it ends.
    async fn attend(&mut self, input: &mut Input, span: Duration) {
        if self.status.is_none() {
            // A failing wait must not spin.
            if let Ok(Err(_)) = timeout(span, self.ended(input)).await {
                sleep(span).await;
            }
            return;
        }
        let Self { stdin, stderr, .. } = self;
        let attending = async {
            tokio::select! {
                never = hand_on(stderr) => match never {},
                never = input.feed(stdin) => match never {},
            }
        };
        let _: Result<Infallible, _> = timeout(span, attending).await;
    }

    pub(super) fn let_live(mut self) {
        if let Some(pipe) = self.stderr.take().and_then(StandardError::into_pipe) {
            let _ = leave_a_listener(pipe);
        }
    }
}

/// Reaps other children meanwhile.
async fn death(number: Pid, deaths: &mut unix::Signal, status: &mut Option<ExitStatus>) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = *status {
            return Ok(status);
        }
        *status = bury(number)?;
        if status.is_none() {
            deaths.recv().await;
        }
    }
}

async fn hand_on(stderr: &mut Option<StandardError>) -> Infallible {
    match stderr {
        Some(stderr) => stderr.hand_on().await,
        None => pending().await,
    }
}
