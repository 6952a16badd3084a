//! Rewrites an odd body so that every parser reads what Go reads.

use super::walk::escape;
use super::{Key, Odd, known, scan};
use memchr::memchr;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

/// Reason for which Go refuses a body too, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body is empty.
    #[error("missing request body")]
    Missing,
    /// The JSON stops before its end.
    #[error("unexpected EOF")]
    Ended,
    /// A character is not allowed in its place.
    #[error("invalid character {} {context}", quoted(*.found))]
    Character {
        /// The character; a byte beyond ASCII as a character of Latin 1.
        found: char,
        /// Its place, as `looking for beginning of value`.
        context: &'static str,
    },
    /// The body is another value than an object.
    #[error("json: cannot unmarshal {found} into Go value of type struct")]
    NotAnObject {
        /// Type of the value.
        found: &'static str,
    },
    /// Values are nested more deeply than Go reads them.
    #[error("exceeded max depth")]
    TooDeep,
}

/// Beginning of a message of `serde_json`; distance from the character to the column that it names, bytes; Go's words.
const CONTEXTS: [(&str, usize, &str); 10] = [
    ("expected value", 1, "looking for beginning of value"),
    ("key must be a string", 1, "looking for beginning of object key string"),
    ("trailing comma", 1, "looking for beginning of object key string"),
    ("expected `:`", 1, "after object key"),
    ("expected `,` or `}`", 1, "after object key:value pair"),
    ("expected `,` or `]`", 1, "after array element"),
    ("expected ident", 1, "in literal"),
    ("invalid number", 1, "in numeric literal"),
    ("invalid escape", 1, "in string escape code"),
    ("control character", 0, "in string literal"),
];

impl Malformed {
    fn of(text: &str, error: &serde_json::Error) -> Self {
        let value = text.trim_ascii_start();
        match error.classify() {
            Category::Eof if value.is_empty() => Self::Missing,
            Category::Eof => Self::Ended,
            Category::Data => Self::NotAnObject {
                found: match value.as_bytes().first() {
                    Some(b'[') => "array",
                    Some(b'"') => "string",
                    Some(b't' | b'f') => "bool",
                    _ => "number",
                },
            },
            Category::Syntax | Category::Io => {
                let said = error.to_string();
                let row = CONTEXTS.iter().find(|(serdes, ..)| said.starts_with(*serdes));
                let (back, context) = row.map_or((1, "in the request"), |(_, back, context)| (*back, *context));
                Self::Character { found: character(text, error, back), context }
            }
        }
    }
}

/// A character as Go quotes it.
fn quoted(found: char) -> String {
    match found {
        '\u{7}' => r"'\a'".to_owned(),
        '\u{8}' => r"'\b'".to_owned(),
        '\u{b}' => r"'\v'".to_owned(),
        '\u{c}' => r"'\f'".to_owned(),
        '\n' | '\r' | '\t' => format!("{found:?}"),
        '\0'..='\u{1f}' | '\u{7f}' => format!("'\\x{:02x}'", u32::from(found)),
        '\u{80}'..='\u{a0}' | '\u{ad}' => format!("'\\u{:04x}'", u32::from(found)),
        found => format!("{found:?}"),
    }
}

fn character(text: &str, error: &serde_json::Error, back: usize) -> char {
    let lines: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let byte = text.as_bytes().get((lines + error.column()).saturating_sub(back));
    byte.map_or(char::REPLACEMENT_CHARACTER, |byte| char::from(*byte))
}

/// Members in their written form; of equal keys the last.
type Members<K> = BTreeMap<K, Box<RawValue>>;

/// A key as Go understands it.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(from = "String")]
struct Name(String);

impl From<String> for Name {
    fn from(written: String) -> Self {
        Self(known(&written).map_or(written, str::to_owned))
    }
}

/// Rewrites a body as Go's `encoding/json` understands it: known keys in small letters, of equal keys the last, nothing
/// after the object, U+FFFD for each byte that is not UTF-8 and for each lone surrogate. `null` becomes `{}`. Members
/// whose key needs an escape are dropped: no server knows any.
///
/// Go merges two objects under one key; here the last one replaces the first. Nested values stay as they were written,
/// apart from the replaced characters. For the result, [`scan`] returns no [`Odd`].
///
/// # Errors
/// [`Malformed`] if Go refuses the body too.
pub fn canonical(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let text = repaired(body);
    let malformed = |error: serde_json::Error| Malformed::of(&text, &error);
    // Text after the object stays unread.
    let mut parser = serde_json::Deserializer::from_str(&text);
    let mut members = Option::<Members<Name>>::deserialize(&mut parser).map_err(malformed)?.unwrap_or_default();
    members.retain(|name, _| is_plain(&name.0));
    if let Some(value) = members.get_mut(&Name(Key::Options.name().to_owned()))
        && let Ok(mut options) = serde_json::from_str::<Members<String>>(value.get())
    {
        options.retain(|name, _| is_plain(name));
        *value = to_raw_value(&options).map_err(malformed)?;
    }
    let written = serde_json::to_vec(&members).map_err(malformed)?;
    if scan(&written) == Err(Odd::TooDeep) { Err(Malformed::TooDeep) } else { Ok(written) }
}

fn is_plain(name: &str) -> bool {
    !name.contains(|letter: char| matches!(letter, '"' | '\\' | '\0'..='\u{1f}'))
}

/// Go replaces byte by byte, where Rust replaces sequences.
fn repaired(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    let mut at = 0;
    while let Some(found) = text.as_bytes().get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += found;
        let (length, lone) = escape(&text.as_bytes()[at..]);
        if lone {
            text.replace_range(at..at + length, "\\ufffd");
        }
        at += length;
    }
    text
}
