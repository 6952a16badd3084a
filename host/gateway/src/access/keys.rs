//! API keys: `Authorization: Bearer KEY`, or `x-api-key: KEY`.
//!
//! The gateway stores hashes only. A request is compared with every key in constant time, so its duration says nothing
//! about the keys.

use super::rate::Rate;
use crate::config::{AccessKey, KeyHash};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::collections::BTreeMap;
use std::time::Duration;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};
use upright_core::clock::Instant;

/// The keys that are accepted. Without any, everyone is.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: Vec<Key>,
}

/// A key that is accepted.
#[derive(Debug)]
pub(crate) struct Key {
    name: String,
    hash: KeyHash,
    rate: Option<Rate>,
}

/// The reason why a request is refused. Its message is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No key.
    #[error("this gateway needs an API key; send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`")]
    Missing,
    /// A key that is not accepted.
    #[error("this API key is not accepted; compare it with the one that was given to you")]
    Unknown,
    /// A header that comes more than once.
    #[error("the header {0} comes more than once; send it once")]
    Repeated(&'static str),
    /// Too many requests with this key.
    #[error("this API key has used up its rate; try again in {} s", .0.as_secs_f64().ceil())]
    Rate(Duration),
}

impl Denied {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::Repeated(_) => StatusCode::BAD_REQUEST,
            Self::Rate(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

impl Keys {
    /// The keys of a configuration, each with a full bucket.
    pub(crate) fn new(keys: &BTreeMap<String, AccessKey>) -> Self {
        let key = |(name, key): (&String, &AccessKey)| Key {
            name: name.clone(),
            hash: key.sha256,
            rate: key.requests_per_minute.map(|per_minute| Rate::new(per_minute, key.burst)),
        };
        Self { keys: keys.iter().map(key).collect() }
    }

    /// Admits a request and counts it. Returns the name of its key, unless no keys are configured.
    ///
    /// # Errors
    /// [`Denied`] says why the request is refused.
    pub(crate) fn admit(&self, headers: &HeaderMap, now: Instant) -> Result<Option<&str>, Denied> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let sent = [once(headers, "authorization")?.and_then(bearer), once(headers, "x-api-key")?];
        let mut sent = sent.into_iter().flatten().map(<[u8]>::trim_ascii).filter(|key| !key.is_empty()).peekable();
        sent.peek().ok_or(Denied::Missing)?;
        let key = sent.find_map(|sent| self.find(sent)).ok_or(Denied::Unknown)?;
        key.rate.as_ref().map_or(Ok(()), |rate| rate.take(now)).map_err(Denied::Rate)?;
        Ok(Some(&key.name))
    }

    /// Whether an `Authorization` carries one of these keys.
    pub(crate) fn is_own(&self, authorization: &HeaderValue) -> bool {
        !self.keys.is_empty() && bearer(authorization.as_bytes()).is_some_and(|key| self.find(key.trim_ascii()).is_some())
    }

    /// Compares with every key, whichever matches.
    fn find(&self, sent: &[u8]) -> Option<&Key> {
        let hash = KeyHash::of(sent);
        // Counted from 1; 0 is none.
        let mut found = 0_u32;
        for (number, key) in (1_u32..).zip(&self.keys) {
            found.conditional_assign(&number, key.hash.as_bytes().ct_eq(hash.as_bytes()));
        }
        self.keys.get(usize::try_from(found.checked_sub(1)?).ok()?)
    }
}

/// The only value of a header.
fn once<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a [u8]>, Denied> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let first = values.next();
    if values.next().is_some() { Err(Denied::Repeated(name)) } else { Ok(first) }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn keys(names: &[(&str, Option<u32>)]) -> Keys {
        let key = |(name, per_minute): &(&str, Option<u32>)| {
            let sha256 = KeyHash::of(format!("{name}-key").as_bytes());
            ((*name).to_owned(), AccessKey { sha256, requests_per_minute: *per_minute, burst: 1 })
        };
        Keys::new(&names.iter().map(key).collect())
    }

    /// Headers with their values.
    type Lines<'a> = &'a [(&'static str, &'a [u8])];

    fn headers(lines: Lines<'_>) -> HeaderMap {
        lines.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn only_a_request_with_a_known_key_passes() {
        let keys = keys(&[("a", None), ("b", None), ("c", None)]);
        let table: [(Lines<'_>, Result<Option<&str>, Denied>); 20] = [
            (&[("authorization", b"Bearer a-key")], Ok(Some("a"))),
            (&[("authorization", b"bEARER c-key")], Ok(Some("c"))),
            (&[("authorization", b"Bearer   b-key ")], Ok(Some("b"))),
            (&[("x-api-key", b"b-key")], Ok(Some("b"))),
            (&[("x-api-key", b" b-key\t")], Ok(Some("b"))),
            (&[("authorization", b"Bearer ollama"), ("x-api-key", b"b-key")], Ok(Some("b"))),
            (&[("authorization", b"Bearer a-key"), ("x-api-key", b"b-key")], Ok(Some("a"))),
            (&[("authorization", b"Basic YTpi"), ("x-api-key", b"b-key")], Ok(Some("b"))),
            (&[], Err(Denied::Missing)),
            (&[("authorization", b"")], Err(Denied::Missing)),
            (&[("authorization", b"Bearer ")], Err(Denied::Missing)),
            (&[("authorization", b"Basic YTpi")], Err(Denied::Missing)),
            (&[("authorization", b"a-key")], Err(Denied::Missing)),
            (&[("x-api-key", b"")], Err(Denied::Missing)),
            (&[("authorization", b"Bearer A-key")], Err(Denied::Unknown)),
            (&[("authorization", b"Bearer a-key, Bearer b-key")], Err(Denied::Unknown)),
            (&[("authorization", b"Bearer \xffa-key\x80")], Err(Denied::Unknown)),
            (&[("x-api-key", &[b'x'; 60_000])], Err(Denied::Unknown)),
            (&[("authorization", b"Bearer a-key"), ("authorization", b"Bearer a-key")], Err(Denied::Repeated("authorization"))),
            (&[("authorization", b"Bearer a-key"), ("x-api-key", b"x"), ("x-api-key", b"y")], Err(Denied::Repeated("x-api-key"))),
        ];
        for (lines, expected) in table {
            assert_eq!(keys.admit(&headers(lines), 0), expected, "{:?}", lines.first());
        }
    }

    #[test]
    fn the_hash_of_a_key_does_not_pass_as_the_key() {
        let keys = keys(&[("a", None)]);
        let hash = KeyHash::of(b"a-key").to_string();
        assert_eq!(keys.admit(&headers(&[("x-api-key", hash.as_bytes())]), 0), Err(Denied::Unknown));
    }

    #[test]
    fn an_authorization_is_the_gateways_own_only_with_one_of_its_keys() {
        let of = |text| HeaderValue::from_static(text);
        for (sent, own) in
            [("Bearer a-key", true), ("bearer  a-key ", true), ("Bearer b-key", false), ("Basic a-key", false), ("a-key", false)]
        {
            assert_eq!(keys(&[("a", None)]).is_own(&of(sent)), own, "{sent}");
            assert!(!Keys::default().is_own(&of(sent)), "{sent}");
        }
    }

    #[test]
    fn without_keys_everyone_passes() {
        assert_eq!(Keys::default().admit(&headers(&[("authorization", b"Bearer ollama")]), 0), Ok(None));
        assert_eq!(Keys::default().admit(&HeaderMap::new(), 0), Ok(None));
    }

    #[test]
    fn each_key_has_a_rate_of_its_own() {
        let keys = keys(&[("a", Some(60)), ("b", Some(60)), ("c", None)]);
        let of = |name: &str| headers(&[("x-api-key", format!("{name}-key").as_bytes())]);
        let second = 1_000_000_000;
        assert_eq!(keys.admit(&of("a"), second), Ok(Some("a")));
        let denied = keys.admit(&of("a"), second).unwrap_err();
        assert_eq!((denied, denied.status()), (Denied::Rate(Duration::from_secs(1)), StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(denied.to_string(), "this API key has used up its rate; try again in 1 s");
        assert_eq!(keys.admit(&of("b"), second), Ok(Some("b")));
        assert_eq!(keys.admit(&of("a"), 2 * second), Ok(Some("a")));
        assert!((0..100).all(|_| keys.admit(&of("c"), second).is_ok()));
    }
}
