//! How `exec` ends: exit code, message, and the reason for the fallback.

use super::attempts::{Attempts, Done};
use crate::exit::Exit;
use std::time::Duration;
use upright::Error;
use upright::error::AttemptTimeout;
use upright::types::{ErrorCategory, Reason};

pub(super) enum Outcome {
    Ended(Result<Done, Error>),
    /// A signal arrived between attempts.
    Interrupted(u8),
}

pub(super) struct Ending {
    pub(super) code: u8,
    pub(super) reason: &'static str,
    pub(super) sentence: Option<String>,
    pub(super) replaceable: bool,
}

/// Not one of the policy's reasons.
const INPUT_GONE: &str = "input_too_long";

impl Ending {
    fn silent(code: u8) -> Self {
        Self { code, reason: "", sentence: None, replaceable: false }
    }

    fn new(code: u8, reason: &'static str, sentence: String) -> Self {
        Self { code, reason, sentence: Some(sentence), replaceable: true }
    }

    pub(super) fn of(outcome: &Outcome, attempts: &Attempts<'_>, deadline: Option<Duration>) -> Self {
        let report = Report(attempts);
        let open = Reason::CircuitOpen.name();
        let error = match outcome {
            Outcome::Interrupted(code) | Outcome::Ended(Ok(Done::Interrupted(code))) => return Self::silent(*code),
            Outcome::Ended(Ok(Done::Succeeded)) => return Self::silent(Exit::Success as u8),
            Outcome::Ended(Ok(Done::Rejected(rejected))) if attempts.made() == 0 => {
                return Self::new(Exit::NothingTried as u8, open, format!("{} was not run: {rejected}; try again then", report.name()));
            }
            Outcome::Ended(Ok(Done::Rejected(_) | Done::Opened)) => {
                return Self::new(report.code(), open, report.failed("its circuit breaker has opened"));
            }
            Outcome::Ended(Ok(Done::InputGone)) => {
                let megabytes = super::input::LONGEST >> 20;
                let why =
                    format!("its standard input is longer than {megabytes} MiB and cannot serve a new attempt; redirect it from a file");
                return Self::new(report.code(), INPUT_GONE, report.failed(&why));
            }
            Outcome::Ended(Err(error)) => error,
        };
        let Error::Failed(failure) = error else {
            return Self { code: Exit::Failed as u8, reason: "", sentence: Some(error.to_string()), replaceable: false };
        };
        let late = failure.reason == Reason::DeadlineExceeded || failure.source.is::<AttemptTimeout>();
        if late {
            let limit = deadline.unwrap_or_default().as_secs_f64();
            let why = format!("the deadline of {limit} s has passed; allow more time with --deadline");
            return Self::new(Exit::DeadlineExceeded as u8, Reason::DeadlineExceeded.name(), report.failed(&why));
        }
        let sentence = match failure.reason {
            Reason::NotRetryable if failure.classification.category == ErrorCategory::Unknown => {
                let code = report.code();
                report.failed(&format!("nothing suggests that a retry helps; --retry-on {code} retries anyway"))
            }
            Reason::AttemptsExhausted => report.failed("no retries are left"),
            Reason::Cancelled => report.failed("it was cancelled"),
            _ => report.failed("trying again cannot help"),
        };
        let ending = Self::new(report.code(), failure.reason.name(), sentence);
        Self { replaceable: failure.reason != Reason::Cancelled, ..ending }
    }
}

pub(super) struct Report<'a>(pub(super) &'a Attempts<'a>);

impl Report<'_> {
    pub(super) fn name(&self) -> String {
        self.0.program().display().to_string()
    }

    fn code(&self) -> u8 {
        self.0.last().map_or(Exit::Failed as u8, |failure| failure.code)
    }

    pub(super) fn last(&self) -> String {
        self.0.last().map_or_else(String::new, |failure| failure.to_string())
    }

    fn failed(&self, why: &str) -> String {
        let made = self.0.made();
        format!("{} failed after {made} attempt{} ({}): {why}", self.name(), if made == 1 { "" } else { "s" }, self.last())
    }
}
