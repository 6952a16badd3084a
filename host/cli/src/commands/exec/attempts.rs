//! Runs the attempts of one command.

use super::breaker::{Admitted, Breaker};
use super::failure::{CommandFailure, exit_code, of_signal};
use super::household::{ATTEMPT, Household};
use super::input::Input;
use super::reach::Reach;
use super::running::Running;
use super::signals::Received;
use rustix::process::Signal;
use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::sync::Mutex;
use upright::PolicySlot;
use upright::error::CircuitOpen;
use upright::types::Fault;

#[derive(Debug)]
pub(super) enum Done {
    Succeeded,
    /// Exit code of the command after a signal for this program.
    Interrupted(u8),
    Rejected(CircuitOpen),
    Opened,
    /// Retryable, but standard input was too long to replay.
    InputGone,
}

pub(super) struct Terms<'a> {
    pub(super) command: &'a [OsString],
    pub(super) limit: Option<Duration>,
    pub(super) retry_on: &'a [u8],
    pub(super) breaker: Option<Breaker>,
    pub(super) policy: PolicySlot,
    pub(super) repeated: bool,
}

pub(super) struct Attempts<'a> {
    terms: Terms<'a>,
    household: Household,
    process: Mutex<Process>,
    reach: Cell<Option<Reach>>,
    received: Cell<Option<Signal>>,
    made: Cell<u32>,
    admitted: Cell<Option<Admitted>>,
    last: RefCell<Option<CommandFailure>>,
}

struct Process {
    input: Input,
    /// `None` when nothing of the last attempt remains.
    running: Option<Running>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(terms: Terms<'a>, input: Input) -> Self {
        Self {
            terms,
            household: Household::new(),
            process: Mutex::new(Process { input, running: None }),
            reach: Cell::default(),
            received: Cell::default(),
            made: Cell::default(),
            admitted: Cell::default(),
            last: RefCell::default(),
        }
    }

    pub(super) fn program(&self) -> &OsStr {
        self.terms.command.first().map(OsString::as_os_str).unwrap_or_default()
    }

    pub(super) fn made(&self) -> u32 {
        self.made.get()
    }

    pub(super) fn last(&self) -> Option<CommandFailure> {
        self.last.borrow().clone()
    }

    pub(super) async fn attempt(&self, number: u32) -> Result<Done, CommandFailure> {
        let Terms { command, limit, retry_on, breaker, policy, repeated } = &self.terms;
        if let Some(breaker) = breaker {
            match breaker.admit().await {
                Ok(admitted) => self.admitted.set(Some(admitted)),
                Err(open) => return Ok(Done::Rejected(open)),
            }
        }
        let mut process = self.process.lock().await;
        self.clear(&mut process).await;
        self.made.set(number);
        let ended = match self.run(&mut process, command, &[(ATTEMPT, number.to_string())]).await {
            Some(ended) => ended.map_err(|error| CommandFailure::not_started(&error)),
            None => Err(CommandFailure::timed_out(limit.unwrap_or_default())),
        };
        let words = process.running.as_mut().map(|running| {
            running.leave(&self.household);
            running.said()
        });
        let repeatable = process.input.is_repeatable();
        drop(process);
        if self.is_interrupted() {
            return Ok(Done::Interrupted(ended.map_or_else(|failure| failure.code, exit_code)));
        }
        let failure = match ended {
            Ok(status) if status.success() => {
                self.settle(Ok(())).await;
                return Ok(Done::Succeeded);
            }
            Ok(status) => CommandFailure::of(self.program(), status, &words.unwrap_or_default(), retry_on, policy),
            Err(failure) => failure,
        };
        self.last.replace(Some(failure.clone()));
        if self.settle(Err(failure.fault.clone())).await {
            return Ok(Done::Opened);
        }
        if *repeated && !repeatable && policy.classify(&failure.fault).retryable {
            return Ok(Done::InputGone);
        }
        Err(failure)
    }

    pub(super) async fn fallback(&self, words: &[OsString], environment: &[(&str, String)]) -> io::Result<u8> {
        let mut process = self.process.lock().await;
        self.clear(&mut process).await;
        if let Some(signal) = self.received.get() {
            return Ok(of_signal(signal.as_raw()));
        }
        let Process { input, running } = &mut *process;
        let running = running.insert(Running::start(words, input, &self.household, false, environment)?);
        self.reach.set(Some(running.reach()));
        let ended = running.ended(input).await;
        self.reach.set(None);
        ended.map(exit_code)
    }

    /// Ends what the previous attempt left running.
    async fn clear(&self, process: &mut Process) {
        let Process { input, running } = process;
        if let Some(left) = running {
            left.stop(&self.household, input).await;
            *running = None;
        }
    }

    /// `None` on timeout.
    async fn run(&self, process: &mut Process, words: &[OsString], environment: &[(&str, String)]) -> Option<io::Result<ExitStatus>> {
        let Process { input, running } = process;
        let running = match Running::start(words, input, &self.household, true, environment) {
            Ok(started) => running.insert(started),
            Err(error) => return Some(Err(error)),
        };
        self.reach.set(Some(running.reach()));
        let ended = match self.terms.limit {
            None => Some(running.ended(input).await),
            Some(limit) => tokio::time::timeout(limit, running.ended(input)).await.ok(),
        };
        if ended.is_none() {
            running.stop(&self.household, input).await;
            process.running = None;
        }
        self.reach.set(None);
        ended
    }

    async fn settle(&self, ended: Result<(), Fault>) -> bool {
        match (&self.terms.breaker, self.admitted.take()) {
            (Some(breaker), Some(admitted)) => breaker.settle(admitted, ended).await,
            _ => false,
        }
    }

    /// Ends what the deadline or a signal left running.
    pub(super) async fn finish(&self, deadline: Option<Duration>) {
        self.end_what_runs(deadline).await;
        // An interrupted attempt says nothing about the service; another call may probe.
        if let (Some(breaker), Some(admitted)) = (&self.terms.breaker, self.admitted.take()) {
            breaker.give_back(admitted).await;
        }
    }

    async fn end_what_runs(&self, deadline: Option<Duration>) {
        let mut process = self.process.lock().await;
        let Process { input, running } = &mut *process;
        let Some(left) = running.as_mut().filter(|running| !running.is_left() || running.is_being_stopped()) else { return };
        left.stop(&self.household, input).await;
        let was_left = left.is_left();
        *running = None;
        self.reach.set(None);
        let Some(deadline) = deadline.filter(|_| !was_left) else { return };
        let failure = CommandFailure::timed_out(deadline);
        // A later attempt had less time than the deadline, which says nothing against the service.
        if self.made() == 1 && self.received.get().is_none() {
            self.settle(Err(failure.fault.clone())).await;
        }
        self.last.replace(Some(failure));
    }

    pub(super) async fn let_live(&self) {
        if let Some(left) = self.process.lock().await.running.take() {
            left.let_live();
        }
    }

    /// Forwards a signal; returns the exit code to end with if nothing runs.
    pub(super) fn receive(&self, received: Received) -> Option<u8> {
        let Received { signal, from_terminal } = received;
        let impatient = self.received.replace(Some(signal)).is_some() && signal == Signal::INT;
        let Some(reach) = self.reach.get() else { return Some(of_signal(signal.as_raw())) };
        if impatient {
            self.household.kill(reach);
        } else if !(from_terminal && matches!(reach, Reach::Tree(_))) {
            reach.signal(signal);
            // A stopped process would not receive it.
            reach.signal(Signal::CONT);
        }
        None
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.received.get().is_some()
    }
}
