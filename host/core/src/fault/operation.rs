//! Accepts any error that operations return, and keeps its type.

use crate::error::BoxError;

/// An error that operations may return: every [`std::error::Error`], `String`, `&str`, `Box<dyn Error + Send + Sync>`
/// and `anyhow::Error`.
pub trait OperationError: Send + Sized + 'static {
    /// Boxes the error; `downcast_ref` still finds its type.
    fn into_boxed(self) -> BoxError;
}

impl<E: Into<BoxError> + Send + 'static> OperationError for E {
    fn into_boxed(self) -> BoxError {
        let mut slot = Some(self);
        #[cfg(feature = "anyhow")]
        if let Some(error) = anyhow_in(&mut slot) {
            // The plain conversion boxes anyhow's wrapper, which hides the type.
            return error.reallocate_into_boxed_dyn_error_without_backtrace();
        }
        // Empty only after the return above.
        slot.take().map_or_else(|| "an error that is gone".into(), Into::into)
    }
}

/// No trait identifies `anyhow::Error` at compile time.
#[cfg(feature = "anyhow")]
fn anyhow_in<E: 'static>(slot: &mut Option<E>) -> Option<anyhow::Error> {
    let slot: &mut dyn std::any::Any = slot;
    slot.downcast_mut::<Option<anyhow::Error>>().and_then(Option::take)
}
