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
use crate::tls::{Connection, Connector};
use http::{HeaderValue, Uri};
use std::fmt;
use std::io;
use tokio::net::TcpStream;

/// Where to connect to, and whether by TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// `host:port`.
    address: String,
    secure: bool,
}

impl Peer {
    /// The server of this address.
    pub fn of(url: &Uri) -> Self {
        let secure = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Self { address: format!("{}:{port}", url.host().unwrap_or_default()), secure }
    }

    /// The name for which its certificate must be valid.
    fn name(&self) -> &str {
        self.address.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']'])
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address)
    }
}

/// Where to connect to for a host.
pub(crate) fn address(host: &Host) -> Peer {
    Peer::of(&host.settings().url)
}

async fn connect(peer: &Peer, connector: &Connector) -> io::Result<Box<dyn Connection>> {
    let stream = TcpStream::connect(&peer.address).await?;
    // Only latency suffers without it.
    let _ = stream.set_nodelay(true);
    if peer.secure { connector.connect(peer.name(), stream).await } else { Ok(Box::new(stream)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_port_of_its_scheme_and_the_name_of_its_certificate() {
        for (url, secure, address, name) in [
            ("http://example.org", false, "example.org:80", "example.org"),
            ("https://example.org", true, "example.org:443", "example.org"),
            ("https://example.org:8443/team", true, "example.org:8443", "example.org"),
            ("http://127.0.0.1:11434", false, "127.0.0.1:11434", "127.0.0.1"),
            ("https://[::1]", true, "[::1]:443", "::1"),
        ] {
            let peer = Peer::of(&Uri::from_static(url));
            assert_eq!((peer.secure, peer.to_string().as_str(), peer.name()), (secure, address, name), "{url}");
        }
    }
}
