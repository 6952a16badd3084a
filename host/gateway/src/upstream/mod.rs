//! Connections to the hosts. Each worker thread has its own, so that none is shared between threads.

mod asker;
mod body;
mod error;
mod pool;

pub use asker::Asker;
pub use body::{AnswerBody, Outgoing};
pub use error::SendError;
pub use pool::{Answer, Pool};

use crate::hosts::host::Host;
use http::Uri;

/// A path of the host, below the path of its address.
pub(crate) fn path_at(host: &Host, path: &str) -> Uri {
    let below = host.settings().url.path().trim_end_matches('/');
    let whole = if below.is_empty() { path.parse() } else { format!("{below}{path}").parse() };
    whole.unwrap_or_else(|_| Uri::from_static("/"))
}
