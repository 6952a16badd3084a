//! A retry in one line: `fetch.retry(&strategy).await`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::{RetryStrategy, Retryable};
//!
//! async fn fetch() -> Result<String, std::io::Error> {
//!     Ok("page".to_owned())
//! }
//!
//! let page = fetch.retry(&RetryStrategy::default()).await?;
//! assert_eq!(page, "page");
//! # Ok(()) }
//! ```

use crate::error::Error;
use crate::fault::OperationError;
use crate::retry::RetryStrategy;

/// What can be called again and again for a future: asynchronous functions without arguments, closures that return futures, `async` closures.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use upright::{RetryStrategy, Retryable};
///
/// let retry = RetryStrategy::builder().max_retries(5).build()?;
/// let url = "http://127.0.0.1:11434";
/// let length = (|| async { Ok::<_, std::io::Error>(url.len()) }).retry(&retry).await?;
/// assert_eq!(length, 22);
/// # Ok(()) }
/// ```
pub trait Retryable<T, E, F>: FnMut() -> F + Sized
where
    E: OperationError,
    F: Future<Output = Result<T, E>>,
{
    /// Calls it, and again as the strategy's policy says.
    ///
    /// # Errors
    /// As [`RetryStrategy::execute`].
    fn retry(self, strategy: &RetryStrategy) -> impl Future<Output = Result<T, Error>> {
        strategy.execute(self)
    }

    /// The same; `Ok` results must be accepted too, and one that is not counts as a failure.
    ///
    /// # Errors
    /// As [`RetryStrategy::execute_accepting`].
    fn retry_accepting(mut self, strategy: &RetryStrategy, accept: impl Fn(&T) -> bool) -> impl Future<Output = Result<T, Error>> {
        strategy.execute_accepting(move |_| self(), accept)
    }

    /// The same, with what is run if it fails for good or the strategy's breaker is open.
    ///
    /// # Errors
    /// As [`RetryStrategy::execute_with_fallback`].
    fn retry_or<G, H>(self, strategy: &RetryStrategy, fallback: impl FnOnce() -> H) -> impl Future<Output = Result<T, Error>>
    where
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        strategy.execute_with_fallback(self, fallback)
    }
}

impl<T, E, F, O> Retryable<T, E, F> for O
where
    O: FnMut() -> F,
    E: OperationError,
    F: Future<Output = Result<T, E>>,
{
}

/// What can be called again and again and blocks.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use upright::{RetryStrategy, RetryableBlocking};
///
/// let manifest = (|| std::fs::read_to_string("Cargo.toml")).retry_blocking(&RetryStrategy::default())?;
/// assert!(manifest.contains("upright"));
/// # Ok(()) }
/// ```
pub trait RetryableBlocking<T, E: OperationError>: FnMut() -> Result<T, E> + Sized {
    /// Calls it, and again as the strategy's policy says; waits block the thread.
    ///
    /// # Errors
    /// As [`RetryStrategy::execute`].
    fn retry_blocking(self, strategy: &RetryStrategy) -> Result<T, Error> {
        strategy.execute_blocking(self)
    }

    /// The same, with what is run if it fails for good or the strategy's breaker is open.
    ///
    /// # Errors
    /// As [`RetryStrategy::execute_with_fallback`].
    fn retry_blocking_or<G: OperationError>(self, strategy: &RetryStrategy, fallback: impl FnOnce() -> Result<T, G>) -> Result<T, Error> {
        strategy.execute_with_fallback_blocking(self, fallback)
    }
}

impl<T, E: OperationError, O: FnMut() -> Result<T, E>> RetryableBlocking<T, E> for O {}
