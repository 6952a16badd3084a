//! What an injected failure is.

use crate::fault::{KnownFault, find_in_chain};
use crate::types::{Fault, FaultKind};
use std::error::Error;
use std::io;

/// A failure that [`super::Chaos`] injected, with the facts that it was told to have. It is classified by those, as the real failure would be.
///
/// Operations that fail with a box of `dyn Error`, `anyhow::Error` or `std::io::Error` can have it as it is; an error type of your own takes it by a
/// `From`, such as `thiserror`'s `#[from]` writes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{} (injected)", known.fault.message)]
pub struct InjectedFailure {
    /// The number of the call that it was injected into, from 1.
    pub call: u64,
    /// What it passes for.
    #[source]
    pub known: KnownFault,
}

impl InjectedFailure {
    /// The injected failure behind an error, if there is one, however deep in its chain of causes.
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

/// A failure that passes by itself: status 503, as a busy server answers. It is retried, and breakers count it.
pub fn transient() -> Fault {
    Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "the service is unavailable") }
}
