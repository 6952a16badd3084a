//! Ollama's rules for `Host` and `Origin`, which keep web pages away from a server on this machine.
//!
//! A browser adds `Origin` to a request of a page. Only known origins pass, and get the headers of CORS. A page whose
//! name resolves to 127.0.0.1 (DNS rebinding) has no foreign `Origin`, but its name as `Host`: on loopback only local
//! names pass. Both rules are those of Ollama's `server/routes.go`.

use crate::config::Access;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::net::{IpAddr, SocketAddr};

/// Origins that Ollama accepts. A `*` stands for any text.
const ORIGINS: [&str; 17] = [
    "http://localhost",
    "https://localhost",
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://0.0.0.0",
    "https://0.0.0.0",
    "http://0.0.0.0:*",
    "https://0.0.0.0:*",
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
];

/// Ends of local names.
const LOCAL: [&str; 3] = [".localhost", ".local", ".internal"];

/// Headers that a page may send: Ollama's, and `X-Api-Key` and `X-Upright-Host`, which the gateway reads.
const SENT: &str = "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,X-Stainless-Async,\
    X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,\
    X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout,X-Api-Key,\
    X-Upright-Host";

/// Headers of the answer to a preflight, beside the origin.
fn preflight_headers() -> [(HeaderName, HeaderValue); 6] {
    [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET,POST,PUT,PATCH,DELETE,HEAD"),
        (ACCESS_CONTROL_ALLOW_HEADERS, SENT),
        (ACCESS_CONTROL_MAX_AGE, "43200"),
        (VARY, "Origin"),
        (VARY, "Access-Control-Request-Method"),
        (VARY, "Access-Control-Request-Headers"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

/// Headers to add to an answer.
pub(crate) type Headers = Vec<(HeaderName, HeaderValue)>;

/// The answer of the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request may go on.
    Allow {
        /// Headers of CORS for its answer.
        cors: Headers,
    },
    /// The request is a preflight: 204, without a body.
    Preflight {
        /// Headers of CORS.
        cors: Headers,
    },
    /// The request is refused.
    Refuse {
        /// Status.
        status: StatusCode,
        /// Text of the body, empty where Ollama's is.
        body: &'static str,
    },
}

const FORBIDDEN: Verdict = Verdict::Refuse { status: StatusCode::FORBIDDEN, body: "" };
const MALFORMED: Verdict = Verdict::Refuse { status: StatusCode::BAD_REQUEST, body: "400 Bad Request: malformed Host header" };

/// This machine, as its operating system names it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// Name of the host.
    pub name: String,
    /// Addresses of its network interfaces.
    pub addresses: Vec<IpAddr>,
}

/// The rules for one listener.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    origins: Vec<Pattern>,
    /// On loopback only.
    hosts: Option<Hosts>,
}

#[derive(Clone, Debug)]
struct Hosts {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

/// A text in which one `*` stands for any text.
#[derive(Clone, Debug)]
struct Pattern {
    before: String,
    after: Option<String>,
}

/// The reason why a `Host` is accepted. Ollama answers `OPTIONS` itself for a name, and not for an address.
enum Local {
    Name,
    Address,
}

impl Guard {
    /// The rules for a listener that is bound to this address.
    pub(crate) fn new(access: &Access, bound: SocketAddr, machine: &Machine) -> Self {
        let configured = access.origins.iter().map(String::as_str);
        let hosts = bound.ip().to_canonical().is_loopback().then(|| Hosts {
            names: std::iter::once(&machine.name).chain(&access.hosts).filter(|name| !name.is_empty()).cloned().collect(),
            addresses: machine.addresses.clone(),
        });
        Self { origins: configured.chain(ORIGINS).map(Pattern::new).collect(), hosts }
    }

    /// Judges a request by its head.
    pub(crate) fn judge(&self, method: &Method, target: &Uri, headers: &HeaderMap) -> Verdict {
        let Some(host) = host(target, headers) else { return MALFORMED };
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|origin| !origin.is_empty());
        if origins.next().is_some() {
            return FORBIDDEN;
        }
        let preflight = method == Method::OPTIONS;
        let mut cors = Headers::new();
        if let Some(origin) = origin.filter(|origin| !is_own(origin.as_bytes(), host)) {
            if !self.origins.iter().any(|known| known.matches(origin.as_bytes())) {
                return FORBIDDEN;
            }
            cors.push((ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
            if preflight {
                cors.extend(preflight_headers());
                return Verdict::Preflight { cors };
            }
            cors.push((VARY, HeaderValue::from_static("Origin")));
        }
        match self.hosts.as_ref().map(|hosts| hosts.accept(host)) {
            Some(None) => FORBIDDEN,
            Some(Some(Local::Name)) if preflight => Verdict::Preflight { cors },
            Some(Some(_)) | None => Verdict::Allow { cors },
        }
    }
}

/// The host that the request names, with its port. `None` if it is malformed, or named more than once.
fn host<'a>(target: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut hosts = headers.get_all(HOST).iter();
    let header = match hosts.next() {
        Some(host) => host.to_str().ok()?,
        None => "",
    };
    if hosts.next().is_some() {
        return None;
    }
    // A target with a host of its own counts before the header.
    let authority = target.authority().map(|authority| authority.as_str());
    Some(authority.map_or(header, |authority| authority.rsplit_once('@').map_or(authority, |(_, host)| host)))
}

/// Whether a page of the gateway's own address sent the request.
fn is_own(origin: &[u8], host: &str) -> bool {
    [b"http://".as_slice(), b"https://"].iter().any(|scheme| origin.strip_prefix(*scheme) == Some(host.as_bytes()))
}

impl Pattern {
    fn new(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        match text.split_once('*') {
            Some((before, after)) => Self { before: before.to_owned(), after: Some(after.to_owned()) },
            None => Self { before: text, after: None },
        }
    }

    fn matches(&self, origin: &[u8]) -> bool {
        match (origin.strip_prefix(self.before.as_bytes()), &self.after) {
            (Some(rest), Some(after)) => rest.ends_with(after.as_bytes()),
            (Some(rest), None) => rest.is_empty(),
            (None, _) => false,
        }
    }
}

impl Hosts {
    fn accept(&self, host: &str) -> Option<Local> {
        let name = without_port(host);
        if let Ok(address) = name.parse::<IpAddr>().map(|address| address.to_canonical()) {
            let private = match address {
                IpAddr::V4(address) => address.is_private(),
                IpAddr::V6(address) => address.is_unique_local(),
            };
            let accepted = private || address.is_loopback() || address.is_unspecified() || self.addresses.contains(&address);
            return accepted.then_some(Local::Address);
        }
        let known = || self.names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let local = name.is_empty() || name.eq_ignore_ascii_case("localhost") || LOCAL.iter().any(|end| ends_with(name, end)) || known();
        local.then_some(Local::Name)
    }
}

fn ends_with(name: &str, end: &str) -> bool {
    let rest = name.len().checked_sub(end.len()).and_then(|at| name.get(at..));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(end))
}

/// A host without its port, and an IPv6 address without its brackets.
fn without_port(host: &str) -> &str {
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return if port.is_empty() || port.starts_with(':') { address } else { host };
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests;
