//! The errors that operations may return.

use crate::error::BoxError;

/// An error that an operation may return: anything that goes into a box of `dyn Error`.
///
/// That is each type that implements [`std::error::Error`], but also `String`, `&str`, `Box<dyn Error + Send + Sync>` and `anyhow::Error`.
/// It need not be implemented by hand.
pub trait OperationError: Send + Sized + 'static {
    /// The error in a box, from which its own type can be had back by `downcast_ref`.
    fn into_boxed(self) -> BoxError;
}

impl<E: Into<BoxError> + Send + 'static> OperationError for E {
    fn into_boxed(self) -> BoxError {
        let mut slot = Some(self);
        #[cfg(feature = "anyhow")]
        if let Some(error) = anyhow_in(&mut slot) {
            // The plain conversion would box anyhow's own wrapper, out of which nothing can be downcast.
            return error.reallocate_into_boxed_dyn_error_without_backtrace();
        }
        // Taken only above, and then this is not reached.
        slot.take().map_or_else(|| "an error that is gone".into(), Into::into)
    }
}

/// Takes the error out if it is one of anyhow's. `anyhow::Error` implements no trait by which it could be told at compile time.
#[cfg(feature = "anyhow")]
fn anyhow_in<E: 'static>(slot: &mut Option<E>) -> Option<anyhow::Error> {
    let slot: &mut dyn std::any::Any = slot;
    slot.downcast_mut::<Option<anyhow::Error>>().and_then(Option::take)
}
