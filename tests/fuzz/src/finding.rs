//! Findings: promises that do not hold.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Broken promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// Bad input panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// Message of the panic.
        message: String,
    },
    /// A refusal is not one line of text.
    #[error("a refusal that is not one line: {refusal:?}")]
    NotOneLine {
        /// The refusal.
        refusal: String,
    },
    /// An answer makes no sense.
    #[error("{question} was answered with nonsense: {answer}; expected {expected}")]
    Nonsense {
        /// Function or other place.
        question: &'static str,
        /// The answer.
        answer: String,
        /// A sensible answer.
        expected: &'static str,
    },
    /// Component and native code disagree.
    #[error("{question} was answered differently: by the component {component}; natively {native}")]
    Unequal {
        /// The function.
        question: &'static str,
        /// The component's answer.
        component: String,
        /// The native answer.
        native: String,
    },
    /// The built-in policy did not answer.
    #[error("{question} was answered natively in the component's place, or not at all: {answer}")]
    NotAnswered {
        /// The function.
        question: &'static str,
        /// The answer in its place.
        answer: String,
    },
    /// A repeatedly failing policy was not replaced.
    #[error("a policy failed {failures} times and still decides; expected at most {allowed} failures")]
    NotReplaced {
        /// Number of failures.
        failures: u64,
        /// Maximum number of failures.
        allowed: usize,
    },
    /// Repetition needs ever more memory.
    #[error("the process has {resident} bytes of memory, and had {before} in the beginning")]
    Grew {
        /// Bytes now.
        resident: u64,
        /// Bytes at the beginning.
        before: u64,
    },
}

/// Runs something that must not panic.
///
/// # Errors
/// [`Broken::Panicked`], or the promise it found broken.
pub fn caught(examine: impl FnOnce() -> Result<(), Broken>) -> Result<(), Broken> {
    catch_unwind(AssertUnwindSafe(examine)).unwrap_or_else(|payload| Err(Broken::Panicked { message: message(&*payload) }))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic that says nothing").to_owned()
}

/// Checks that a refusal is one line of printable text.
///
/// # Errors
/// [`Broken::NotOneLine`].
pub fn one_line(refusal: &str) -> Result<(), Broken> {
    if refusal.is_empty() || refusal.chars().any(char::is_control) {
        return Err(Broken::NotOneLine { refusal: refusal.to_owned() });
    }
    Ok(())
}
