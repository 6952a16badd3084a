//! Parses a NATS address, and keeps passwords out of messages.

use super::NatsOptions;
use async_nats::{ConnectOptions, ServerAddr};
use upright_core::store::StoreError;

const BUCKET: &str = "upright";
const PORT: &str = "4222";
const FORM: &str = "it is to look like nats://[user:password@|token@]host[:port][,host[:port]…][/bucket]";

pub(super) struct Address {
    pub(super) servers: Vec<ServerAddr>,
    pub(super) bucket: String,
    access: Access,
    shown: String,
}

enum Access {
    Open,
    Password { user: String, password: String },
    Token(String),
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        // Even in an invalid address this part may be secret.
        let shown = url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, place)| format!("nats://{place}"));
        let invalid = |problem: &str| StoreError::AddressInvalid { detail: format!("{shown:?}: {problem}; {FORM}") };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it does not begin with nats:// or tls://"))?;
        if !["nats", "tls"].contains(&scheme) {
            return Err(invalid("it does not begin with nats:// or tls://"));
        }
        let (access, rest) = rest.rsplit_once('@').map_or((None, rest), |(access, rest)| (Some(access), rest));
        let (hosts, bucket) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket = if bucket.is_empty() { BUCKET } else { bucket };
        if !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(invalid("a bucket's name has letters, digits, - and _"));
        }
        let servers: Option<Vec<_>> = hosts.split(',').map(|host| server(scheme, host)).collect();
        Ok(Self {
            servers: servers.ok_or_else(|| invalid("a host or a port in it cannot be one"))?,
            bucket: bucket.to_owned(),
            access: access
                .map_or(Some(Access::Open), Access::parse)
                .ok_or_else(|| invalid("its user, password or token cannot be read: what is not plain in them is written %XX"))?,
            shown: format!("{scheme}://{hosts}"),
        })
    }

    /// Without credentials.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn identify(&self, options: ConnectOptions) -> ConnectOptions {
        match &self.access {
            Access::Open => options,
            Access::Password { user, password } => options.user_and_password(user.clone(), password.clone()),
            Access::Token(token) => options.token(token.clone()),
        }
    }

    pub(super) fn hint(&self, options: &NatsOptions) -> String {
        match (&self.access, &options.credentials) {
            (_, Some(file)) => format!("it does not accept the credentials in {}", file.display()),
            (Access::Open, None) => {
                "it wants to know who asks: put user:password@ or token@ before the host, or name a file of credentials".to_owned()
            }
            (Access::Password { user, .. }, None) => format!("it does not accept the user {user:?} with the password in the address"),
            (Access::Token(_), None) => "it does not accept the token in the address".to_owned(),
        }
    }
}

impl Access {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            Some((user, password)) => Self::Password { user: unescape(user)?, password: unescape(password)? },
            None => Self::Token(unescape(text)?),
        })
    }
}

fn server(scheme: &str, host: &str) -> Option<ServerAddr> {
    let named = !host.is_empty() && !host.starts_with(':');
    let port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let address = if port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{PORT}") };
    let address = named.then(|| address.parse().ok()).flatten();
    address.filter(|address: &ServerAddr| !address.host().is_empty())
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { digit(rest.next())? << 4 | digit(rest.next())? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(address: &Address) -> Vec<(String, u16)> {
        address.servers.iter().map(|server| (server.host().to_owned(), server.port())).collect()
    }

    #[test]
    fn an_address_names_servers_a_bucket_and_who_asks() {
        let plain = Address::parse("nats://localhost").unwrap();
        assert_eq!((places(&plain), plain.bucket.as_str()), (vec![("localhost".to_owned(), 4222)], "upright"));
        assert!(matches!(plain.access, Access::Open));
        let full = Address::parse("nats://me:p%40ss%2F@a:1,[::1]:2,b/fleet-7").unwrap();
        assert_eq!(places(&full), [("a".to_owned(), 1), ("::1".to_owned(), 2), ("b".to_owned(), 4222)]);
        assert_eq!(full.bucket, "fleet-7");
        assert!(matches!(&full.access, Access::Password { user, password } if user == "me" && password == "p@ss/"));
        let token = Address::parse("tls://s3cret@a:1/").unwrap();
        assert!(matches!(&token.access, Access::Token(token) if token == "s3cret"));
        assert!(token.servers[0].tls_required());
    }

    #[test]
    fn an_invalid_nats_address_is_refused_without_repeating_its_secret() {
        for url in [
            "localhost:4222",
            "http://me:s3cret@a",
            "me:s3cret@a",
            "nats://me:s3cret@",
            "nats://me:s3cret@:1",
            "nats://me:s3cret@a:port",
            "nats://me:s3cret@a/b/c",
            "nats://me:s3cret%4@a",
            "nats://me:s3cret@a,",
        ] {
            let error = Address::parse(url).err().unwrap();
            assert!(matches!(error, StoreError::AddressInvalid { .. }), "{url}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_nats_address_is_shown_and_explained_without_its_password() {
        for url in ["nats://me:s3cret@a:1/b", "nats://s3cret@a:1"] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.shown(), "nats://a:1");
            assert!(!address.hint(&NatsOptions::default()).contains("s3cret"));
        }
    }
}
