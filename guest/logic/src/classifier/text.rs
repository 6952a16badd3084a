//! Finds the phrases of all rules, and a status code, in one pass over a message.
//!
//! Words found as mere substrings mislead: "separate limits" is no rate limit, `10.0.0.7:5000` no status 500. So a phrase matches only from the
//! start of a word to the end of one, and a number is a status only where something says that it is.
//!
//! In a phrase, a space stands for any run of white space, `{}` for at most one token (a word, or whatever stands between quotes), ` .. ` for the rest of
//! a line up to its next word, and a `*` at the end lets the last word go on. `^` before a phrase asks that the message begins with it, `$` after it that the
//! message ends with it. Letters match without regard to ASCII case.

use super::rules::{RULES, Role, RuleSet, second};
use crate::types::MESSAGE_LIMIT;

pub use super::vocabulary::Vocabulary;

/// What a message was found to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The rules of which a phrase was found.
    pub said: RuleSet,
    /// The second phrases that were found, and those that a rule may not have: see [`second`].
    pub second: u32,
    /// A 4xx or 5xx that stands as a status.
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

/// A phrase as the rules list it.
#[derive(Clone, Copy)]
struct Listed {
    text: &'static [u8],
    /// See [`Entry::target`].
    target: u8,
    /// Whether it must begin the message.
    first: bool,
}

impl Listed {
    const NONE: Self = Self { text: b"", target: 0, first: false };

    const fn of(phrase: &'static [u8], rule: usize, role: Role) -> Self {
        let first = phrase[0] == b'^';
        let (_, text) = phrase.split_at(first as usize);
        assert!(text[0].is_ascii_lowercase(), "a phrase begins with a lower-case letter");
        assert!(text[text.len() - 1] != b'}', "something follows a token that may be anything");
        let mut at = 0;
        while at < text.len() {
            assert!(text[at] != b'{' || text[at + 1] == b'}' && text[at + 2] == b' ', "a space follows a token that may be anything");
            assert!(text[at] != b'*' && text[at] != b'$' || at + 1 == text.len(), "nothing follows these signs");
            at += 1;
        }
        assert!(text.len() < 256, "a phrase is short");
        let target = match role {
            Role::Said => rule,
            Role::Also | Role::Unless => RULES.len() + second(rule, role) as usize,
        };
        Self { text, target: target as u8, first }
    }

    /// How long its first word is.
    const fn word(&self) -> usize {
        let mut length = 0;
        while length < self.text.len() && LOWER[self.text[length] as usize] != 0 {
            length += 1;
        }
        length
    }

    /// Whether its first word may go on.
    const fn is_open(&self) -> bool {
        self.word() < self.text.len() && self.text[self.word()] == b'*'
    }

    /// The part of it that its [`Entry`] keeps: all, or what follows its first word.
    const fn kept(&self) -> usize {
        if self.is_open() { 0 } else { self.word() }
    }

    /// The first eight letters of its first word, as [`Word::key`] has them.
    const fn key(&self) -> u64 {
        let (mut key, mut letter) = (0, 0);
        while letter < self.word() && letter < 8 {
            key |= (self.text[letter] as u64 | 0x20) << (8 * letter);
            letter += 1;
        }
        key
    }

    const fn begins_as(&self, other: &Self) -> bool {
        let mut letter = 0;
        while letter < self.word() && letter < other.word() && self.text[letter] == other.text[letter] {
            letter += 1;
        }
        letter == self.word() && letter == other.word()
    }

    /// See [`Entry::next`].
    const fn next(&self) -> u8 {
        let (text, word) = (self.text, self.word());
        if word == text.len() {
            return 0;
        }
        match text[word] {
            b'*' if word > 1 => text[1],
            b' ' if text[word + 1] != b'{' && text[word + 1] != b'.' => text[word + 1],
            _ => 0,
        }
    }

    /// See [`Entry::later`].
    const fn later(&self) -> u8 {
        let (text, mut at) = (self.text, 0);
        while at + 4 < text.len() {
            if text[at] == b' ' && text[at + 1] == b'.' && text[at + 2] == b'.' && text[at + 3] == b' ' {
                let (_, rest) = text.split_at(at + 4);
                assert!(rest[0].is_ascii_lowercase(), "a gap leads to a word that begins with a lower-case letter");
                let rest = Self { text: rest, ..Self::NONE };
                return if rest.is_open() { Entry::ANY_WORD } else { Words::place(rest.key()) };
            }
            at += 1;
        }
        Entry::NO_WORD
    }
}

/// A phrase in [`TABLE`]. Small, since a component carries all of them: its bytes stand in [`TEXT`], after those of the phrase before.
#[derive(Clone, Copy)]
struct Entry {
    /// How many bytes follow its first word, which is that of its group; of an open word, how many it has.
    length: u8,
    /// The rule of which it is a phrase; of second phrases, how many rules there are and the number of the bit in [`Found::second`].
    target: u8,
    /// Whether it must begin the message.
    first: bool,
    /// What tells most texts from this phrase at once: of one that begins with a whole word the letter after the space that follows it, of one that begins with
    /// the beginning of a word its second letter; 0 where that may be anything.
    next: u8,
    /// The place among [`Words`] of the word that a gap in it leads to: most messages do not have that word.
    later: u8,
}

impl Entry {
    const NONE: Self = Self { length: 0, target: 0, first: false, next: 0, later: Self::NO_WORD };
    /// It has no gap.
    const NO_WORD: u8 = u8::MAX;
    /// It has a gap that leads to an open word, which may be any.
    const ANY_WORD: u8 = u8::MAX - 1;

    /// What follows its first word, which stands at `at` in [`TEXT`].
    fn rest(&self, at: usize) -> Rest {
        Rest { at, end: at + usize::from(self.length) }
    }

    /// Whether it may stand here in a message.
    fn stands(&self, before: &[u8]) -> bool {
        !self.first || !before.iter().any(|byte| is_word(*byte))
    }

    /// Whether a word begins as this one, which is open and stands at `start` in [`TEXT`].
    fn begins(&self, word: &Word<'_>, start: usize) -> bool {
        let length = usize::from(self.length) - 1;
        length <= word.letters.len()
            && (eight(&TEXT, start) | KEY_CASE) & first_bytes(length) == word.key & first_bytes(length)
            && (length <= 8 || TEXT[start + 8..start + length].eq_ignore_ascii_case(&word.letters[8..length]))
    }

    /// Whether it may go on with this letter, in lower case, which spares most looks at its text.
    fn may_go_on(&self, next: u8) -> bool {
        self.next == 0 || self.next == next
    }
}

/// The phrases that begin with the same word.
#[derive(Clone, Copy)]
struct Group {
    /// The word's first eight letters, as [`Word::key`] has them.
    key: u64,
    /// Where the letters that follow them stand in [`TEXT`]. After them come its phrases.
    start: u16,
    length: u8,
    /// Where its phrases begin in [`TABLE`]; they end where those of the next group begin.
    entries: u16,
    /// The letters that its phrases may go on with: see [`mask`].
    next: u16,
}

impl Group {
    const NONE: Self = Self { key: 0, start: 0, length: 0, entries: 0, next: 0 };

    /// Whether this is the word.
    fn is(&self, word: &Word<'_>) -> bool {
        self.key == word.key && word.letters.len().saturating_sub(8) == usize::from(self.length) && self.goes_on_as(word)
    }

    fn goes_on_as(&self, word: &Word<'_>) -> bool {
        let start = usize::from(self.start);
        word.letters.len() <= 8 || TEXT[start..start + usize::from(self.length)].eq_ignore_ascii_case(&word.letters[8..])
    }
}

/// One bit for a letter that follows, the same for some; all bits where that may be any.
const fn mask(next: u8) -> u16 {
    if next == 0 { u16::MAX } else { 1 << (next % 16) }
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

/// The same eight bytes, letters in lower case.
const fn lowered(eight: u64) -> u64 {
    eight | (between(eight & !TOP, b'A', b'Z') & TOP & !eight) >> 2
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

/// Groups have a place by the key of their word.
const PLACES: usize = 1024;

const fn place(key: u64) -> usize {
    // Multiplied by 2^64 over the golden ratio, whose upper bits depend on all bits of the key.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % PLACES
}

/// Which words have a group, by more bits of the same product: most words have none, and this is small enough to stay at hand.
static KNOWN: [u64; 32] = {
    let mut known = [0; 32];
    let mut index = 0;
    while index < WORDS {
        let bit = known_bit(LISTED[GROUPS.example[index] as usize].key());
        known[bit / 64] |= 1 << (bit % 64);
        index += 1;
    }
    known
};

const fn known_bit(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 43) as usize % 2048
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

/// Which phrases make a group.
struct Groups {
    /// The group of each phrase; of an open word [`PHRASES`] and its first letter.
    of: [u16; PHRASES],
    /// A phrase of each group.
    example: [u16; PHRASES],
    count: usize,
}

const GROUPS: Groups = {
    let mut groups = Groups { of: [0; PHRASES], example: [0; PHRASES], count: 0 };
    // The groups found so far, by the place of their word: the last one, and for each the one before it, plus one.
    let (mut last, mut before) = ([0_u16; PLACES], [0_u16; PHRASES]);
    let mut phrase = 0;
    while phrase < PHRASES {
        let listed = &LISTED[phrase];
        if listed.is_open() {
            groups.of[phrase] = (PHRASES + (listed.text[0] - b'a') as usize) as u16;
        } else {
            let place = place(listed.key());
            let mut group = last[place] as usize;
            while group > 0 && !LISTED[groups.example[group - 1] as usize].begins_as(listed) {
                group = before[group - 1] as usize;
            }
            if group == 0 {
                before[groups.count] = last[place];
                groups.example[groups.count] = phrase as u16;
                groups.count += 1;
                group = groups.count;
                last[place] = group as u16;
            }
            groups.of[phrase] = (group - 1) as u16;
        }
        phrase += 1;
    }
    groups
};

/// The groups of whole words; after them come 26 for open words, by their first letter.
const WORDS: usize = GROUPS.count;
const ALL_GROUPS: usize = WORDS + 26;

/// How many bytes [`TEXT`] has.
const BYTES: usize = {
    let (mut bytes, mut index) = (0, 0);
    while index < WORDS {
        bytes += LISTED[GROUPS.example[index] as usize].word().saturating_sub(8);
        index += 1;
    }
    index = 0;
    while index < PHRASES {
        bytes += LISTED[index].text.len() - LISTED[index].kept();
        index += 1;
    }
    assert!(bytes <= u16::MAX as usize, "two bytes say where a phrase begins");
    bytes
};

struct Tables {
    text: [u8; BYTES],
    /// Where the groups of each place begin.
    places: [u16; PLACES + 1],
    /// The groups by place, those of open words, and one that ends the last.
    groups: [Group; ALL_GROUPS + 1],
    /// The phrases by group.
    entries: [Entry; PHRASES],
}

const TABLES: Tables = {
    let mut tables =
        Tables { text: [0; BYTES], places: [0; PLACES + 1], groups: [Group::NONE; ALL_GROUPS + 1], entries: [Entry::NONE; PHRASES] };
    let mut index = 0;
    while index < WORDS {
        tables.places[place(LISTED[GROUPS.example[index] as usize].key()) + 1] += 1;
        index += 1;
    }
    index = 0;
    while index < PLACES {
        tables.places[index + 1] += tables.places[index];
        index += 1;
    }
    // Where each group comes to stand; those of open words stay in their order.
    let (mut rank, mut free, mut word_of) = ([0; WORDS], tables.places, [0; WORDS]);
    index = 0;
    while index < WORDS {
        let listed = &LISTED[GROUPS.example[index] as usize];
        let place = place(listed.key());
        rank[index] = free[place] as usize;
        free[place] += 1;
        word_of[rank[index]] = GROUPS.example[index] as usize;
        index += 1;
    }
    let mut sizes = [0; ALL_GROUPS];
    index = 0;
    while index < PHRASES {
        sizes[ranked(index, &rank)] += 1;
        index += 1;
    }
    let (mut next, mut phrase_at) = ([0_u16; ALL_GROUPS], [0; PHRASES]);
    index = 0;
    while index < ALL_GROUPS {
        next[index] = tables.groups[index].entries;
        tables.groups[index + 1].entries = tables.groups[index].entries + sizes[index];
        index += 1;
    }
    index = 0;
    while index < PHRASES {
        let listed = &LISTED[index];
        let group = ranked(index, &rank);
        tables.groups[group].next |= mask(listed.next());
        phrase_at[next[group] as usize] = index;
        tables.entries[next[group] as usize] = Entry {
            length: (listed.text.len() - listed.kept()) as u8,
            target: listed.target,
            first: listed.first,
            next: listed.next(),
            later: listed.later(),
        };
        next[group] += 1;
        index += 1;
    }
    // The text, in the order of groups and their phrases.
    let mut at = 0;
    index = 0;
    while index < ALL_GROUPS {
        let group = &mut tables.groups[index];
        group.start = at as u16;
        if index < WORDS {
            let listed = &LISTED[word_of[index]];
            (group.key, group.length) = (listed.key(), listed.word().saturating_sub(8) as u8);
            at = put(&mut tables.text, at, listed.text, 8, listed.word());
        }
        let mut entry = tables.groups[index].entries;
        while entry < tables.groups[index + 1].entries {
            let listed = &LISTED[phrase_at[entry as usize]];
            at = put(&mut tables.text, at, listed.text, listed.kept(), listed.text.len());
            entry += 1;
        }
        index += 1;
    }
    tables
};

/// Where the group of a phrase stands.
const fn ranked(phrase: usize, rank: &[usize; WORDS]) -> usize {
    let group = GROUPS.of[phrase] as usize;
    if group < PHRASES { rank[group] } else { WORDS + group - PHRASES }
}

/// Writes a part of a phrase, and says where it ends.
const fn put(text: &mut [u8; BYTES], mut at: usize, phrase: &[u8], mut from: usize, until: usize) -> usize {
    while from < until {
        text[at] = phrase[from];
        at += 1;
        from += 1;
    }
    at
}

/// Of each group what its word has beside its key, then what follows it in each of its phrases.
static TEXT: [u8; BYTES] = TABLES.text;
/// Where the groups of each place begin among all.
static BEGINS: [u16; PLACES + 1] = TABLES.places;
/// All groups, by place.
static WORD_GROUPS: [Group; ALL_GROUPS + 1] = TABLES.groups;
/// All phrases, by group.
static TABLE: [Entry; PHRASES] = TABLES.entries;

/// The group of this word.
fn group_of(word: &Word<'_>) -> Option<usize> {
    let bit = known_bit(word.key);
    if KNOWN[bit / 64] >> (bit % 64) & 1 == 0 {
        return None;
    }
    let place = place(word.key);
    (usize::from(BEGINS[place])..usize::from(BEGINS[place + 1])).find(|group| WORD_GROUPS[*group].is(word))
}

/// The phrases of a group, with their indexes in [`TABLE`] and where they stand in [`TEXT`].
fn phrases(group: usize) -> impl Iterator<Item = (usize, usize, &'static Entry)> {
    let Group { start, length, entries, .. } = WORD_GROUPS[group];
    let mut next = usize::from(start) + usize::from(length);
    (usize::from(entries)..).zip(&TABLE[usize::from(entries)..usize::from(WORD_GROUPS[group + 1].entries)]).map(move |(index, entry)| {
        let at = next;
        next += usize::from(entry.length);
        (index, at, entry)
    })
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

/// Words that a text has: of two at the same place one stands for both.
#[derive(Clone, Copy, Default)]
struct Words(u64);

impl Words {
    const fn place(key: u64) -> u8 {
        (place(key) % 64) as u8
    }

    fn insert(&mut self, place: u8) {
        self.0 |= 1 << (place % 64);
    }

    fn may_have(&self, place: u8) -> bool {
        place == Entry::ANY_WORD || self.0 >> (place % 64) & 1 == 1
    }
}

/// Phrases with gaps: whether the words are there that the gaps lead to is known once all words are.
#[derive(Clone, Copy, Default)]
struct Deferred {
    /// Their indexes in [`TABLE`], where they stand in [`TEXT`], and where in the message the first word of each ends.
    phrases: [(u16, u16, u16); 8],
    count: usize,
}

/// What is being read, and what was seen of it.
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
    /// Finds the phrases that begin with this word, which stands at `start`, or with its beginning.
    fn phrases_at(&mut self, word: &Word<'_>, start: usize, found: &mut Found) {
        let (bytes, end) = (self.bytes, start + word.letters.len());
        self.words.insert(Words::place(word.key));
        if let Some(group) = group_of(word) {
            let next = bytes[end..].iter().copied().find(|byte| !byte.is_ascii_whitespace()).unwrap_or_default().to_ascii_lowercase();
            if WORD_GROUPS[group].next & mask(next) != 0 {
                for (index, at, entry) in phrases(group).filter(|(.., entry)| entry.may_go_on(next) && entry.stands(&bytes[..start])) {
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
            for (_, at, entry) in phrases(group).filter(|(.., entry)| entry.may_go_on(second)) {
                if entry.begins(word, at) && entry.stands(&bytes[..start]) {
                    found.insert(entry.target);
                }
            }
        }
    }
}

impl Deferred {
    /// Leaves a phrase until all words are known, if there is room to remember it.
    fn push(&mut self, phrase: usize, at: usize, end: usize) -> bool {
        let Some(free) = self.phrases.get_mut(self.count) else { return false };
        // A message is read in parts of 8 KiB at most.
        *free = (phrase as u16, at as u16, end as u16);
        self.count += 1;
        true
    }
}

/// What is left of a phrase: where it stands in [`TEXT`].
#[derive(Clone, Copy)]
struct Rest {
    at: usize,
    end: usize,
}

impl Rest {
    fn bytes(self) -> &'static [u8] {
        &TEXT[self.at..self.end]
    }

    /// The same without its first bytes.
    fn after(self, bytes: usize) -> Self {
        Self { at: self.at + bytes, ..self }
    }
}

/// Whether what is left of a phrase stands at `at`, and ends at the end of a word.
fn matches(mut rest: Rest, bytes: &[u8], mut at: usize) -> bool {
    while rest.at < rest.end {
        let wanted = eight(&TEXT, rest.at);
        // Another phrase may follow at once.
        let length = run(in_word(wanted)).min(rest.end - rest.at);
        if length > 0 {
            if (lowered(eight(bytes, at)) ^ wanted) & first_bytes(length) != 0 {
                return false;
            }
            (rest, at) = (rest.after(length), at + length);
        } else if wanted as u8 == b' ' && (wanted >> 8) as u8 != b'.' {
            let from = at;
            at = skip_space(bytes, at);
            if at == from {
                return false;
            }
            rest = rest.after(1);
        } else {
            return matches_sign(rest, bytes, at);
        }
    }
    bytes.get(at).is_none_or(|byte| !is_word(*byte))
}

/// The same for what begins with neither a letter nor a space that stands for one.
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

/// Whether what is left of a phrase stands at the beginning of one of the next words of the line.
fn matches_further(rest: Rest, bytes: &[u8], from: usize) -> bool {
    let until = bytes.len().min(from + GAP_LIMIT);
    let until = position(bytes, from, until, b'\n').unwrap_or(until);
    let mut at = from.max(1);
    // Its first letter is lower-case, so most places are left at once.
    while let Some(found) = position(bytes, at, until, TEXT[rest.at]) {
        if !is_word(bytes[found - 1]) && matches(rest, bytes, found) {
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
