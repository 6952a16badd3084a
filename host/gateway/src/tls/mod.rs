//! TLS: rustls with ring, in a build with the feature `tls`. A build without it refuses the settings that need TLS.

#[cfg(feature = "tls")]
mod with;
#[cfg(not(feature = "tls"))]
mod without;

#[cfg(feature = "tls")]
pub(crate) use with::Acceptor;
#[cfg(feature = "tls")]
pub use with::Connector;
#[cfg(not(feature = "tls"))]
pub(crate) use without::Acceptor;
#[cfg(not(feature = "tls"))]
pub use without::Connector;

use crate::config::{KeyPath, Listen, SettingError, Upstream};
use std::path::Path;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

const CERTIFICATE: &str = "listen.tls_certificate";

/// A connection: TCP, or TLS over TCP.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket of the connection.
    fn socket(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// Reads the files of a listener; `None` for a listener without TLS.
pub(crate) fn acceptor(listen: &Listen) -> Result<Option<Acceptor>, SettingError> {
    match (&listen.tls_certificate, &listen.tls_key) {
        (None, None) => Ok(None),
        (certificate, key) => {
            let [certificate, key] = [certificate, key].map(|file| file.as_deref().unwrap_or(Path::new("")));
            Acceptor::read(certificate, key).map(Some)
        }
    }
}

/// Prepares TLS if one of these upstreams needs it.
pub(crate) fn prepare(connector: &Connector, upstreams: &[Upstream]) -> Result<(), SettingError> {
    match upstreams.iter().position(|upstream| upstream.url.tls) {
        Some(index) => connector.prepare(KeyPath::of("upstream").number(index).key("url"), &upstreams[index].url),
        None => Ok(()),
    }
}
