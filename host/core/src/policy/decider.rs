//! A policy other than the built-in logic.

use super::question::{Answer, Ask};
use crate::error::BoxError;
use crate::types::Description;
use std::any::Any;
use std::fmt::Debug;

/// Answers the contract's questions: a WebAssembly component, or a test.
///
/// Its answers are not trusted: a [`PolicySlot`](super::PolicySlot) checks each against its question.
pub trait Decider: Any + Debug + Send + Sync {
    /// The policy's name, version and breaker-state layout.
    fn describe(&self) -> Description;

    /// The layout of the private memory that the policy writes into a breaker's state.
    fn state_layout(&self) -> u32 {
        self.describe().state_layout
    }

    /// SHA-256 of the component in hexadecimal; `None` for a policy that is not a component.
    fn digest(&self) -> Option<&str> {
        None
    }

    /// Answers one question.
    ///
    /// # Errors
    /// [`PolicyFailure`] where there is no answer, such as a component that traps or takes too long.
    fn answer(&self, ask: Ask<'_>) -> Result<Answer, PolicyFailure>;
}

/// A question that a policy did not answer, or answered with something that the question does not allow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFailure {
    /// The policy gave no answer.
    #[error(transparent)]
    NoAnswer(BoxError),

    /// The policy gave an answer that cannot be followed.
    #[error("the policy answered nonsense in {function}: {answer}; expected {expected}")]
    Nonsense {
        /// The function that was asked.
        function: &'static str,
        /// The answer.
        answer: String,
        /// The answers that the question allows.
        expected: &'static str,
    },
}
