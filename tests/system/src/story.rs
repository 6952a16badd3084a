//! Texts that follow from a key, and begin with it. From a text alone follows whether it is one, and all of it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Ends of words: characters of several bytes, and some that JSON escapes.
const ENDS: [&str; 8] = ["", "é", "🙂", "\"", "\\", "\n", "日本", "\t"];

/// The key of an answer: a hash of all that its text follows from.
pub fn key(facts: impl Hash) -> u64 {
    // Its keys are constant, so each process gets the same.
    let mut hasher = DefaultHasher::new();
    facts.hash(&mut hasher);
    hasher.finish()
}

/// The words of a text. The first is its key.
pub fn words(of: u64) -> Vec<String> {
    let word = |at: u64| {
        let drawn = key((of, at));
        let end = ENDS[usize::try_from(drawn % 8).unwrap_or_default()];
        format!("{:x}{end} ", drawn >> 40)
    };
    std::iter::once(format!("{of:016x} ")).chain((1..20 + of % 60).map(word)).collect()
}

/// Number of words of which a host that dies sends the last in part.
pub fn cut(of: u64) -> usize {
    let most = words(of).len() as u64;
    usize::try_from(1 + key((of, "cut")) % (most - 1)).unwrap_or(1)
}

/// How much of a text there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of the text with this key.
    Whole(u64),
    /// The beginning of one.
    Beginning,
    /// Anything else: two texts, or a part that is no beginning.
    Mixed,
}

/// How much of a text this is.
pub fn part(text: &str) -> Part {
    let Some((first, _)) = text.split_once(' ') else {
        return if text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) { Part::Beginning } else { Part::Mixed };
    };
    let Ok(key) = u64::from_str_radix(first, 16) else { return Part::Mixed };
    let whole = words(key).concat();
    match whole.strip_prefix(text) {
        Some("") => Part::Whole(key),
        Some(_) => Part::Beginning,
        None => Part::Mixed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_its_beginnings_and_what_is_mixed_of_two_are_told_apart() {
        for number in 0..50 {
            let (one, other) = (words(key(number)), words(key((number, "other"))));
            assert_eq!(part(&one.concat()), Part::Whole(key(number)));
            assert!(cut(key(number)) >= 1 && cut(key(number)) < one.len());
            for at in 0..one.len() {
                assert_eq!(part(&one[..at].concat()), Part::Beginning, "{number} {at}");
            }
            // The rest of a shorter text may be none.
            for at in 0..one.len().min(other.len()) {
                assert_eq!(part(&[&one[..at], &other[at..]].concat().concat()) == Part::Mixed, at > 0, "{number} {at}");
            }
        }
        assert_eq!(part("Hello"), Part::Mixed);
    }
}
