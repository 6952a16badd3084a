//! Reads an Ollama server's address as Ollama does, but reports errors where Ollama silently falls back. `OLLAMA_HOST`
//! serves servers too, so it may be `0.0.0.0`, which nobody can call.

use reqwest::Url;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use upright_protocol::split_port;

const OLLAMA_PORT: u16 = 11434;

/// Variable that Ollama and its clients read.
pub const ENVIRONMENT_VARIABLE: &str = "OLLAMA_HOST";

/// Address of an Ollama server: scheme, host, port and an optional path prefix.
///
/// ```
/// use upright::ollama::BaseUrl;
///
/// let address: BaseUrl = "0.0.0.0:8080".parse()?;
/// assert_eq!(address.to_string(), "http://127.0.0.1:8080");
/// # Ok::<(), upright::ollama::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    url: Url,
}

/// Unreadable address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Unsupported scheme.
    #[error("the address {value:?} has the scheme {scheme:?}; it must be http or https")]
    Scheme {
        /// The given value.
        value: String,
        /// The scheme in it.
        scheme: String,
    },
    /// Invalid port.
    #[error("the address {value:?} has the port {port:?}; it must be a number from 1 to 65535")]
    Port {
        /// The given value.
        value: String,
        /// The port in it.
        port: String,
    },
    /// Invalid host.
    #[error("the address {value:?} has the host {host:?}; it must be a name, an IPv4 address, or an IPv6 address in brackets")]
    Host {
        /// The given value.
        value: String,
        /// The host in it.
        host: String,
    },
    /// Query, fragment or white space.
    #[error("the address {value:?} has {surplus:?} in it; it must be [http[s]://]host[:port][/path]")]
    Surplus {
        /// The given value.
        value: String,
        /// The unexpected character.
        surplus: char,
    },
    /// User name or password. Omits the value, which may be secret.
    #[error("the address has a user name before its host; it must be [http[s]://]host[:port][/path]")]
    Credentials,
}

impl BaseUrl {
    /// Reads `OLLAMA_HOST`; `http://127.0.0.1:11434` if unset.
    pub fn from_environment() -> Result<Self, AddressError> {
        std::env::var_os(ENVIRONMENT_VARIABLE).unwrap_or_default().to_string_lossy().parse()
    }

    /// The host: a name or an IP address (version 6 in brackets).
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether the host is this machine, so that proxies must be bypassed.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }

    /// Whether the address needs TLS.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// URL of an API path, such as `/api/tags`.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{}", self.url.path().trim_end_matches('/'), path.trim_start_matches('/')));
        url
    }
}

impl Default for BaseUrl {
    /// Ollama's default, `http://127.0.0.1:11434`.
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant that a test parses")]
        "".parse().expect("the default address parses")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl FromStr for BaseUrl {
    type Err = AddressError;

    /// Reads a value of `OLLAMA_HOST`; an empty one is the default.
    fn from_str(given: &str) -> Result<Self, AddressError> {
        let text = given.trim().trim_matches(['"', '\'']).trim();
        let (scheme, rest, default_port) = match text.split_once("://") {
            None if text.eq_ignore_ascii_case("ollama.com") => ("https", text, 443),
            None => ("http", text, OLLAMA_PORT),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest, 80),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest, 443),
            Some((scheme, _)) => return Err(AddressError::Scheme { value: text.into(), scheme: scheme.into() }),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(AddressError::Credentials);
        }
        if let Some(surplus) = rest.chars().find(|c| matches!(c, '?' | '#' | '\\') || c.is_whitespace() || c.is_control()) {
            return Err(AddressError::Surplus { value: text.into(), surplus });
        }
        let bad_host = |host: &str| AddressError::Host { value: text.into(), host: host.into() };
        let (host, port) = split_port(authority).ok_or_else(|| bad_host(authority))?;
        let port = match port {
            None => default_port,
            Some(port) => match port.parse::<u16>() {
                Ok(number) if number > 0 && !port.starts_with('+') => number,
                _ => return Err(AddressError::Port { value: text.into(), port: port.into() }),
            },
        };
        let url = format!("{scheme}://{}:{port}/{}", connectable(host), path.trim_matches('/'));
        let url = Url::parse(&url).map_err(|_| bad_host(host))?;
        // A URL takes a bare number for an IP address; here it is a port without its colon.
        let numeric = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if numeric && host.parse::<Ipv4Addr>().is_err() || host.contains('*') {
            return Err(bad_host(host));
        }
        Ok(Self { url })
    }
}

/// A host that can be called: no host and "any address" become this machine.
fn connectable(host: &str) -> String {
    match (host.parse::<Ipv4Addr>(), host.parse::<Ipv6Addr>()) {
        (Ok(address), _) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        (_, Ok(address)) if address.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        (_, Ok(address)) => format!("[{address}]"),
        _ if host.is_empty() => Ipv4Addr::LOCALHOST.to_string(),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        text.parse::<BaseUrl>().unwrap_or_else(|error| panic!("{error}")).to_string()
    }

    #[test]
    fn everything_that_ollama_host_may_hold_is_read() {
        for (given, expected) in [
            ("", "http://127.0.0.1:11434"),
            ("example.org", "http://example.org:11434"),
            ("example.org:8080", "http://example.org:8080"),
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
            assert_eq!(read(given), expected, "{given}");
        }
        assert_eq!(BaseUrl::default().to_string(), "http://127.0.0.1:11434");
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_with_the_reason() {
        for (given, reason) in [
            ("ftp://example.org", "http or https"),
            ("example.org:0", "1 to 65535"),
            ("example.org:65536", "1 to 65535"),
            ("example.org:", "1 to 65535"),
            ("example.org:+80", "1 to 65535"),
            ("example.org:eighty", "1 to 65535"),
            ("[::1", "in brackets"),
            ("[::1]8080", "in brackets"),
            ("1:2:3", "in brackets"),
            ("exa mple.org", "host[:port]"),
            ("example.org/?a=b", "host[:port]"),
            ("exa<mple", "a name"),
        ] {
            let error = given.parse::<BaseUrl>().expect_err(given).to_string();
            assert!(error.contains(reason) && error.contains(given), "{given}: {error}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        let error = "http://me:secret@example.org".parse::<BaseUrl>().unwrap_err();
        assert_eq!(error, AddressError::Credentials);
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn paths_follow_the_prefix() {
        let at = |base: &str, path| base.parse::<BaseUrl>().unwrap().at(path).to_string();
        assert_eq!(at("", "/api/tags"), "http://127.0.0.1:11434/api/tags");
        assert_eq!(at("", "/"), "http://127.0.0.1:11434/");
        assert_eq!(at("https://example.org/ollama/", "/api/tags"), "https://example.org/ollama/api/tags");
    }

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for (given, loopback) in
            [("", true), ("localhost:1", true), ("[::1]", true), ("127.8.0.1", true), ("0.0.0.0", true), ("10.0.0.1", false)]
        {
            assert_eq!(given.parse::<BaseUrl>().unwrap().is_loopback(), loopback, "{given}");
        }
    }
}
