//! A process from its start to its end.

use super::becoming;
use super::input::Input;
use super::reach::{Reach, has_terminal};
use super::stderr::StandardError;
use rustix::process::{Pid, Signal};
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, ChildStdin};
use tokio::time::{Instant, sleep, timeout};

/// So long a process has to end after SIGTERM, before SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How often to look whether what a process has started has ended too.
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct Running {
    child: Child,
    reach: Reach,
    stdin: Option<ChildStdin>,
    /// None where the process has ours.
    stderr: Option<StandardError>,
}

impl Running {
    /// Starts a command. Its standard output is ours. Its standard error is ours too, unless it shall be listened to.
    pub(super) fn start(words: &[OsString], input: &mut Input, listen: bool, environment: &[(&str, String)]) -> io::Result<Self> {
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
        command.stdin(input.begin()?).stdout(Stdio::inherit()).kill_on_drop(true);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn()?;
        // A process that was just started has a number.
        let number = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).ok_or(io::ErrorKind::Other)?;
        let stdin = child.stdin.take();
        let reach = if alone { Reach::Group(number) } else { Reach::Tree(number) };
        Ok(Self { child, reach, stdin, stderr })
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
        let Self { child, stdin, stderr, .. } = self;
        let handing_on = async {
            match stderr {
                Some(stderr) => stderr.hand_on().await,
                None => pending().await,
            }
        };
        let status = tokio::select! {
            status = child.wait() => status?,
            never = handing_on => match never {},
            never = input.feed(stdin) => match never {},
        };
        if let Some(stderr) = stderr {
            stderr.finish().await;
        }
        Ok(status)
    }

    /// Ends it and all that it has started: SIGTERM, and SIGKILL for those who are still there after [`GRACE`].
    pub(super) async fn stop(&mut self, input: &mut Input) {
        let until = Instant::now() + GRACE;
        let mut company = self.reach.company();
        company.signal(Signal::TERM);
        // One that is stopped would not hear it.
        company.signal(Signal::CONT);
        let mut over = timeout(GRACE, self.ended(input)).await.is_ok();
        while !company.is_gone() || !over {
            if Instant::now() >= until {
                company.signal(Signal::KILL);
                if !over {
                    // Nobody survives that; whoever reads our standard error may have stalled, and is not waited for.
                    let _ = timeout(GRACE, self.ended(input)).await;
                }
                return;
            }
            sleep(LOOK).await;
            over = over || timeout(Duration::ZERO, self.ended(input)).await.is_ok();
        }
    }
}
