//! A failure whose facts are known.

use crate::types::Fault;

/// An error that carries its facts: classified by them, and by nothing else of its chain. An error type of your own names it as its source:
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
