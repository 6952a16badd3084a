//! The address of a server, ready to connect to.

use http::Uri;
use std::fmt;
use std::sync::Arc;

/// Where to connect to, and whether by TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// `host:port`.
    address: Arc<str>,
    secure: bool,
}

impl Peer {
    /// The server of this address.
    pub fn of(url: &Uri) -> Self {
        let secure = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Self { address: format!("{}:{port}", url.host().unwrap_or_default()).into(), secure }
    }

    /// Its address, `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is reached by TLS.
    pub(crate) const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The name for which its certificate must be valid.
    pub(crate) fn name(&self) -> &str {
        self.address.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']'])
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address)
    }
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
