//! Reduces any error to facts.
//!
//! A failure's meaning often stands deep in its chain of causes. Readers (`readers`) examine each error of the chain.
//! Specific facts (an errno, a status) beat general ones ("could not connect"); the bounded text comes last.

mod known;
mod message;
mod operation;
mod readers;
#[cfg(test)]
mod tests;

use crate::error::BoxError;
use crate::types::{Circumstances, Fault, FaultKind, ModelFacts};
pub use known::KnownFault;
use message::Bounded;
pub use operation::OperationError;
pub use readers::endpoint_of;
pub(crate) use readers::find;
use readers::{Reading, Strength};
use std::error::Error;
use std::fmt::Write as _;
#[doc(hidden)]
pub use upright_logic::types::MESSAGE_LIMIT;
use upright_protocol::OllamaError;
pub use upright_protocol::{ErrorBody, fault_of_answer};

type Link = dyn Error + 'static;

/// Maximum number of errors read; ends cyclic chains.
const DEPTH: usize = 32;

/// Texts that refine a failure to connect.
const CONNECT_TEXTS: &[(&str, FaultKind)] = &[
    ("dns error", FaultKind::Dns),
    ("failed to lookup address information", FaultKind::Dns),
    ("certificate", FaultKind::Tls),
    ("handshake", FaultKind::Tls),
];

/// The facts of the most specific error in the chain of causes; of equally specific ones, the outermost.
///
/// The message joins the outermost text and those of causes that it does not contain, up to
/// [`MESSAGE_LIMIT`] bytes. Never fails, even if an error cannot produce its text.
pub fn fault_of(error: &(dyn Error + 'static)) -> Fault {
    let mut fault = Fault::new(FaultKind::Other, "");
    let mut strength = Strength::Nothing;
    let mut message = String::new();
    // Without the text of the link before.
    let mut outer = String::new();
    for link in links(error) {
        let Reading { fault: read, strength: read_strength } = readers::read(link);
        if read_strength >= Strength::Whole {
            message = joined(if read_strength == Strength::Carried { outer } else { message }, &read.message);
            fault = read;
            strength = read_strength;
            break;
        }
        outer = message.clone();
        message = joined(message, &message::text_of(link));
        if read_strength > strength {
            fault.kind = read.kind;
            strength = read_strength;
        }
        fault.status = fault.status.or(read.status);
        fault.errno = fault.errno.or(read.errno);
        fault.retry_after = fault.retry_after.or(read.retry_after);
        if fault.endpoint == crate::types::Endpoint::Other {
            fault.endpoint = read.endpoint;
        }
    }
    if fault.kind == FaultKind::Unreachable && strength == Strength::General {
        fault.kind = by_text(&message, CONNECT_TEXTS).unwrap_or(fault.kind);
    }
    fault.message = message;
    fault
}

/// Shortens a text to [`MESSAGE_LIMIT`] bytes; keeps beginning and end.
pub fn bounded(text: &str) -> String {
    let mut kept = Bounded::default();
    // Cannot fail.
    let _ = kept.write_str(text);
    kept.finish()
}

/// Reads the facts of a caller's own error type. `None` defers to [`fault_of`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use upright::RetryStrategy;
/// use upright::types::{Fault, FaultKind};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("row {0} is malformed")]
/// struct Malformed(u64);
///
/// let retry = RetryStrategy::builder()
///     .fault_reader(|error| error.downcast_ref::<Malformed>().map(|malformed| Fault::new(FaultKind::InvalidInput, malformed.to_string())))
///     .build()?;
/// # Ok(()) }
/// ```
pub type FaultReader = std::sync::Arc<dyn Fn(&(dyn Error + 'static)) -> Option<Fault> + Send + Sync>;

/// An error type that says what it is. A strategy reads it after
/// [`describes`](crate::retry::RetryStrategyBuilder::describes).
pub trait DescribesItself: Error + 'static {
    /// The facts about this error.
    fn fault(&self) -> Fault;
}

/// The errors of a chain of causes, outermost first.
pub(crate) fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a Link> {
    std::iter::successors(Some(error), |link| cause(*link)).take(DEPTH)
}

/// [`fault_of`] for a boxed error.
pub fn fault_of_boxed(error: &BoxError) -> Fault {
    fault_of(&**error)
}

/// Finds an error of type `E` in the chain of causes, also boxed, shared or in an I/O error.
pub fn find_in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    links(error).find_map(readers::find)
}

pub(crate) fn circumstances_of(error: &(dyn Error + 'static)) -> Option<Circumstances> {
    find_in_chain::<OllamaError>(error).and_then(OllamaError::circumstances)
}

/// Facts of the server's models, if the client looked them up.
pub(crate) fn models_of<'a>(error: &'a (dyn Error + 'static)) -> &'a [(String, ModelFacts)] {
    find_in_chain::<OllamaError>(error).and_then(OllamaError::window).map_or(&[], |refusal| &refusal.models)
}

fn cause(error: &Link) -> Option<&Link> {
    // `source()` of an I/O error skips the wrapped error.
    if let Some(inner) = readers::find::<std::io::Error>(error).and_then(std::io::Error::get_ref) {
        return Some(inner);
    }
    // The first failure decides; the fallback's stands in the text.
    if let Some(crate::error::Error::FallbackFailed { first, .. }) = readers::find(error) {
        return Some(&**first);
    }
    error.source()
}

fn joined(message: String, text: &str) -> String {
    if text.is_empty() || message.contains(text) {
        return message;
    }
    if message.is_empty() {
        return text.to_owned();
    }
    let mut longer = Bounded::default();
    // Cannot fail.
    let _ = write!(longer, "{message}: {text}");
    longer.finish()
}

fn by_text(text: &str, table: &[(&str, FaultKind)]) -> Option<FaultKind> {
    let text = text.to_ascii_lowercase();
    table.iter().find(|(phrase, _)| text.contains(phrase)).map(|(_, kind)| *kind)
}
