//! A process from its start to its end, and to the end of all that it has started.

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

/// So long a process has to end after SIGTERM, before SIGKILL, and after that before it is given up.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How often to look whether what a process has started has ended too.
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct Running {
    number: Pid,
    reach: Reach,
    /// Says when a child has ended. Not tokio's `Child`: it waits for one, and the adopted ones are to be buried too.
    deaths: unix::Signal,
    /// How the command ended.
    status: Option<ExitStatus>,
    stdin: Option<ChildStdin>,
    /// None where the process has ours.
    stderr: Option<StandardError>,
    /// It was heard of that it has ended by itself.
    left: bool,
    /// Nothing that it has started was left then.
    deserted: bool,
    /// It is being ended, and gets SIGKILL then.
    kill_at: Option<Instant>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            // Its number is its own until it has been buried.
            let _ = kill_process(self.number, Signal::KILL);
        }
    }
}

impl Running {
    /// Starts a command. Its standard output is ours. Its standard error is ours too, unless it shall be listened to.
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
        // Before there is a child, so that no death goes unheard.
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

    /// Whom signals go to.
    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// The end of what it said on standard error.
    pub(super) fn said(&self) -> String {
        self.stderr.as_ref().map(StandardError::said).unwrap_or_default()
    }

    /// Waits for its end. Dropping the future loses nothing; it can be waited for again.
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

    /// It has ended by itself, which has been heard of. What it has started may go on.
    pub(super) fn leave(&mut self, household: &Household) {
        self.left = true;
        // Later its group's number may be somebody else's.
        self.deserted = self.status.is_some() && household.is_deserted(self.reach);
    }

    /// Whether it has ended by itself and was left, as what it has started is.
    pub(super) fn is_left(&self) -> bool {
        self.left
    }

    /// Whether somebody has begun to end it.
    pub(super) fn is_being_stopped(&self) -> bool {
        self.kill_at.is_some()
    }

    /// Ends it and all that it has started: SIGTERM, and SIGKILL for those who are still there after [`GRACE`]. Dropping the future and calling this
    /// again goes on with it.
    pub(super) async fn stop(&mut self, household: &Household, input: &mut Input) {
        if self.deserted {
            return;
        }
        let kill_at = match self.kill_at {
            Some(at) => at,
            None => {
                // One that is stopped would not hear it.
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
            // Where there are thousands to look at, others need the processor too.
            self.attend(input, LOOK.max(looked_at.elapsed())).await;
        }
        // Whoever reads our standard error may have stalled, and is not waited for.
        let _ = timeout(GRACE, self.ended(input)).await;
    }

    /// Does for so long what is to be done while those who are being ended are; less long if the command ends meanwhile.
    async fn attend(&mut self, input: &mut Input, span: Duration) {
        if self.status.is_none() {
            // That it cannot be waited for does not happen, and must not keep the processor busy.
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

    /// Lets those go on who are still there, also when this program has ended.
    pub(super) fn let_live(mut self) {
        if let Some(pipe) = self.stderr.take().and_then(StandardError::into_pipe) {
            // Where that cannot be, there is nobody who could do anything about it.
            let _ = leave_a_listener(pipe);
        }
    }
}

/// Waits until the command has ended, and buries all others meanwhile.
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
