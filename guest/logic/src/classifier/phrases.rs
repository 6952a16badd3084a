//! Compile-time tables of all phrases, by first word.

use super::bytes::{KEY_CASE, LOWER, Word, eight, first_bytes, is_word};
use super::rules::{RULES, Role, second};

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

#[derive(Clone, Copy)]
struct Listed {
    text: &'static [u8],
    target: u8,
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

    const fn word(&self) -> usize {
        let mut length = 0;
        while length < self.text.len() && LOWER[self.text[length] as usize] != 0 {
            length += 1;
        }
        length
    }

    /// Whether its first word may continue (`*`).
    const fn is_open(&self) -> bool {
        self.word() < self.text.len() && self.text[self.word()] == b'*'
    }

    const fn kept(&self) -> usize {
        if self.is_open() { 0 } else { self.word() }
    }

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

/// A phrase; its bytes follow the previous phrase's in [`TEXT`].
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Number of bytes after the first word, or of an open word.
    length: u8,
    /// Rule, or `RULES.len()` plus the bit in [`super::text::Found::second`].
    pub(super) target: u8,
    first: bool,
    /// Letter that excludes most texts: after the first word's space, or second in an open word; 0 for any.
    next: u8,
    /// Place in [`Words`] of the word after a gap.
    pub(super) later: u8,
}

impl Entry {
    const NONE: Self = Self { length: 0, target: 0, first: false, next: 0, later: Self::NO_WORD };
    pub(super) const NO_WORD: u8 = u8::MAX;
    const ANY_WORD: u8 = u8::MAX - 1;

    pub(super) fn rest(&self, at: usize) -> Rest {
        Rest { at, end: at + usize::from(self.length) }
    }

    pub(super) fn stands(&self, before: &[u8]) -> bool {
        !self.first || !before.iter().any(|byte| is_word(*byte))
    }

    pub(super) fn begins(&self, word: &Word<'_>, start: usize) -> bool {
        let length = usize::from(self.length) - 1;
        length <= word.letters.len()
            && (eight(&TEXT, start) | KEY_CASE) & first_bytes(length) == word.key & first_bytes(length)
            && (length <= 8 || TEXT[start + 8..start + length].eq_ignore_ascii_case(&word.letters[8..length]))
    }
}

/// Phrases with equal first words.
#[derive(Clone, Copy)]
pub(super) struct Group {
    key: u64,
    /// Start in [`TEXT`] of the word's other letters and its phrases.
    start: u16,
    length: u8,
    entries: u16,
    pub(super) next: u16,
}

impl Group {
    const NONE: Self = Self { key: 0, start: 0, length: 0, entries: 0, next: 0 };

    fn is(&self, word: &Word<'_>) -> bool {
        self.key == word.key && word.letters.len().saturating_sub(8) == usize::from(self.length) && self.goes_on_as(word)
    }

    fn goes_on_as(&self, word: &Word<'_>) -> bool {
        let start = usize::from(self.start);
        word.letters.len() <= 8 || TEXT[start..start + usize::from(self.length)].eq_ignore_ascii_case(&word.letters[8..])
    }
}

/// One of 16 bits for a next letter; all bits for any.
pub(super) const fn mask(next: u8) -> u16 {
    if next == 0 { u16::MAX } else { 1 << (next % 16) }
}

const PLACES: usize = 512;

const fn place(key: u64) -> usize {
    // 2^64 over the golden ratio: all bits of the key count.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize % PLACES
}

/// Cache-sized filter: most words have no group.
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

struct Groups {
    /// Group of each phrase, or [`PHRASES`] plus an open word's first letter.
    of: [u16; PHRASES],
    example: [u16; PHRASES],
    count: usize,
}

const GROUPS: Groups = {
    let mut groups = Groups { of: [0; PHRASES], example: [0; PHRASES], count: 0 };
    // Linked lists of groups by place; 0 ends a list.
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

/// Number of groups of whole words; 26 for open words follow.
pub(super) const WORDS: usize = GROUPS.count;
const ALL_GROUPS: usize = WORDS + 26;

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
    places: [u16; PLACES + 1],
    /// By place, then open words, then an end.
    groups: [Group; ALL_GROUPS + 1],
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
        let mut slot = next[group] as usize;
        while slot > tables.groups[group].entries as usize && tables.entries[slot - 1].next > listed.next() {
            tables.entries[slot] = tables.entries[slot - 1];
            phrase_at[slot] = phrase_at[slot - 1];
            slot -= 1;
        }
        phrase_at[slot] = index;
        tables.entries[slot] = Entry {
            length: (listed.text.len() - listed.kept()) as u8,
            target: listed.target,
            first: listed.first,
            next: listed.next(),
            later: listed.later(),
        };
        next[group] += 1;
        index += 1;
    }
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

const fn ranked(phrase: usize, rank: &[usize; WORDS]) -> usize {
    let group = GROUPS.of[phrase] as usize;
    if group < PHRASES { rank[group] } else { WORDS + group - PHRASES }
}

const fn put(text: &mut [u8; BYTES], mut at: usize, phrase: &[u8], mut from: usize, until: usize) -> usize {
    while from < until {
        text[at] = phrase[from];
        at += 1;
        from += 1;
    }
    at
}

pub(super) static TEXT: [u8; BYTES] = TABLES.text;
static BEGINS: [u16; PLACES + 1] = TABLES.places;
pub(super) static WORD_GROUPS: [Group; ALL_GROUPS + 1] = TABLES.groups;
pub(super) static TABLE: [Entry; PHRASES] = TABLES.entries;

pub(super) fn group_of(word: &Word<'_>) -> Option<usize> {
    let bit = known_bit(word.key);
    if KNOWN[bit / 64] >> (bit % 64) & 1 == 0 {
        return None;
    }
    let place = place(word.key);
    (usize::from(BEGINS[place])..usize::from(BEGINS[place + 1])).find(|group| WORD_GROUPS[*group].is(word))
}

/// Returns the phrases that may continue with `next`: index in [`TABLE`], start in [`TEXT`], entry.
pub(super) fn phrases(group: usize, next: u8) -> impl Iterator<Item = (usize, usize, &'static Entry)> {
    let Group { start, length, entries, .. } = WORD_GROUPS[group];
    let mut end = usize::from(start) + usize::from(length);
    (usize::from(entries)..)
        .zip(&TABLE[usize::from(entries)..usize::from(WORD_GROUPS[group + 1].entries)])
        .take_while(move |(_, entry)| entry.next <= next)
        .map(move |(index, entry)| {
            let at = end;
            end += usize::from(entry.length);
            (index, at, entry)
        })
        .filter(move |(.., entry)| entry.next == 0 || entry.next == next)
}

/// A set of words, with collisions.
#[derive(Clone, Copy, Default)]
pub(super) struct Words(u64);

impl Words {
    pub(super) const fn place(key: u64) -> u8 {
        (place(key) % 64) as u8
    }

    pub(super) fn insert(&mut self, place: u8) {
        self.0 |= 1 << (place % 64);
    }

    pub(super) fn may_have(&self, place: u8) -> bool {
        place == Entry::ANY_WORD || self.0 >> (place % 64) & 1 == 1
    }
}

#[derive(Clone, Copy)]
pub(super) struct Rest {
    pub(super) at: usize,
    pub(super) end: usize,
}

impl Rest {
    pub(super) fn bytes(self) -> &'static [u8] {
        &TEXT[self.at..self.end]
    }

    pub(super) fn after(self, bytes: usize) -> Self {
        Self { at: self.at + bytes, ..self }
    }
}
