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
use http::{HeaderValue, Uri};

/// Where to connect to.
pub(crate) fn address(host: &Host) -> String {
    let url = &host.settings().url;
    format!("{}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or(80))
}

/// Value of `Host`.
pub(crate) fn authority(host: &Host) -> HeaderValue {
    let authority = host.settings().url.authority().map_or("", |authority| authority.as_str());
    HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static("localhost"))
}

/// A path of the host, below the path of its address.
pub(crate) fn path_at(host: &Host, path: &str) -> Uri {
    let below = host.settings().url.path().trim_end_matches('/');
    format!("{below}{path}").parse().unwrap_or_else(|_| Uri::from_static("/"))
}
