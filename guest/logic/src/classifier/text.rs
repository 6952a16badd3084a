//! Finds the phrases of all rules, and a status code, in one pass over a message.
//!
//! Words found as mere substrings mislead: "separate limits" is no rate limit, `10.0.0.7:5000` no status 500. So a phrase matches only from the
//! start of a word to the end of one, and a number is a status only where something says that it is.
//!
//! In a phrase, a space stands for any run of white space, `{}` for at most one token (a word, or whatever stands between quotes), ` .. ` for the rest of
//! a line up to its next word, and a `*` at the end lets the last word go on. `^` before a phrase asks that the message begins with it, `$` after it that the
//! message ends with it. Letters match without regard to ASCII case.

use super::rules::{RULES, Role, RuleSet};
use crate::types::MESSAGE_LIMIT;

pub use super::vocabulary::Vocabulary;

/// What a message was found to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The rules of which a phrase was found.
    pub said: RuleSet,
    /// The rules of which one of the second phrases was found.
    pub also: RuleSet,
    /// The rules of which a phrase was found that they may not have.
    pub unless: RuleSet,
    /// A 4xx or 5xx that stands as a status.
    pub status: Option<u16>,
}

impl Found {
    fn insert(&mut self, role: Role, rule: usize) {
        match role {
            Role::Said => self.said.insert(rule),
            Role::Also => self.also.insert(rule),
            Role::Unless => self.unless.insert(rule),
        }
    }
}

/// How many phrases the rules have, of all roles.
const PHRASES: usize = {
    let mut count = 0;
    let mut rule = 0;
    while rule < RULES.len() {
        let mut role = 0;
        while role < Role::ALL.len() {
            count += RULES[rule].phrases(Role::ALL[role]).len();
            role += 1;
        }
        rule += 1;
    }
    count
};

/// How many bytes all phrases have.
const BYTES: usize = {
    let (mut bytes, mut index) = (0, 0);
    while index < PHRASES {
        bytes += LISTED[index].text.len();
        index += 1;
    }
    bytes
};

/// A phrase as the rules list it.
#[derive(Clone, Copy)]
struct Listed {
    text: &'static [u8],
    rule: u8,
    role: Role,
    /// Whether it must begin the message.
    first: bool,
}

impl Listed {
    const NONE: Self = Self { text: b"", rule: 0, role: Role::Said, first: false };

    const fn of(phrase: &'static [u8], rule: usize, role: Role) -> Self {
        let first = phrase[0] == b'^';
        let (_, text) = phrase.split_at(first as usize);
        assert!(text[0].is_ascii_lowercase(), "a phrase begins with a lower-case letter");
        assert!(text[text.len() - 1] != b'}', "something follows a token that may be anything");
        assert!(text.len() < 256, "a phrase is short");
        Self { text, rule: rule as u8, role, first }
    }

    /// How long its first word is.
    const fn word(&self) -> usize {
        let mut length = 0;
        while length < self.text.len() && LOWER[self.text[length] as usize] != 0 {
            length += 1;
        }
        length
    }

    const fn place(&self) -> usize {
        let length = self.word();
        if length < self.text.len() && self.text[length] == b'*' {
            return lettered(self.text[0]);
        }
        let (mut key, mut letter) = (0, 0);
        while letter < length && letter < 8 {
            key |= (self.text[letter] as u64 | 0x20) << (8 * letter);
            letter += 1;
        }
        hashed(key)
    }
}

/// A phrase in [`TABLE`]. Small, since a component carries all of them: its bytes stand in [`TEXT`].
#[derive(Clone, Copy)]
struct Entry {
    start: u16,
    length: u8,
    /// How long its first word is.
    word: u8,
    rule: u8,
    role: Role,
    first: bool,
    /// What tells most texts from this phrase at once: of one that begins with a whole word the letter after the space that follows it, of one that begins with
    /// the beginning of a word its second letter; 0 where that may be anything.
    next: u8,
}

impl Entry {
    const NONE: Self = Self { start: 0, length: 0, word: 0, rule: 0, role: Role::Said, first: false, next: 0 };

    /// See [`Self::next`].
    const fn next_of(text: &[u8], word: usize) -> u8 {
        if word == text.len() {
            return 0;
        }
        match text[word] {
            b'*' if word > 1 => text[1],
            b' ' if text[word + 1] != b'{' && text[word + 1] != b'.' => text[word + 1],
            _ => 0,
        }
    }

    fn text(&self) -> &'static [u8] {
        &TEXT[usize::from(self.start)..][..usize::from(self.length)]
    }

    /// What comes after its first word.
    fn rest(&self) -> &'static [u8] {
        &self.text()[usize::from(self.word)..]
    }

    /// The first eight letters of its first word, as [`Word::key`] has them.
    fn key(&self) -> u64 {
        (eight(&TEXT, self.start.into()) | KEY_CASE) & first_bytes(self.word.into())
    }

    /// Whether this is its first word.
    fn begins_with(&self, word: &Word<'_>) -> bool {
        usize::from(self.word) == word.letters.len() && self.key() == word.key && self.goes_on_as(word)
    }

    /// Whether its first word is how this one begins.
    fn begins(&self, word: &Word<'_>) -> bool {
        let length = usize::from(self.word);
        length <= word.letters.len() && self.key() == word.key & first_bytes(length) && self.goes_on_as(word)
    }

    /// Whether the two are equal after the letters of the key.
    fn goes_on_as(&self, word: &Word<'_>) -> bool {
        let length = usize::from(self.word);
        length <= 8 || self.text()[8..length].eq_ignore_ascii_case(&word.letters[8..length])
    }

    /// Whether it may go on with this letter, in lower case, which spares most looks at its text.
    fn may_go_on(&self, next: u8) -> bool {
        self.next == 0 || self.next == next
    }
}

/// What a byte is within a word, letters in lower case; 0 for what stands in no word.
const LOWER: [u8; 256] = {
    let mut lower = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() || byte == b'_' as usize {
            lower[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    lower
};

static LOWERED: [u8; 256] = LOWER;

fn lower(byte: u8) -> u8 {
    LOWERED[usize::from(byte)]
}

pub(super) fn is_word(byte: u8) -> bool {
    lower(byte) != 0
}

/// A word of the message.
struct Word<'a> {
    letters: &'a [u8],
    /// Its first eight letters in lower case, as [`KEY_CASE`] has it: two words of eight letters or fewer are the same if their keys are.
    key: u64,
}

const EACH: u64 = u64::from_le_bytes([1; 8]);
const TOP: u64 = EACH * 0x80;
/// Sets the bit that tells lower case from upper. Makes nothing else of a digit, and of an underscore something that is in no word.
const KEY_CASE: u64 = EACH * 0x20;

/// Of eight bytes at once, the top bit of each that stands in a word: a component is interrupted between the turns of a loop, so fewer are better.
const fn in_word(eight: u64) -> u64 {
    let low = eight & !TOP;
    (between(low | KEY_CASE, b'a', b'z') | between(low, b'0', b'9') | between(low, b'_', b'_')) & TOP & !eight
}

/// The top bit of each byte from `first` to `last`, if all are below 128: so no sum carries into the next byte.
const fn between(eight: u64, first: u8, last: u8) -> u64 {
    (eight + EACH * (0x80 - first as u64)) & !(eight + EACH * (0x7f - last as u64))
}

/// The bits of the first so many of eight bytes.
const fn first_bytes(count: usize) -> u64 {
    if count >= 8 { u64::MAX } else { (1 << (8 * count)) - 1 }
}

/// The eight bytes from `at` on; zeros, which are in no word, where the text has ended.
fn eight(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(eight) = rest.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    if rest.is_empty() {
        return 0;
    }
    match bytes.last_chunk() {
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    }
}

/// How many of the first bytes these top bits are of, without a gap.
const fn run(tops: u64) -> usize {
    (!tops & TOP).trailing_zeros() as usize / 8
}

impl<'a> Word<'a> {
    /// The word that begins at `start`, of which these are the first bytes.
    fn at(bytes: &'a [u8], start: usize, first: u64) -> Self {
        let mut length = run(in_word(first));
        let key = (first | KEY_CASE) & first_bytes(length);
        let mut more = length;
        while more == 8 {
            more = run(in_word(eight(bytes, start + length)));
            length += more;
        }
        Self { letters: &bytes[start..start + length], key }
    }
}

/// Phrases that begin with a whole word have a place by its key; those that begin with the beginning of one, by its first letter.
const HASHED: usize = 1024;
const PLACES: usize = HASHED + 26;

const fn hashed(key: u64) -> usize {
    // Multiplied by 2^64 over the golden ratio, whose upper bits depend on all bits of the key.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % HASHED
}

const fn lettered(letter: u8) -> usize {
    HASHED + (letter - b'a') as usize
}

/// All phrases, rule by rule.
#[expect(clippy::large_const_arrays, reason = "it is read while compiling and no more")]
const LISTED: [Listed; PHRASES] = {
    let mut listed = [Listed::NONE; PHRASES];
    let (mut rule, mut next) = (0, 0);
    while rule < RULES.len() {
        let mut role = 0;
        while role < Role::ALL.len() {
            let phrases = RULES[rule].phrases(Role::ALL[role]);
            let mut index = 0;
            while index < phrases.len() {
                listed[next] = Listed::of(phrases[index].as_bytes(), rule, Role::ALL[role]);
                next += 1;
                index += 1;
            }
            role += 1;
        }
        rule += 1;
    }
    listed
};

/// The bytes of all phrases, one after the other.
static TEXT: [u8; BYTES] = {
    let mut text = [0; BYTES];
    let (mut at, mut index) = (0, 0);
    while index < PHRASES {
        let mut letter = 0;
        while letter < LISTED[index].text.len() {
            text[at] = LISTED[index].text[letter];
            at += 1;
            letter += 1;
        }
        index += 1;
    }
    text
};

/// Where each place begins among the entries.
const STARTS: [u16; PLACES + 1] = {
    let mut starts = [0; PLACES + 1];
    let mut index = 0;
    while index < PHRASES {
        starts[LISTED[index].place() + 1] += 1;
        index += 1;
    }
    let mut at = 0;
    while at < PLACES {
        starts[at + 1] += starts[at];
        at += 1;
    }
    starts
};

/// All phrases by place.
static TABLE: [Entry; PHRASES] = {
    assert!(BYTES <= u16::MAX as usize, "two bytes say where a phrase begins");
    let mut entries = [Entry::NONE; PHRASES];
    let mut free = STARTS;
    let (mut index, mut start) = (0, 0);
    while index < PHRASES {
        let Listed { text, rule, role, first } = LISTED[index];
        let place = LISTED[index].place();
        entries[free[place] as usize] = Entry {
            start: start as u16,
            length: text.len() as u8,
            word: LISTED[index].word() as u8,
            rule,
            role,
            first,
            next: Entry::next_of(text, LISTED[index].word()),
        };
        free[place] += 1;
        start += text.len();
        index += 1;
    }
    entries
};

static BEGINS: [u16; PLACES + 1] = STARTS;

fn entries(place: usize) -> &'static [Entry] {
    &TABLE[usize::from(BEGINS[place])..usize::from(BEGINS[place + 1])]
}

/// The longest token that `{}` stands for, in bytes.
const TOKEN_LIMIT: usize = 256;
/// The longest text that ` .. ` stands for, in bytes.
const GAP_LIMIT: usize = 256;

/// Reads a message. Of one longer than [`MESSAGE_LIMIT`] the first three quarters of the limit and the last quarter are read.
pub fn find(message: &str, found: &mut Found) {
    let bytes = message.as_bytes();
    if bytes.len() <= MESSAGE_LIMIT {
        scan(bytes, found);
    } else {
        scan(&bytes[..MESSAGE_LIMIT / 4 * 3], found);
        scan(&bytes[bytes.len() - MESSAGE_LIMIT / 4..], found);
    }
}

/// The status that a label names, if it is one and nothing else.
pub fn error_status(label: &str) -> Option<u16> {
    label.parse().ok().filter(|status| (300..=599).contains(status))
}

/// Whether there is nothing in a message but white space.
pub fn is_blank(message: &str) -> bool {
    message.len() <= MESSAGE_LIMIT && message.chars().all(char::is_whitespace)
}

fn scan(bytes: &[u8], found: &mut Found) {
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
            _ => phrases_at(bytes, &word, at, found),
        }
        at = end + 1;
    }
}

/// The letters that phrases begin with of which a word may be only the beginning.
const BEGINNINGS: u32 = {
    let (mut letters, mut letter) = (0, 0);
    while letter < 26 {
        if STARTS[HASHED + letter] < STARTS[HASHED + letter + 1] {
            letters |= 1 << letter;
        }
        letter += 1;
    }
    letters
};

/// Finds the phrases that begin with this word, which stands at `start`, or with its beginning.
fn phrases_at(bytes: &[u8], word: &Word<'_>, start: usize, found: &mut Found) {
    let end = start + word.letters.len();
    let stands = |entry: &Entry| !entry.first || !bytes[..start].iter().any(|byte| is_word(*byte));
    let known = entries(hashed(word.key));
    if !known.is_empty() {
        let next = bytes[end..].iter().copied().find(|byte| !byte.is_ascii_whitespace()).unwrap_or_default();
        let next = next.to_ascii_lowercase();
        for entry in known {
            if entry.may_go_on(next) && entry.begins_with(word) && stands(entry) && matches(entry.rest(), bytes, end) {
                found.insert(entry.role, entry.rule.into());
            }
        }
    }
    let first = lower(word.letters[0]);
    if BEGINNINGS >> (first - b'a') & 1 == 0 {
        return;
    }
    let second = word.letters.get(1).map_or(0, |letter| lower(*letter));
    for entry in entries(lettered(first)) {
        if entry.may_go_on(second) && entry.begins(word) && stands(entry) {
            found.insert(entry.role, entry.rule.into());
        }
    }
}

/// Whether what is left of a phrase stands at `at`, and ends at the end of a word.
fn matches(phrase: &[u8], bytes: &[u8], mut at: usize) -> bool {
    let mut index = 0;
    while index < phrase.len() {
        match phrase[index] {
            b'*' => return true,
            b'$' => return !bytes[at.min(bytes.len())..].iter().any(|byte| is_word(*byte)),
            b' ' if phrase[index..].starts_with(b" .. ") => return matches_further(&phrase[index + 4..], bytes, at),
            b' ' => {
                let from = at;
                at = skip_space(bytes, at);
                if at == from {
                    return false;
                }
            }
            b'{' => {
                let rest = &phrase[index + 3..];
                return matches(rest, bytes, at) || matches(rest, bytes, skip_space(bytes, skip_token(bytes, at)));
            }
            letter => {
                if bytes.get(at).is_none_or(|byte| *byte != letter && lower(*byte) != letter) {
                    return false;
                }
                at += 1;
            }
        }
        index += 1;
    }
    bytes.get(at).is_none_or(|byte| !is_word(*byte))
}

/// Whether what is left of a phrase stands at the beginning of one of the next words of the line.
fn matches_further(phrase: &[u8], bytes: &[u8], from: usize) -> bool {
    let until = bytes.len().min(from + GAP_LIMIT);
    let until = position(bytes, from, until, b'\n').unwrap_or(until);
    let mut at = from.max(1);
    // Its first letter is lower-case, so most places are left at once.
    while let Some(found) = position(bytes, at, until, phrase[0]) {
        if !is_word(bytes[found - 1]) && matches(phrase, bytes, found) {
            return true;
        }
        at = found + 1;
    }
    false
}

/// Where this byte stands first from `at` on and before `until`, a letter in either case; eight bytes are looked at in one turn.
fn position(bytes: &[u8], mut at: usize, until: usize, byte: u8) -> Option<usize> {
    let case = if byte.is_ascii_lowercase() { KEY_CASE } else { 0 };
    while at < until {
        let others = (eight(bytes, at) | case) ^ (EACH * u64::from(byte));
        // The lowest top bit that is set is that of the first byte that is zero.
        let zeros = others.wrapping_sub(EACH) & !others & TOP;
        if zeros != 0 {
            return Some(at + zeros.trailing_zeros() as usize / 8).filter(|found| *found < until);
        }
        at += 8;
    }
    None
}

fn skip_space(bytes: &[u8], at: usize) -> usize {
    at + bytes[at.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The end of the token at `at`: the closing quote's, or the next white space.
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

/// Words before a number that make it a status.
pub const STATUS_WORDS: [&str; 9] = ["http", "status", "code", "error", "returned", "response", "got", "http_status", "status_code"];

/// What stands after a number that is a status.
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

/// The number at `at`, if it stands as an error status: three digits by themselves, after a word that says so or before its reason.
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
    // "HTTP/1.1 503": step over the version.
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

/// Whether the number that begins at this byte of a message stands as an error status.
pub fn is_status(message: &str, at: usize) -> bool {
    status(message.as_bytes(), at).is_some()
}
