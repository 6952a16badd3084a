//! The words that the rules know.
//!
//! A message may hold a prompt, a path, a key. What it means hangs on a few words only, so it can be written down without the others
//! and still mean the same.

use super::bytes::is_word;
use super::rules::{RULES, Role};
use super::text::{STATUS_REASONS, STATUS_WORDS};
use alloc::vec::Vec;

/// The words that phrases and statuses are made of: a message without any others means the same, and tells nothing else.
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
    /// Gathers the words; to be done once.
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

    /// Whether a phrase or a status has this word, without regard to ASCII case.
    pub fn has(&self, word: &str) -> bool {
        let lowered = || word.bytes().map(|byte| byte.to_ascii_lowercase());
        self.words.binary_search_by(|known| known.bytes().cmp(lowered())).is_ok()
    }

    /// The longest beginning of this word with which a phrase ends.
    pub fn beginning_of(&self, word: &str) -> Option<&'static str> {
        let begins = |known: &&&str| word.get(..known.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(known));
        self.beginnings.iter().filter(begins).max_by_key(|known| known.len()).copied()
    }

    /// All words, in order, and then all beginnings.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.words.iter().chain(&self.beginnings).copied()
    }
}

/// Whether a letter stands in words.
fn is_word_letter(letter: char) -> bool {
    u8::try_from(letter).is_ok_and(is_word)
}

fn words_of(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split(|letter| !is_word_letter(letter)).filter(|word| !word.is_empty())
}
