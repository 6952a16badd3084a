//! Lets code other than the built-in logic decide.

use super::question::{Answer, Ask};
use crate::error::BoxError;
use crate::types::Description;
use std::any::Any;
use std::fmt::Debug;

/// Answers the contract's questions: a WebAssembly component, or a test. A [`PolicySlot`](super::PolicySlot) checks
/// each answer.
pub trait Decider: Any + Debug + Send + Sync {
    /// Name, version and breaker-state layout.
    fn describe(&self) -> Description;

    /// Layout of its memory in a breaker's state.
    fn state_layout(&self) -> u32 {
        self.describe().state_layout
    }

    /// The component's SHA-256 in hexadecimal; else `None`.
    fn digest(&self) -> Option<&str> {
        None
    }

    /// Answers a question.
    ///
    /// # Errors
    /// [`PolicyFailure`] without an answer, such as after a trap or timeout.
    fn answer(&self, ask: Ask<'_>) -> Result<Answer, PolicyFailure>;
}

/// A missing or rejected answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFailure {
    /// No answer.
    #[error(transparent)]
    NoAnswer(BoxError),

    /// An answer that the question does not allow.
    #[error("the policy answered nonsense in {function}: {answer}; expected {expected}")]
    Nonsense {
        /// Function.
        function: &'static str,
        /// Answer.
        answer: String,
        /// Allowed answers.
        expected: &'static str,
    },
}
