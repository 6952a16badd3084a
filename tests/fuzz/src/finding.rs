//! What was found: a promise that does not hold.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A promise that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// Bad input never panics.
    #[error("panicked: {message}")]
    Panicked {
        /// What the panic says.
        message: String,
    },
    /// A refusal is one line of text.
    #[error("a refusal that is not one line: {refusal:?}")]
    NotOneLine {
        /// The refusal.
        refusal: String,
    },
    /// Answers that a caller gets make sense.
    #[error("{question} was answered with nonsense: {answer}; expected {expected}")]
    Nonsense {
        /// The function, or where else.
        question: &'static str,
        /// What was answered.
        answer: String,
        /// What would have made sense.
        expected: &'static str,
    },
    /// Component and native code give the same answers.
    #[error("{question} was answered differently: by the component {component}; natively {native}")]
    Unequal {
        /// The function.
        question: &'static str,
        /// The component's answer.
        component: String,
        /// The native answer.
        native: String,
    },
    /// The policy that comes with the host answers all that a host can ask.
    #[error("{question} was answered natively in the component's place, or not at all: {answer}")]
    NotAnswered {
        /// The function.
        question: &'static str,
        /// What was answered in its place.
        answer: String,
    },
    /// A policy that fails repeatedly is replaced.
    #[error("a policy failed {failures} times and still decides; expected at most {allowed} failures")]
    NotReplaced {
        /// How often.
        failures: u64,
        /// How often it may.
        allowed: usize,
    },
    /// What is done again and again does not need more and more memory.
    #[error("the process has {resident} bytes of memory, and had {before} in the beginning")]
    Grew {
        /// Now.
        resident: u64,
        /// In the beginning.
        before: u64,
    },
}

/// Does something that must not panic.
///
/// # Errors
/// [`Broken::Panicked`], or the promise that did not hold.
pub fn caught(examine: impl FnOnce() -> Result<(), Broken>) -> Result<(), Broken> {
    catch_unwind(AssertUnwindSafe(examine)).unwrap_or_else(|payload| Err(Broken::Panicked { message: message(&*payload) }))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic that says nothing").to_owned()
}

/// Whether a refusal is one line of printable text.
///
/// # Errors
/// [`Broken::NotOneLine`].
pub fn one_line(refusal: &str) -> Result<(), Broken> {
    if refusal.is_empty() || refusal.chars().any(char::is_control) {
        return Err(Broken::NotOneLine { refusal: refusal.to_owned() });
    }
    Ok(())
}
