//! Describes a value in its message's headers. A value from another program lacks them and is valid.

use async_nats::header::{HeaderMap, HeaderValue, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};
use upright_core::store::ChangeKind;

/// Media type, escaped as `%XX`.
const CONTENT_TYPE: &str = "Content-Type";
/// Time of writing by the writer's clock, nanoseconds since 1970.
const MODIFIED: &str = "Upright-Modified";
/// Object name and size in bytes of a large value.
const VALUE: &str = "Upright-Value";
/// Sequence of the key's previous message, or 0.
const REPLACED: &str = "Upright-Replaced";
/// Set on deletions.
const OPERATION: &str = "KV-Operation";
const DELETED: &str = "DEL";
const PURGED: &str = "PURGE";
/// Set when the server removes an expired key.
const MARKER: &str = "Nats-Marker-Reason";

const UNKNOWN_TYPE: &str = "application/octet-stream";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) object: String,
    pub(super) size: usize,
}

/// `replaces` is the sequence that the key must be at, or 0.
pub(super) fn value(content_type: &str, modified: SystemTime, reference: Option<&Reference>, replaces: u64) -> HeaderMap {
    let mut headers = expected(replaces);
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, escape(content_type));
    }
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    headers.insert(MODIFIED, since.as_nanos().to_string());
    if let Some(Reference { object, size }) = reference {
        headers.insert(VALUE, format!("{object} {size}"));
    }
    headers
}

pub(super) fn deletion(replaces: u64) -> HeaderMap {
    let mut headers = expected(replaces);
    headers.insert(OPERATION, DELETED);
    headers
}

fn expected(replaces: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(replaces));
    headers.insert(REPLACED, HeaderValue::from(replaces));
    headers
}

pub(super) fn length(headers: &HeaderMap) -> usize {
    let lines: usize = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4))
        .sum();
    "NATS/1.0\r\n\r\n".len() + lines
}

pub(super) fn kind(headers: &HeaderMap) -> ChangeKind {
    let deleted =
        text(headers, OPERATION).is_some_and(|operation| [DELETED, PURGED].contains(&operation)) || text(headers, MARKER).is_some();
    if deleted { ChangeKind::Deleted } else { ChangeKind::Put }
}

pub(super) fn replaced(headers: &HeaderMap) -> Option<u64> {
    text(headers, REPLACED)?.parse().ok()
}

/// By the writer's clock, else by the server's.
pub(super) fn modified(headers: &HeaderMap, stored: SystemTime) -> SystemTime {
    let since = text(headers, MODIFIED).and_then(|nanoseconds| nanoseconds.parse().ok()).map(Duration::from_nanos);
    since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)).unwrap_or(stored)
}

pub(super) fn content_type(headers: &HeaderMap) -> String {
    let ours = text(headers, MODIFIED).is_some();
    text(headers, CONTENT_TYPE).map_or_else(|| if ours { String::new() } else { UNKNOWN_TYPE.to_owned() }, unescape)
}

/// An unreadable reference counts as a missing object.
pub(super) fn reference(headers: &HeaderMap) -> Option<Reference> {
    let (object, size) = text(headers, VALUE)?.split_once(' ').unwrap_or_default();
    Some(Reference { object: object.to_owned(), size: size.parse().unwrap_or(0) })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::as_str)
}

/// Header values are one line, without spaces at the ends.
fn escape(text: &str) -> String {
    let last = text.len() - 1;
    let mut escaped = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_graphic() && byte != b'%' || byte == b' ' && index > 0 && index < last;
        // Writing to a string does not fail.
        let _ = if plain { escaped.write_char(char::from(byte)) } else { write!(escaped, "%{byte:02X}") };
    }
    escaped
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let escaped = (*byte == b'%').then(|| after.get(..2)).flatten().and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_give_back_what_they_were_made_of() {
        let modified_at = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let reference_to = Reference { object: "a.b".into(), size: 7 };
        for content_type_of in ["application/json", "text/plain; charset=utf-8", "", " a ", "100 %", "%41", "ü\r\nX: y", "\u{0}"] {
            for large in [None, Some(&reference_to)] {
                let headers = value(content_type_of, modified_at, large, 41);
                assert_eq!(content_type(&headers), content_type_of);
                assert_eq!(modified(&headers, SystemTime::UNIX_EPOCH), modified_at);
                assert_eq!(reference(&headers).as_ref(), large);
                assert_eq!((kind(&headers), replaced(&headers)), (ChangeKind::Put, Some(41)));
            }
        }
        assert_eq!((kind(&deletion(7)), replaced(&deletion(7))), (ChangeKind::Deleted, Some(7)));
    }

    #[test]
    fn a_value_without_our_headers_is_one() {
        let stored = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        let headers = HeaderMap::new();
        assert_eq!((content_type(&headers).as_str(), modified(&headers, stored)), (UNKNOWN_TYPE, stored));
        assert_eq!((kind(&headers), replaced(&headers), reference(&headers)), (ChangeKind::Put, None, None));
    }
}
