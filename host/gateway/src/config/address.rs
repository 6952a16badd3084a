//! Reads an upstream's address as Ollama reads `OLLAMA_HOST`, but reports errors where Ollama silently falls back.
//! `OLLAMA_HOST` serves servers too, so it may be `0.0.0.0`, which nobody can call.

use super::units::HIDDEN;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use upright_protocol::split_port;

const OLLAMA_PORT: u16 = 11434;

/// Address of a server: scheme, host, port and an optional path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Whether it is `https`.
    pub tls: bool,
    /// A name in lower case, or an IP address without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
    /// Path before every route: empty, or `/team/ollama`.
    pub path: String,
}

/// Unreadable address. The message names the part that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Unsupported scheme.
    #[error("the scheme {0:?}")]
    Scheme(String),
    /// Invalid host.
    #[error("the host {0:?}")]
    Host(String),
    /// Invalid port.
    #[error("the port {0:?}")]
    Port(String),
    /// Invalid character in the path.
    #[error("{0:?} in the path")]
    Path(char),
    /// User name or password. Omits the value, which may be secret.
    #[error("a user name before the host {}", HIDDEN)]
    Credentials,
}

impl AddressError {
    /// The value expected.
    pub fn expected(&self) -> &'static str {
        match self {
            Self::Scheme(_) => "http or https",
            Self::Host(_) => "a name, an IPv4 address, or an IPv6 address in brackets",
            Self::Port(_) => "a number from 1 to 65535",
            Self::Path(_) => "letters, digits, and -._~/%",
            Self::Credentials => "[http[s]://]host[:port][/path], and an API key in api_key_file",
        }
    }
}

impl Address {
    /// Host and port for a `Host` header. Leaves out the scheme's own port.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.default_port() { host } else { format!("{host}:{}", self.port) }
    }

    fn default_port(&self) -> u16 {
        if self.tls { 443 } else { 80 }
    }

    /// Whether a gateway that listens there would call itself. Looks up no name.
    pub fn is(&self, listening: SocketAddr) -> bool {
        let own = listening.ip().to_canonical();
        let same_host = match self.host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(ip) => ip == own || own.is_unspecified() && ip.is_loopback(),
            Err(_) => (own.is_loopback() || own.is_unspecified()) && (self.host == "localhost" || self.host.ends_with(".localhost")),
        };
        same_host && self.port == listening.port()
    }
}

impl Default for Address {
    /// Ollama's default, `http://127.0.0.1:11434`.
    fn default() -> Self {
        Self { tls: false, host: Ipv4Addr::LOCALHOST.to_string(), port: OLLAMA_PORT, path: String::new() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads a value of `OLLAMA_HOST`. An empty one is the default.
    fn from_str(given: &str) -> Result<Self, AddressError> {
        let text = given.trim().trim_matches(['"', '\'']).trim();
        let (tls, rest, default_port) = match text.split_once("://") {
            None if text.eq_ignore_ascii_case("ollama.com") => (true, text, 443),
            None => (false, text, OLLAMA_PORT),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest, 80),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest, 443),
            Some((scheme, _)) => return Err(AddressError::Scheme(scheme.to_owned())),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(AddressError::Credentials);
        }
        let path = path.trim_matches('/');
        if let Some(wrong) = path.chars().find(|sign| !sign.is_ascii_alphanumeric() && !"-._~/%".contains(*sign)) {
            return Err(AddressError::Path(wrong));
        }
        let bad_host = || AddressError::Host(authority.to_owned());
        let (host, port) = split_port(authority).ok_or_else(bad_host)?;
        let port = match port {
            None => default_port,
            Some(digits) => match digits.parse::<u16>() {
                Ok(number) if number > 0 && !digits.starts_with('+') => number,
                _ => return Err(AddressError::Port(digits.to_owned())),
            },
        };
        let host = callable(host).ok_or_else(bad_host)?;
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { tls, host, port, path })
    }
}

/// A host that can be called: no host and "any address" become this machine.
fn callable(host: &str) -> Option<String> {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(any)) if any.is_unspecified() => Some(Ipv4Addr::LOCALHOST.to_string()),
        Ok(IpAddr::V6(any)) if any.is_unspecified() => Some(Ipv6Addr::LOCALHOST.to_string()),
        Ok(address) => Some(address.to_string()),
        Err(_) if host.is_empty() => Some(Ipv4Addr::LOCALHOST.to_string()),
        // A bare number is a port without its colon, or an IP address that is not whole.
        Err(_) if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => None,
        Err(_) => {
            let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            plain.then(|| host.to_ascii_lowercase())
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<Self>().map_err(|error| Error::custom(format_args!("{error}, expected {}", error.expected())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_ollama_host_are_read() {
        for (given, expected) in [
            ("", "http://127.0.0.1:11434"),
            ("example.org", "http://example.org:11434"),
            ("Example.ORG:8080", "http://example.org:8080"),
            (":8080", "http://127.0.0.1:8080"),
            ("http://example.org", "http://example.org"),
            ("HTTP://example.org:11434/", "http://example.org:11434"),
            ("https://example.org", "https://example.org"),
            ("https://example.org:8443/team/ollama/", "https://example.org:8443/team/ollama"),
            ("example.org/ollama", "http://example.org:11434/ollama"),
            ("[::1]", "http://[::1]:11434"),
            ("[fe80::1]:8080", "http://[fe80::1]:8080"),
            ("::1", "http://[::1]:11434"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:80", "http://127.0.0.1"),
            ("[::]:8080", "http://[::1]:8080"),
            (" \"example.org:8080\" ", "http://example.org:8080"),
            ("'example.org'", "http://example.org:11434"),
            ("ollama.com", "https://ollama.com"),
        ] {
            let address = given.parse::<Address>().unwrap_or_else(|error| panic!("{given}: {error}"));
            assert_eq!(address.to_string(), expected, "{given}");
            assert_eq!(expected.parse::<Address>().as_ref(), Ok(&address), "{given}");
        }
        assert_eq!("".parse::<Address>(), Ok(Address::default()));
    }

    #[test]
    fn a_text_that_is_no_address_is_refused_with_its_wrong_part() {
        let host = |text: &str| AddressError::Host(text.to_owned());
        let port = |text: &str| AddressError::Port(text.to_owned());
        for (given, expected) in [
            ("ftp://example.org", AddressError::Scheme("ftp".to_owned())),
            ("example.org:0", port("0")),
            ("example.org:65536", port("65536")),
            ("example.org:", port("")),
            ("example.org:+80", port("+80")),
            ("[::1", host("[::1")),
            ("[::1]8080", host("[::1]8080")),
            ("1:2:3", host("1:2:3")),
            ("exa mple.org", host("exa mple.org")),
            ("8080", host("8080")),
            ("1.2.3", host("1.2.3")),
            ("exämple.org", host("exämple.org")),
            ("example.org?a=b", host("example.org?a=b")),
            ("example.org/a?b", AddressError::Path('?')),
            ("example.org/a\r\nb", AddressError::Path('\r')),
            ("http://me:secret@example.org", AddressError::Credentials),
        ] {
            assert_eq!(given.parse::<Address>(), Err(expected), "{given}");
        }
        assert!(!AddressError::Credentials.to_string().contains("secret"));
    }

    #[test]
    fn the_gateways_own_address_is_recognized() {
        for (upstream, listening, own) in [
            ("127.0.0.1:11444", "127.0.0.1:11444", true),
            ("localhost:11444", "127.0.0.1:11444", true),
            ("localhost:11444", "0.0.0.0:11444", true),
            ("gateway.localhost:11444", "[::1]:11444", true),
            ("127.0.0.1:11444", "0.0.0.0:11444", true),
            ("[::ffff:127.0.0.1]:11444", "127.0.0.1:11444", true),
            ("192.0.2.7:11444", "192.0.2.7:11444", true),
            ("0.0.0.0:11444", "127.0.0.1:11444", true),
            ("127.0.0.1:11434", "127.0.0.1:11444", false),
            ("127.0.0.2:11444", "127.0.0.1:11444", false),
            ("192.0.2.8:11444", "0.0.0.0:11444", false),
            ("localhost:11444", "192.0.2.7:11444", false),
            ("example.org:11444", "127.0.0.1:11444", false),
        ] {
            let address: Address = upstream.parse().unwrap();
            assert_eq!(address.is(listening.parse().unwrap()), own, "{upstream}, {listening}");
        }
    }
}
