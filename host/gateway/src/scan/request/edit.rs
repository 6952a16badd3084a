//! Changes members of a body by splicing: all other bytes stay as they were written.

use super::{Fields, Key, MEMBERS, Span, is_given};
use serde_json::Value;
use std::mem::replace;

/// A change of one top-level member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Sets a member to a text, for instance the model to its name.
    Text(Key, &'a str),
    /// Sets a member to `true` or `false`.
    Truth(Key, bool),
    /// Sets a member to a whole number.
    Number(Key, i64),
    /// Sets `options.num_ctx`, tokens, and `options.seed`.
    Options {
        /// Window, tokens.
        window: Option<u64>,
        /// Seed, for options without one.
        seed: Option<u32>,
    },
}

impl Edit<'_> {
    const fn key(self) -> Key {
        match self {
            Self::Text(key, _) | Self::Truth(key, _) | Self::Number(key, _) => key,
            Self::Options { .. } => Key::Options,
        }
    }

    /// Spans to replace, and their replacements.
    fn splices(self, body: &[u8], fields: &Fields) -> Vec<(Span, String)> {
        let place = fields.places[self.key() as usize].as_ref();
        let value = match self {
            Self::Text(_, text) => Value::from(text).to_string(),
            Self::Truth(_, true) => "true".to_owned(),
            Self::Truth(_, false) => "false".to_owned(),
            Self::Number(_, number) => number.to_string(),
            Self::Options { window, seed } => return options(window, seed, body, fields),
        };
        match place {
            Some(place) => vec![(place.value.clone(), value)],
            None => vec![added(fields, self.key(), &value)],
        }
    }
}

fn added(fields: &Fields, key: Key, value: &str) -> (Span, String) {
    (fields.open..fields.open, ["\"", key.name(), "\":", value, ","].concat())
}

/// A window stays in its place. Members that are missing are put before the others.
fn options(window: Option<u64>, seed: Option<u32>, body: &[u8], fields: &Fields) -> Vec<(Span, String)> {
    let mut splices = Vec::with_capacity(2);
    let mut missing: Vec<String> = seed.map(|seed| format!("\"seed\":{seed}")).into_iter().collect();
    match (&fields.window, window) {
        (Some(span), Some(tokens)) => splices.push((span.clone(), tokens.to_string())),
        (_, window) => missing.extend(window.map(|tokens| format!("\"num_ctx\":{tokens}"))),
    }
    let missing = missing.join(",");
    match &fields.options {
        _ if missing.is_empty() => {}
        Some(options) => {
            let comma = if is_given(part(body, options.clone())) { "," } else { "" };
            splices.push((options.start + 1..options.start + 1, missing + comma));
        }
        None => match fields.places[Key::Options as usize].as_ref() {
            // Null, for instance.
            Some(place) => splices.push((place.value.clone(), format!("{{{missing}}}"))),
            None => splices.push(added(fields, Key::Options, &format!("{{{missing}}}"))),
        },
    }
    splices
}

/// The body with these changes, and without text after its object. Members that are missing are added. Of several edits
/// of one member the last counts; a window is part of the options.
///
/// `fields` are what [`scan`](super::scan) has read from this body.
pub fn edited(body: &[u8], fields: &Fields, edits: &[Edit<'_>]) -> Vec<u8> {
    let mut seen = [false; MEMBERS.len()];
    let last = edits.iter().rev().filter(|edit| !replace(&mut seen[edit.key() as usize], true));
    let mut splices: Vec<_> = last.flat_map(|edit| edit.splices(body, fields)).collect();
    // An added member comes before a value that starts in the same place.
    splices.sort_by_key(|(span, _)| (span.start, span.end));

    let added: usize = splices.iter().map(|(_, text)| text.len()).sum();
    let mut written = Vec::with_capacity(fields.end + added);
    written.push(b'{');
    let mut at = fields.open;
    for (span, text) in splices {
        written.extend_from_slice(part(body, at..span.start));
        written.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    written.extend_from_slice(part(body, at..fields.end.saturating_sub(1)));
    // A comma is left where members were added to none.
    let members = written.trim_ascii_end();
    let length = members.strip_suffix(b",").unwrap_or(members).len();
    written.truncate(length);
    written.push(b'}');
    written
}

/// Empty if the span is not of this body.
fn part(body: &[u8], span: Span) -> &[u8] {
    body.get(span).unwrap_or_default()
}
