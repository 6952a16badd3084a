//! Gives injected failures real facts.

use crate::fault::{KnownFault, find_in_chain};
use crate::types::{Fault, FaultKind};
use std::error::Error;
use std::io;

/// A failure that [`super::Chaos`] injected, classified like a real one.
///
/// Your error type needs a `From`, such as `thiserror`'s `#[from]`; boxed `dyn Error`, `anyhow::Error` and
/// `std::io::Error` have one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{} (injected)", known.fault.message)]
pub struct InjectedFailure {
    /// Number of the call, from 1.
    pub call: u64,
    /// The simulated fault.
    #[source]
    pub known: KnownFault,
}

impl InjectedFailure {
    /// Finds an injected failure in a chain of causes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use upright::RetryStrategy;
    /// use upright::chaos::{Chaos, InjectedFailure, transient};
    ///
    /// let chaos = Chaos::<std::io::Error>::builder().fail_with(1.0, transient()).build()?;
    /// let retry = RetryStrategy::builder().max_retries(0).build()?;
    /// let error = retry.execute(|| chaos.call(|| async { Ok(()) })).await.unwrap_err();
    /// assert_eq!(InjectedFailure::find(&error).map(|injected| injected.call), Some(1));
    /// # Ok(()) }
    /// ```
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        find_in_chain(error)
    }
}

impl From<InjectedFailure> for io::Error {
    fn from(failure: InjectedFailure) -> Self {
        Self::other(failure)
    }
}

/// A passing failure: status 503, like a busy server. It is retried, and breakers count it.
pub fn transient() -> Fault {
    Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "the service is unavailable") }
}
