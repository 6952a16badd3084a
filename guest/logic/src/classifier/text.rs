//! Finds all phrases, and a status code, in one pass over a message.
//!
//! Substrings mislead: "separate limits" is no rate limit, `10.0.0.7:5000` no status 500. Phrases match whole words,
//! and a number is a status only next to words that say so.
//!
//! Syntax of phrases, in any ASCII case:
//! - a space: white space
//! - `{}`: at most one word or quoted text
//! - ` .. `: any text up to a later word of the line
//! - final `*`: the rest of the word
//! - leading `^`, final `$`: start and end of the message

use super::bytes::{Word, eight, first_bytes, in_word, is_word, lower, lowered, position, run};
use super::phrases::{Entry, Rest, TABLE, TEXT, WORD_GROUPS, WORDS, Words, group_of, mask, phrases};
use super::rules::{RULES, RuleSet};
use crate::types::MESSAGE_LIMIT;

pub use super::vocabulary::Vocabulary;

/// Phrases and status found in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rules with a phrase found.
    pub said: RuleSet,
    /// Bits of second phrases found: see [`super::rules::second`].
    pub second: u32,
    /// An error status, 400 to 599.
    pub status: Option<u16>,
}

impl Found {
    fn insert(&mut self, target: u8) {
        let target = usize::from(target);
        match target.checked_sub(RULES.len()) {
            None => self.said.insert(target),
            Some(bit) => self.second |= 1 << (bit % 32),
        }
    }

    /// Whether second phrases of this number were found.
    pub fn has_second(&self, number: u8) -> bool {
        self.second >> (number % 32) & 1 == 1
    }
}

/// Maximum token for `{}`, bytes.
const TOKEN_LIMIT: usize = 256;
/// Maximum text for ` .. `, bytes.
const GAP_LIMIT: usize = 256;

/// Reads a message. Beyond [`MESSAGE_LIMIT`], reads its start (three quarters of the limit) and end (one quarter).
pub fn find(message: &str, found: &mut Found) {
    let bytes = message.as_bytes();
    if bytes.len() <= MESSAGE_LIMIT {
        scan(bytes, found);
    } else {
        scan(&bytes[..MESSAGE_LIMIT / 4 * 3], found);
        scan(&bytes[bytes.len() - MESSAGE_LIMIT / 4..], found);
    }
}

/// Returns the status if the label is nothing else.
pub fn error_status(label: &str) -> Option<u16> {
    label.parse().ok().filter(|status| (300..=599).contains(status))
}

/// Whether a message is only white space.
pub fn is_blank(message: &str) -> bool {
    message.len() <= MESSAGE_LIMIT && message.chars().all(char::is_whitespace)
}

/// Phrases with gaps, checked when all words are known.
#[derive(Clone, Copy, Default)]
struct Deferred {
    /// Index in [`TABLE`], start in [`TEXT`], end of the first word.
    phrases: [(u16, u16, u16); 8],
    count: usize,
}

struct Reader<'a> {
    bytes: &'a [u8],
    words: Words,
    deferred: Deferred,
}

fn scan(bytes: &[u8], found: &mut Found) {
    let mut reader = Reader { bytes, words: Words::default(), deferred: Deferred::default() };
    let mut at = 0;
    while at < bytes.len() {
        let mut first = eight(bytes, at);
        let before = in_word(first).trailing_zeros() as usize / 8;
        if before > 0 {
            at += before;
            if before == 8 {
                continue;
            }
            first = eight(bytes, at);
        }
        let word = Word::at(bytes, at, first);
        let end = at + word.letters.len();
        match word.letters[0] {
            b'0'..=b'9' if found.status.is_none() => found.status = status(bytes, at),
            b'0'..=b'9' | b'_' => {}
            _ => reader.phrases_at(&word, at, found),
        }
        at = end + 1;
    }
    let Deferred { phrases, count } = reader.deferred;
    for (phrase, at, end) in phrases.into_iter().take(count) {
        if let Some(entry) = TABLE.get(usize::from(phrase))
            && reader.words.may_have(entry.later)
            && matches(entry.rest(at.into()), bytes, end.into())
        {
            found.insert(entry.target);
        }
    }
}

impl Reader<'_> {
    fn phrases_at(&mut self, word: &Word<'_>, start: usize, found: &mut Found) {
        let (bytes, end) = (self.bytes, start + word.letters.len());
        self.words.insert(Words::place(word.key));
        if let Some(group) = group_of(word) {
            let next = bytes.get(skip_space(bytes, end)).map_or(0, u8::to_ascii_lowercase);
            if WORD_GROUPS[group].next & mask(next) != 0 {
                for (index, at, entry) in phrases(group, next).filter(|(.., entry)| entry.stands(&bytes[..start])) {
                    let deferred = entry.later != Entry::NO_WORD && self.deferred.push(index, at, end);
                    if !deferred && matches(entry.rest(at), bytes, end) {
                        found.insert(entry.target);
                    }
                }
            }
        }
        let group = WORDS + usize::from(lower(word.letters[0]) - b'a');
        let second = word.letters.get(1).map_or(0, |letter| lower(*letter));
        if WORD_GROUPS[group].next & mask(second) != 0 {
            for (_, at, entry) in phrases(group, second) {
                if entry.begins(word, at) && entry.stands(&bytes[..start]) {
                    found.insert(entry.target);
                }
            }
        }
    }
}

impl Deferred {
    fn push(&mut self, phrase: usize, at: usize, end: usize) -> bool {
        let Some(free) = self.phrases.get_mut(self.count) else { return false };
        // Message parts are at most 8 KiB.
        *free = (phrase as u16, at as u16, end as u16);
        self.count += 1;
        true
    }
}

fn matches(mut rest: Rest, bytes: &[u8], mut at: usize) -> bool {
    while rest.at < rest.end {
        let wanted = eight(&TEXT, rest.at);
        if wanted as u8 == b' ' && (wanted >> 8) as u8 != b'.' {
            let from = at;
            at = skip_space(bytes, at);
            if at == from {
                return false;
            }
            rest = rest.after(1);
            continue;
        }
        let length = run(in_word(wanted)).min(rest.end - rest.at);
        if length == 0 {
            return matches_sign(rest, bytes, at);
        }
        if (lowered(eight(bytes, at)) ^ wanted) & first_bytes(length) != 0 {
            return false;
        }
        (rest, at) = (rest.after(length), at + length);
    }
    bytes.get(at).is_none_or(|byte| !is_word(*byte))
}

#[inline(never)]
fn matches_sign(rest: Rest, bytes: &[u8], at: usize) -> bool {
    match rest.bytes() {
        [b'*', ..] => true,
        [b'$', ..] => !bytes[at.min(bytes.len())..].iter().any(|byte| is_word(*byte)),
        [b' ', b'.', b'.', b' ', ..] => matches_further(rest.after(4), bytes, at),
        [b'{', b'}', b' ', ..] => {
            let rest = rest.after(3);
            matches(rest, bytes, at) || matches(rest, bytes, skip_space(bytes, skip_token(bytes, at)))
        }
        [sign, ..] => bytes.get(at) == Some(sign) && matches(rest.after(1), bytes, at + 1),
        [] => bytes.get(at).is_none_or(|byte| !is_word(*byte)),
    }
}

fn matches_further(rest: Rest, bytes: &[u8], from: usize) -> bool {
    let until = bytes.len().min(from + GAP_LIMIT);
    let until = position(bytes, from, until, b'\n').unwrap_or(until);
    let mut at = from.max(1);
    while let Some(found) = position(bytes, at, until, TEXT[rest.at]) {
        if !is_word(bytes[found - 1]) && matches(rest, bytes, found) {
            return true;
        }
        at = found + 1;
    }
    false
}

fn skip_space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..) {
        Some([b' ', next, ..]) if *next > b' ' => at + 1,
        Some([next, ..]) if *next > b' ' => at,
        rest => at + spaces(rest.unwrap_or_default()),
    }
}

#[inline(never)]
fn spaces(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

fn skip_token(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at.min(bytes.len())..];
    let rest = &rest[..rest.len().min(TOKEN_LIMIT)];
    if let [quote @ (b'"' | b'\'' | b'`'), inside @ ..] = rest
        && let Some(length) = inside.iter().position(|byte| byte == quote)
    {
        return at + length + 2;
    }
    at + rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len())
}

/// Words before a status.
pub const STATUS_WORDS: [&str; 9] = ["http", "status", "code", "error", "returned", "response", "got", "http_status", "status_code"];

/// Reasons after a status.
pub const STATUS_REASONS: [(u16, &str); 25] = [
    (400, "bad request"),
    (401, "unauthorized"),
    (403, "forbidden"),
    (404, "not found"),
    (404, "page not found"),
    (405, "method not allowed"),
    (408, "request timeout"),
    (413, "payload too large"),
    (422, "unprocessable"),
    (429, "too many requests"),
    (500, "internal server error"),
    (502, "bad gateway"),
    (503, "service unavailable"),
    (504, "gateway time"),
    (400, "client error"),
    (401, "client error"),
    (403, "client error"),
    (404, "client error"),
    (405, "client error"),
    (408, "client error"),
    (429, "client error"),
    (500, "server error"),
    (502, "server error"),
    (503, "server error"),
    (504, "server error"),
];

/// Returns the error status at `at`, next to a word or reason.
#[inline(never)]
fn status(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 3)?;
    let number = digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0')))?;
    let after = &bytes[at + 3..];
    // "500.5", "500:80" and "500/x" are not statuses; "503." and "503: text" are.
    let goes_on = match after {
        [first, ..] if is_word(*first) || *first == b'%' => true,
        [b'.' | b':' | b'/' | b'-' | b',', second, ..] if is_word(*second) => true,
        _ => false,
    };
    if !(400..=599).contains(&number) || goes_on {
        return None;
    }
    let before = &bytes[..at];
    (said_before(before) || said_after(number, after)).then_some(number)
}

fn said_before(before: &[u8]) -> bool {
    let is_separator = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b':' | b'=' | b'(' | b'"' | b'\'' | b'[');
    let separators = before.iter().rev().take_while(|byte| is_separator(byte)).count();
    let mut end = before.len() - separators;
    if separators == 0 || separators > 4 {
        return false;
    }
    // Skips the version in "HTTP/1.1".
    let version = before[..end].iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    if version > 0 && before[..end - version].last() == Some(&b'/') {
        end -= version + 1;
    }
    let length = before[..end].iter().rev().take_while(|byte| is_word(**byte)).count();
    let word = &before[end - length..end];
    STATUS_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

fn said_after(number: u16, after: &[u8]) -> bool {
    let skipped = after.iter().take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b':' | b'-' | b')')).count();
    let rest = &after[skipped..];
    skipped > 0
        && STATUS_REASONS.iter().any(|(status, reason)| {
            *status == number && rest.get(..reason.len()).is_some_and(|text| text.eq_ignore_ascii_case(reason.as_bytes()))
        })
}

/// Whether an error status begins at this byte.
pub fn is_status(message: &str, at: usize) -> bool {
    status(message.as_bytes(), at).is_some()
}
