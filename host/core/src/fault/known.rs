//! Lets an error type state its facts.

use crate::types::Fault;

/// An error that carries its facts; [`fault_of`](super::fault_of) ignores the rest of the chain. Make it your error's
/// source:
///
/// ```
/// use upright::fault::{KnownFault, fault_of};
/// use upright::types::{Fault, FaultKind};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("row {row} is malformed")]
/// struct Malformed {
///     row: u64,
///     #[source]
///     known: KnownFault,
/// }
///
/// let malformed = |row| Malformed { row, known: Fault::new(FaultKind::InvalidInput, format!("row {row} is malformed")).into() };
/// assert_eq!(fault_of(&malformed(7)).kind, FaultKind::InvalidInput);
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", fault.message)]
pub struct KnownFault {
    /// The facts.
    pub fault: Fault,
}

impl From<Fault> for KnownFault {
    fn from(fault: Fault) -> Self {
        Self { fault }
    }
}
