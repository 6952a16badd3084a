//! Reads one error; each reader knows one type.

use super::{Link, by_text};
use crate::error::StoreError;
use crate::error::{self, AttemptTimeout, BulkheadFull, CircuitOpen, ConfigurationError, RejectedResult};
use crate::fault::KnownFault;
use crate::types::{Endpoint, Fault, FaultKind};
use FaultKind::*;
use Strength::{Carried, General, Nothing, Specific, Whole};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use upright_logic::classifier::kind_of_errno;
use upright_protocol::OllamaError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    Nothing,
    /// A deeper error may be more specific.
    General,
    /// An errno, a status, a type with one meaning.
    Specific,
    /// Complete: no other error of the chain counts.
    Whole,
    /// All is known, and the error that names it as its source says no more.
    Carried,
}

/// Has a message only if [`Strength::Whole`].
pub(super) struct Reading {
    pub(super) fault: Fault,
    pub(super) strength: Strength,
}

impl Reading {
    fn new(kind: FaultKind, strength: Strength) -> Self {
        Self { fault: Fault::new(kind, ""), strength }
    }
}

type Reader = fn(&Link) -> Option<Reading>;

/// The first match wins.
const READERS: &[Reader] = &[
    ollama,
    known,
    own,
    circuit_open,
    store,
    #[cfg(feature = "http")]
    http_client,
    #[cfg(feature = "http")]
    http,
    input_output,
    joined_task,
    json,
];

type IsOfType = fn(&Link) -> bool;

const TYPES: &[(IsOfType, FaultKind, Strength)] = &[
    (is::<AttemptTimeout>, Timeout, Specific),
    (is::<tokio::time::error::Elapsed>, Timeout, Specific),
    #[cfg(feature = "tls")]
    (is::<rustls::Error>, Tls, Specific),
    (is::<RejectedResult>, FaultKind::RejectedResult, Specific),
    (is::<std::collections::TryReserveError>, OutOfMemory, Specific),
    (is::<BulkheadFull>, FaultKind::BulkheadFull, Specific),
    (is::<ConfigurationError>, InvalidInput, Specific),
    (is::<std::num::ParseIntError>, InvalidInput, General),
    (is::<std::num::ParseFloatError>, InvalidInput, General),
    (is::<std::num::TryFromIntError>, InvalidInput, General),
    (is::<std::str::ParseBoolError>, InvalidInput, General),
    (is::<std::char::ParseCharError>, InvalidInput, General),
    (is::<std::str::Utf8Error>, InvalidInput, General),
    (is::<std::string::FromUtf8Error>, InvalidInput, General),
    (is::<std::net::AddrParseError>, InvalidInput, General),
];

const IO_KINDS: &[(ErrorKind, FaultKind, Strength)] = &[
    (ErrorKind::ConnectionRefused, ConnectionRefused, Specific),
    (ErrorKind::ConnectionReset, ConnectionReset, Specific),
    (ErrorKind::ConnectionAborted, ConnectionReset, Specific),
    (ErrorKind::BrokenPipe, ConnectionReset, Specific),
    (ErrorKind::NotConnected, ConnectionReset, Specific),
    (ErrorKind::UnexpectedEof, ConnectionReset, Specific),
    (ErrorKind::HostUnreachable, Unreachable, Specific),
    (ErrorKind::NetworkUnreachable, Unreachable, Specific),
    (ErrorKind::NetworkDown, Unreachable, Specific),
    (ErrorKind::TimedOut, Timeout, Specific),
    (ErrorKind::WouldBlock, Timeout, General),
    (ErrorKind::OutOfMemory, OutOfMemory, Specific),
    (ErrorKind::StorageFull, DiskFull, Specific),
    (ErrorKind::QuotaExceeded, DiskFull, Specific),
    (ErrorKind::PermissionDenied, PermissionDenied, Specific),
    (ErrorKind::ReadOnlyFilesystem, PermissionDenied, Specific),
    (ErrorKind::NotFound, NotFound, Specific),
    (ErrorKind::InvalidInput, InvalidInput, General),
    (ErrorKind::InvalidFilename, InvalidInput, General),
    (ErrorKind::ArgumentListTooLong, InvalidInput, General),
    (ErrorKind::InvalidData, InvalidAnswer, General),
];

/// The resolver's codes are no errnos; only text identifies these.
const IO_TEXTS: &[(&str, FaultKind)] = &[("failed to lookup address information", Dns)];

const ROUTES: &[(&str, Endpoint)] = &[
    ("/api/chat", Endpoint::Chat),
    ("/api/generate", Endpoint::Generate),
    ("/api/embed", Endpoint::Embed),
    ("/api/embeddings", Endpoint::Embed),
    ("/api/show", Endpoint::Show),
    ("/api/tags", Endpoint::Tags),
    ("/api/ps", Endpoint::Ps),
    ("/api/pull", Endpoint::Pull),
    ("/api/version", Endpoint::Version),
];

pub(super) fn read(error: &Link) -> Reading {
    let known = || TYPES.iter().find(|(is, ..)| is(error)).map(|(_, kind, strength)| Reading::new(*kind, *strength));
    READERS.iter().find_map(|reader| reader(error)).or_else(known).unwrap_or_else(|| Reading::new(Other, Nothing))
}

/// The error as this type, also where it is boxed or shared within the chain.
pub(crate) fn find<E: Error + 'static>(error: &Link) -> Option<&E> {
    error
        .downcast_ref::<E>()
        .or_else(|| error.downcast_ref::<Box<E>>().map(|inner| &**inner))
        .or_else(|| error.downcast_ref::<Arc<E>>().map(|inner| &**inner))
}

fn is<E: Error + 'static>(error: &Link) -> bool {
    find::<E>(error).is_some()
}

fn ollama(error: &Link) -> Option<Reading> {
    find::<OllamaError>(error).map(|error| Reading { fault: error.fault(), strength: Whole })
}

fn known(error: &Link) -> Option<Reading> {
    let fault = &find::<KnownFault>(error)?.fault;
    Some(Reading { fault: Fault { message: super::bounded(&fault.message), ..fault.clone() }, strength: Carried })
}

fn own(error: &Link) -> Option<Reading> {
    match find::<error::Error>(error)? {
        error::Error::ShuttingDown => Some(Reading::new(Cancelled, Specific)),
        error::Error::CircuitOpen(open) => circuit_open(open),
        error::Error::BulkheadFull(_) => Some(Reading::new(FaultKind::BulkheadFull, Specific)),
        error::Error::Configuration(_) => Some(Reading::new(InvalidInput, Specific)),
        error::Error::Store(error) => store(error),
        // The cause follows in the chain.
        error::Error::Failed(_) | error::Error::FallbackFailed { .. } => None,
        error::Error::NotReady(_) => None,
    }
}

fn circuit_open(error: &Link) -> Option<Reading> {
    let error = find::<CircuitOpen>(error)?;
    let mut reading = Reading::new(FaultKind::CircuitOpen, Specific);
    reading.fault.retry_after = error.time_left().map(|left| left.as_secs_f64());
    Some(reading)
}

fn store(error: &Link) -> Option<Reading> {
    let (kind, strength) = match find::<StoreError>(error)? {
        StoreError::KeyInvalid { .. }
        | StoreError::ValueTooLarge { .. }
        | StoreError::NotSerializable { .. }
        | StoreError::SchemaMismatch { .. }
        | StoreError::NotBuiltIn { .. } => (InvalidInput, Specific),
        StoreError::Corrupt { .. }
        | StoreError::Damaged { .. }
        | StoreError::NotAStore { .. }
        | StoreError::OldFormat { .. }
        | StoreError::Newer { .. } => (InvalidAnswer, Specific),
        StoreError::NetworkFileSystem { .. } => (InvalidInput, Specific),
        StoreError::Full { .. } => (DiskFull, Specific),
        StoreError::NotWritable { .. } => (PermissionDenied, Specific),
        StoreError::Closed => (Cancelled, Specific),
        StoreError::AddressInvalid { .. } => (InvalidInput, Specific),
        StoreError::Refused { .. } => (PermissionDenied, Specific),
        _ => (Other, Nothing),
    };
    let mut reading = Reading::new(kind, strength);
    reading.fault.endpoint = Endpoint::Store;
    Some(reading)
}

#[cfg(feature = "http")]
fn http_client(error: &Link) -> Option<Reading> {
    let error = find::<reqwest::Error>(error)?;
    let facts = [
        (error.status().is_some(), HttpStatus, Specific),
        (error.is_dns(), Dns, Specific),
        (error.is_timeout(), Timeout, Specific),
        (error.is_connect(), Unreachable, General),
        (error.is_decode(), InvalidAnswer, General),
        (error.is_redirect(), InvalidAnswer, General),
        (error.is_body(), IncompleteAnswer, General),
        (error.is_builder(), InvalidInput, General),
        (true, Other, Nothing),
    ];
    let mut reading = facts.into_iter().find(|(holds, ..)| *holds).map(|(_, kind, strength)| Reading::new(kind, strength))?;
    reading.fault.status = error.status().map(|status| status.as_u16());
    reading.fault.endpoint = error.url().map_or(Endpoint::Other, |url| endpoint_of(url.path()));
    Some(reading)
}

/// The endpoint of a URL path.
pub fn endpoint_of(path: &str) -> Endpoint {
    let path = path.trim_end_matches('/');
    match ROUTES.iter().find(|(route, _)| path.ends_with(route)) {
        Some((_, endpoint)) => *endpoint,
        None if path.contains("/v1/") => Endpoint::Openai,
        None => Endpoint::Other,
    }
}

#[cfg(feature = "http")]
fn http(error: &Link) -> Option<Reading> {
    let error = find::<hyper::Error>(error)?;
    let facts = [
        (error.is_timeout(), Timeout, Specific),
        (error.is_incomplete_message(), ConnectionReset, Specific),
        // The connection closed under the request.
        (error.is_canceled() || error.is_closed(), ConnectionReset, General),
        (error.is_parse(), InvalidAnswer, General),
        (true, Other, Nothing),
    ];
    facts.into_iter().find(|(holds, ..)| *holds).map(|(_, kind, strength)| Reading::new(kind, strength))
}

fn input_output(error: &Link) -> Option<Reading> {
    let error = find::<io::Error>(error)?;
    // Elsewhere errnos differ: the standard library's `ErrorKind` decides.
    let errno = error.raw_os_error().filter(|_| cfg!(target_os = "linux"));
    let mut reading = match errno.and_then(kind_of_errno) {
        Some(kind) => Reading::new(kind, Specific),
        None => io_kind(error.kind()).or_else(|| io_text(error)).unwrap_or_else(|| Reading::new(Other, Nothing)),
    };
    reading.fault.errno = errno;
    Some(reading)
}

fn io_kind(kind: ErrorKind) -> Option<Reading> {
    IO_KINDS.iter().find(|(known, ..)| *known == kind).map(|(_, kind, strength)| Reading::new(*kind, *strength))
}

fn io_text(error: &io::Error) -> Option<Reading> {
    // A wrapped error speaks for its wrapper.
    let own = error.get_ref().is_none_or(|inner| inner.source().is_none());
    own.then(|| by_text(&super::message::text_of(error), IO_TEXTS)).flatten().map(|kind| Reading::new(kind, Specific))
}

fn joined_task(error: &Link) -> Option<Reading> {
    let error = find::<tokio::task::JoinError>(error)?;
    Some(Reading::new(if error.is_cancelled() { Cancelled } else { Panicked }, Specific))
}

fn json(error: &Link) -> Option<Reading> {
    let error = find::<serde_json::Error>(error)?;
    Some(error.io_error_kind().and_then(io_kind).unwrap_or_else(|| Reading::new(InvalidInput, General)))
}
