//! Words of all rules: a message reduced to them keeps its meaning but not its prompts, paths and keys.

use super::bytes::is_word;
use super::rules::{RULES, Role};
use super::text::{STATUS_REASONS, STATUS_WORDS};
use alloc::vec::Vec;

/// Words of all phrases and statuses.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    words: Vec<&'static str>,
    beginnings: Vec<&'static str>,
}

impl Default for Vocabulary {
    fn default() -> Self {
        Self::new()
    }
}

impl Vocabulary {
    /// Gathers the words; call it once.
    pub fn new() -> Self {
        let (mut words, mut beginnings) = (Vec::new(), Vec::new());
        let phrases = RULES.iter().flat_map(|rule| Role::ALL.iter().flat_map(|role| rule.phrases(*role)));
        for phrase in phrases {
            match phrase.strip_suffix('*') {
                Some(phrase) => {
                    let (whole, last) = phrase.split_at(phrase.rfind(|letter: char| !is_word_letter(letter)).map_or(0, |at| at + 1));
                    words.extend(words_of(whole));
                    beginnings.extend(Some(last).filter(|last| !last.is_empty()));
                }
                None => words.extend(words_of(phrase)),
            }
        }
        words.extend(STATUS_WORDS);
        words.extend(STATUS_REASONS.iter().flat_map(|(_, reason)| words_of(reason)));
        for list in [&mut words, &mut beginnings] {
            list.sort_unstable();
            list.dedup();
        }
        Self { words, beginnings }
    }

    /// Whether a phrase or status has this word, in any ASCII case.
    pub fn has(&self, word: &str) -> bool {
        let lowered = || word.bytes().map(|byte| byte.to_ascii_lowercase());
        self.words.binary_search_by(|known| known.bytes().cmp(lowered())).is_ok()
    }

    /// Returns the longest open ending (`*`) that begins this word.
    pub fn beginning_of(&self, word: &str) -> Option<&'static str> {
        let begins = |known: &&&str| word.get(..known.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(known));
        self.beginnings.iter().filter(begins).max_by_key(|known| known.len()).copied()
    }

    /// Returns all words in order, then all beginnings.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.words.iter().chain(&self.beginnings).copied()
    }
}

fn is_word_letter(letter: char) -> bool {
    u8::try_from(letter).is_ok_and(is_word)
}

fn words_of(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split(|letter| !is_word_letter(letter)).filter(|word| !word.is_empty())
}
