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

/// Operations that can be retried: asynchronous functions without arguments, closures that return futures, `async`
/// closures.
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
    /// Runs the operation, with retries as the strategy's policy decides.
    ///
    /// # Errors
    /// Those of [`RetryStrategy::execute`].
    fn retry(self, strategy: &RetryStrategy) -> impl Future<Output = Result<T, Error>> {
        strategy.execute(self)
    }

    /// Runs the operation with retries. An `Ok` result that `accept` rejects counts as a failure.
    ///
    /// # Errors
    /// Those of [`RetryStrategy::execute_accepting`].
    fn retry_accepting(mut self, strategy: &RetryStrategy, accept: impl Fn(&T) -> bool) -> impl Future<Output = Result<T, Error>> {
        strategy.execute_accepting(move |_| self(), accept)
    }

    /// Runs the operation with retries, and the fallback if they fail or the strategy's breaker is open.
    ///
    /// # Errors
    /// Those of [`RetryStrategy::execute_with_fallback`].
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

/// Blocking operations that can be retried.
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
    /// Runs the operation, with retries as the strategy's policy decides. Waits block the thread.
    ///
    /// # Errors
    /// Those of [`RetryStrategy::execute`].
    fn retry_blocking(self, strategy: &RetryStrategy) -> Result<T, Error> {
        strategy.execute_blocking(self)
    }

    /// Runs the operation with retries, and the fallback if they fail or the strategy's breaker is open.
    ///
    /// # Errors
    /// Those of [`RetryStrategy::execute_with_fallback`].
    fn retry_blocking_or<G: OperationError>(self, strategy: &RetryStrategy, fallback: impl FnOnce() -> Result<T, G>) -> Result<T, Error> {
        strategy.execute_with_fallback_blocking(self, fallback)
    }
}

impl<T, E: OperationError, O: FnMut() -> Result<T, E>> RetryableBlocking<T, E> for O {}
