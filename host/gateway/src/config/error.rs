//! Errors that name the place, the value found, the value expected and the next step.

use super::path::KeyPath;
use super::units::HIDDEN;
use std::fmt::{self, Display};
use std::ops::Range;
use toml::de::DeValue;

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {reason}; expected a TOML file. Check its path and who may read it, or write one with `upright serve --print-config`")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's reason.
        reason: String,
    },
    /// A place in the file is wrong.
    #[error("{place}: {error}\n{excerpt}")]
    InFile {
        /// The place.
        place: Place,
        /// The wrong setting.
        error: Box<SettingError>,
        /// The line of the file, with its wrong part underlined.
        excerpt: String,
    },
    /// A setting that comes from no file is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: found {found}; expected {expected}. {next_step}")]
pub struct SettingError {
    pub(super) path: KeyPath,
    /// Value found.
    pub found: String,
    /// Value expected.
    pub expected: String,
    /// Advice, as a sentence without its full stop.
    pub next_step: &'static str,
}

const CORRECT_VALUE: &str = "Correct the value. `upright serve --print-config` explains every key";
const CORRECT_NAME: &str = "Correct the name, or remove the line. `upright serve --print-config` lists every key";
const CORRECT_SYNTAX: &str = "Correct the line. `upright serve --print-config` prints a whole file to compare with";

/// Serde's and Rust's words, and what they are called here.
const WORDS: [(&str, &str); 5] = [
    ("u32", "a whole number from 0 to 4294967295"),
    ("a boolean", "true or false"),
    ("a sequence", "a list in brackets"),
    ("a map", "a table"),
    ("path string", "a path"),
];

impl SettingError {
    pub(crate) fn new(path: KeyPath, found: impl Display, expected: impl Display, next_step: &'static str) -> Self {
        Self { path, found: found.to_string(), expected: expected.to_string(), next_step }
    }

    /// Name of the setting, such as `upstream[1].url`. `syntax`, if the text is no TOML.
    pub fn key(&self) -> String {
        self.path.to_string()
    }

    /// An error of the TOML crate. Without a `root` the text was no TOML.
    pub(super) fn of_toml(error: &toml::de::Error, root: Option<&DeValue<'_>>) -> Self {
        let message = error.message();
        let (found, expected) = message.split_once(", expected ").unwrap_or((message, "TOML: each key once, with one value"));
        let found = ["invalid type: ", "invalid value: "].iter().find_map(|kind| found.strip_prefix(kind)).unwrap_or(found);
        let word = WORDS.iter().find(|(word, _)| *word == expected).map(|(_, plain)| *plain);
        let expected = word.unwrap_or(if expected.starts_with("struct ") { "a table" } else { expected });
        let next_step = match root {
            None => CORRECT_SYNTAX,
            Some(_) if found.starts_with("unknown field") => CORRECT_NAME,
            Some(_) => CORRECT_VALUE,
        };
        let path = root.zip(error.span()).and_then(|(root, span)| KeyPath::at(root, &span)).unwrap_or_default();
        Self::new(path, found, expected, next_step)
    }
}

impl ConfigError {
    /// An error at a range of bytes of a file's text.
    pub(super) fn in_file(file: &str, text: &str, span: &Range<usize>, error: SettingError) -> Self {
        let secret = error.found.contains(HIDDEN);
        let (line, column, excerpt) = excerpt(text, span, secret);
        Self::InFile { place: Place { file: file.to_owned(), line, column }, error: Box::new(error), excerpt }
    }
}

/// Returns line, column and the line with its wrong part underlined. A secret part is not shown.
fn excerpt(text: &str, span: &Range<usize>, secret: bool) -> (usize, usize, String) {
    // All positions below are borders of characters, so no slice can panic.
    let start = text.floor_char_boundary(span.start);
    let (before, after) = text.split_at(start);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_end = start + after.find('\n').unwrap_or(after.len());
    let end = text.floor_char_boundary(span.end).clamp(start, line_end);
    let (line, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
    let wrong = if secret { "…" } else { &text[start..end] };
    let shown = printable(&[&before[line_start..], wrong, &text[end..line_end]].concat());
    let underline = "^".repeat(wrong.chars().count().max(1));
    let excerpt = format!("{line:>5} | {}\n{:>5} | {:pad$}{underline}", shown.trim_end(), "", "", pad = column - 1);
    (line, column, excerpt)
}

/// A file must not send commands to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_underlines_the_wrong_part_of_its_line() {
        for (text, span, secret, line, column, expected) in [
            ("a = 1\nb = xyz\n", 10..13, false, 2, 5, "    2 | b = xyz\n      |     ^^^"),
            ("ä = ö", 5..7, false, 1, 5, "    1 | ä = ö\n      |     ^"),
            ("a = \"secret\" # x", 4..12, true, 1, 5, "    1 | a = … # x\n      |     ^"),
            ("a = '''\nb\n'''", 4..13, false, 1, 5, "    1 | a = '''\n      |     ^^^"),
            ("\ta = \u{1b}[2J\r\n", 5..6, false, 1, 6, "    1 |  a =  [2J\n      |      ^"),
            ("", 0..0, false, 1, 1, "    1 | \n      | ^"),
            ("a\n", 2..99, false, 2, 1, "    2 | \n      | ^"),
            ("é", 1..1, false, 1, 1, "    1 | é\n      | ^"),
        ] {
            assert_eq!(excerpt(text, &span, secret), (line, column, expected.to_owned()), "{text:?}");
        }
    }
}
