//! A failed attempt: exit code, description, and facts for the classifier.

use super::becoming;
use super::codes::{self, Says};
use super::meaning::{Meaning, meaning, start_failed};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;
use upright::PolicySlot;
use upright::types::{Fault, FaultKind};

/// Exit code of `timeout`.
const TIMED_OUT: u8 = 124;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// A shell adds the signal's number.
const KILLED: u8 = 128;

pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let killed = || status.signal().map(of_signal);
    // Exit codes and signals fit into a byte.
    status.code().and_then(|code| u8::try_from(code).ok()).or_else(killed).unwrap_or(1)
}

pub(super) fn of_signal(signal: i32) -> u8 {
    KILLED.saturating_add(u8::try_from(signal).unwrap_or_default())
}

pub(super) fn of_start(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

#[derive(Clone, Debug)]
pub(super) struct CommandFailure {
    pub(super) code: u8,
    pub(super) fault: Fault,
    what: String,
}

impl CommandFailure {
    pub(super) fn of(program: &OsStr, status: ExitStatus, words: &str, retry_on: &[u8], policy: &PolicySlot) -> Self {
        let code = exit_code(status);
        let (mut says, usual) = match status.signal() {
            Some(signal) => codes::of_signal(signal),
            None => codes::of_code(program, code),
        };
        if retry_on.contains(&code) {
            // A failure of this kind is retryable.
            says = Says::Plainly(FaultKind::RejectedResult);
        }
        let how = match status.signal() {
            Some(signal) => match codes::SIGNALS.iter().find(|(number, ..)| *number == signal) {
                Some((_, name, ..)) => format!("ended by {name}"),
                None => format!("ended by signal {signal}"),
            },
            None => format!("exit code {code}"),
        };
        let mut heard = meaning(program, says, words, policy);
        if matches!(code, NOT_EXECUTABLE | NOT_FOUND)
            && !matches!(says, Says::Plainly(_))
            && let Some(error) = becoming::why_not_started(words)
        {
            // The error number is exact, so it overrides the text.
            let fault = Fault { message: words.to_owned(), ..start_failed(&error) };
            heard = Meaning { contradicted: policy.classify(&fault).retryable, fault };
        }
        let what = if usual.is_empty() || heard.contradicted { how } else { format!("{how}, {usual}") };
        Self { code, fault: heard.fault, what }
    }

    pub(super) fn timed_out(limit: Duration) -> Self {
        let what = format!("it took longer than {} s", limit.as_secs_f64());
        Self { code: TIMED_OUT, fault: Fault::new(FaultKind::Timeout, what.clone()), what }
    }

    pub(super) fn not_started(error: &io::Error) -> Self {
        let what = format!("it could not be started: {error}");
        Self { code: of_start(error), fault: Fault { message: what.clone(), ..start_failed(error) }, what }
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

impl std::error::Error for CommandFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(raw: i32, retry_on: &[u8]) -> CommandFailure {
        CommandFailure::of(OsStr::new("x"), ExitStatus::from_raw(raw), "words", retry_on, &PolicySlot::native())
    }

    #[test]
    fn exit_codes_and_signals_are_reported_as_a_shell_does() {
        let expected = [
            (7 << 8, 7, "exit code 7"),
            (75 << 8, 75, "exit code 75, temporary failure"),
            (15, 143, "ended by SIGTERM"),
            (50, 178, "ended by signal 50"),
        ];
        for (raw, code, what) in expected {
            let failure = failed(raw, &[]);
            assert_eq!((failure.code, failure.to_string().as_str()), (code, what));
            assert_eq!(failure.fault.message, "words");
        }
        let missing = CommandFailure::not_started(&io::Error::from(io::ErrorKind::NotFound));
        assert_eq!((missing.code, missing.fault.kind), (127, FaultKind::NotFound));
    }

    #[test]
    fn exit_codes_named_by_retry_on_are_retried_even_if_permanent() {
        let policy = PolicySlot::native();
        for code in [1, 2, 127] {
            assert!(!policy.classify(&failed(code << 8, &[]).fault).retryable);
            let code_wanted = u8::try_from(code).unwrap();
            assert!(policy.classify(&failed(code << 8, &[code_wanted]).fault).retryable);
        }
    }
}
