//! Exit codes and error lines.

use crate::output;
use std::io;
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    Failed = 1,
    BadInput = 2,
    NothingTried = 3,
    DeadlineExceeded = 4,
    Interrupted = 130,
    BrokenPipe = 141,
}

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  success
    1  failed: no whole answer, something unhealthy, a line without an answer, a decision that differs
    2  bad input: a wrong flag, value, file or policy; one line names the expected value
    3  a circuit breaker is open
    4  the deadline has passed
  101  internal error
  130  interrupted (Ctrl-C)
  141  broken pipe: the reader of the output has gone
  exec returns its command's exit code instead of 0 and 1";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    /// The wrong place in a file, on lines of its own.
    pub(crate) excerpt: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), excerpt: None }
    }

    /// The message names the value found and the value expected.
    pub(crate) fn bad_input(message: impl std::fmt::Display) -> Self {
        Self::new(Exit::BadInput, message.to_string())
    }
}

pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return Exit::BrokenPipe.into();
    }
    output::complain(causes(error));
    let failure = error.downcast_ref::<Failure>();
    failure.and_then(|failure| failure.excerpt.as_deref()).into_iter().for_each(output::quote);
    failure.map_or(Exit::Failed, |failure| failure.exit).into()
}

/// Omits a cause that an outer error repeats.
fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match &*text {
        "" => cause,
        said if said.contains(&cause) => text,
        said => format!("{said}: {cause}"),
    })
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_explained() {
        for exit in
            [Exit::Success, Exit::Failed, Exit::BadInput, Exit::NothingTried, Exit::DeadlineExceeded, Exit::Interrupted, Exit::BrokenPipe]
        {
            let line = format!("{:>5}  ", exit as u8);
            assert!(EXIT_CODES.lines().any(|explained| explained.starts_with(&line)), "{exit:?}");
        }
    }

    #[test]
    fn an_error_text_does_not_repeat_its_cause() {
        let damaged = || io::Error::other("a wrong magic number");
        let shown = |error: anyhow::Error| causes(&error);
        assert_eq!(shown(anyhow::Error::new(damaged()).context("the store")), "the store: a wrong magic number");
        assert_eq!(
            shown(anyhow::Error::new(damaged()).context("no store: a wrong magic number; move it")),
            "no store: a wrong magic number; move it"
        );
    }

    #[test]
    fn a_reader_that_left_is_recognised_behind_other_errors() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert_eq!(report(&error), Exit::BrokenPipe.into());
        let other = anyhow::Error::new(Failure::bad_input("x"));
        assert_eq!(report(&other), Exit::BadInput.into());
    }
}
