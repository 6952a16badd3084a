//! Generates the vectors: named edge cases, then random ones. Each run gives the same vectors; [`crate::native`]
//! answers.

mod backoff;
mod breaker;
mod classifier;
mod degradation;
mod health;
mod hosts;
mod misleading;
mod random;
mod recovery;
mod values;

use crate::native::{self, NativeError};
use crate::{Vector, compare, file_name};
use random::Random;
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;
use upright_logic::settings::Profile;

const INTERFACES: [(&str, Maker); 8] = [
    ("metadata", metadata),
    ("settings", settings),
    ("backoff", backoff::make),
    ("breaker", breaker::make),
    ("classifier", classifier::make),
    ("degradation", degradation::make),
    ("health", health::make),
    ("recovery", recovery::make),
];

pub(crate) fn interfaces() -> impl Iterator<Item = &'static str> {
    INTERFACES.iter().map(|(interface, _)| *interface)
}

type Maker = fn(&mut Collected, &mut Random);

#[derive(Default)]
struct Collected {
    vectors: Vec<Vector>,
    failed: Option<(String, NativeError)>,
}

impl Collected {
    /// Records a question with its native answer. The first error is kept for the end.
    fn ask(&mut self, function: &str, name: impl Into<String>, arguments: Value) -> Value {
        let (name, arguments) = (name.into(), without_absent(arguments));
        match native::eval(function, &arguments) {
            Ok(answer) => {
                self.vectors.push(Vector { name, function: function.to_owned(), arguments, answer: answer.clone() });
                answer
            }
            Err(error) => {
                self.failed.get_or_insert((format!("{function}, {name}"), error));
                Value::Null
            }
        }
    }
}

/// Removes `null`, which no argument gives a meaning.
fn without_absent(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, without_absent(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_absent).collect(),
        other => other,
    }
}

fn metadata(collected: &mut Collected, _: &mut Random) {
    collected.ask("metadata.describe", "the built-in policy says who it is", json!({}));
}

fn settings(collected: &mut Collected, _: &mut Random) {
    for profile in Profile::ALL {
        collected.ask("settings.recommend", format!("the settings for {profile}"), json!({ "profile": profile }));
    }
}

/// Vectors cannot be made, or the committed ones are stale.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorsError {
    /// A question does not fit the logic.
    #[error("a generated question does not fit ({question}): {source}")]
    Question {
        /// Function and name.
        question: String,
        /// The reason.
        source: NativeError,
    },
    /// Unreadable or unwritable file.
    #[error("{file}: {source}; `cargo xtask vectors` writes it")]
    File {
        /// Its name.
        file: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A committed file differs from the generated one.
    #[error("{0}")]
    Stale(Stale),
}

/// First stale vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The difference.
    pub what: String,
}

impl fmt::Display for Stale {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, line {}: {}\nIf the new answers are right, run `cargo xtask vectors`", self.file, self.line, self.what)
    }
}

/// Names and contents of the generated files.
///
/// # Errors
/// [`VectorsError::Question`] if generator and logic disagree.
pub fn files() -> Result<Vec<(String, String)>, VectorsError> {
    INTERFACES.iter().map(|(interface, make)| Ok((file_name(interface), file(interface, *make)?))).collect()
}

/// All vectors, in the contract's order.
///
/// # Errors
/// [`VectorsError::Question`] if generator and logic disagree.
pub fn vectors() -> Result<Vec<Vector>, VectorsError> {
    INTERFACES.iter().try_fold(Vec::new(), |mut all, (interface, make)| {
        all.extend(collect(interface, *make)?);
        Ok(all)
    })
}

fn collect(interface: &str, make: Maker) -> Result<Vec<Vector>, VectorsError> {
    let mut collected = Collected::default();
    make(&mut collected, &mut Random::seeded(interface));
    if let Some((question, source)) = collected.failed {
        return Err(VectorsError::Question { question, source });
    }
    Ok(collected.vectors)
}

fn file(interface: &str, make: Maker) -> Result<String, VectorsError> {
    // A vector is always a JSON object.
    Ok(collect(interface, make)?.iter().filter_map(|vector| serde_json::to_string(vector).ok()).map(|line| line + "\n").collect())
}

/// Writes the files into `folder`. Returns the number of vectors.
///
/// # Errors
/// [`VectorsError::Question`] and [`VectorsError::File`].
pub fn write(folder: &Path) -> Result<usize, VectorsError> {
    let failed = |file: &str| {
        let file = file.to_owned();
        move |source| VectorsError::File { file, source }
    };
    std::fs::create_dir_all(folder).map_err(failed("vectors"))?;
    let mut count = 0;
    for (name, text) in files()? {
        count += text.lines().count();
        std::fs::write(folder.join(&name), text).map_err(failed(&name))?;
    }
    Ok(count)
}

/// Checks that the files in `folder` are up to date. Returns the number of vectors.
///
/// # Errors
/// [`VectorsError::Stale`], [`VectorsError::Question`] and [`VectorsError::File`].
pub fn check(folder: &Path) -> Result<usize, VectorsError> {
    let mut count = 0;
    for (file, wanted) in files()? {
        let committed = std::fs::read_to_string(folder.join(&file)).map_err(|source| VectorsError::File { file: file.clone(), source })?;
        if let Some((line, what)) = first_difference(&committed, &wanted) {
            return Err(VectorsError::Stale(Stale { file, line, what }));
        }
        count += wanted.lines().count();
    }
    Ok(count)
}

fn first_difference(committed: &str, wanted: &str) -> Option<(usize, String)> {
    let (mut left, mut right) = (committed.lines(), wanted.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (left.next(), right.next()) {
            (None, None) => return None,
            (Some(committed), Some(wanted)) if committed == wanted => {}
            (Some(committed), Some(wanted)) => return Some((line, explain(committed, wanted))),
            (Some(_), None) => return Some((line, "the committed file has more vectors than the sources give".to_owned())),
            (None, Some(wanted)) => return Some((line, format!("the committed file ends before {}", title(wanted)))),
        }
    }
}

fn explain(committed: &str, wanted: &str) -> String {
    let read = |line: &str| serde_json::from_str::<Vector>(line);
    match (read(committed), read(wanted)) {
        (Ok(committed), Ok(wanted)) if (&committed.function, &committed.name) != (&wanted.function, &wanted.name) => {
            format!("committed is {} {:?}, the sources give {} {:?}", committed.function, committed.name, wanted.function, wanted.name)
        }
        (Ok(committed), Ok(wanted)) if committed.arguments != wanted.arguments => format!(
            "{} {:?} asks something else\n  committed: {}\n  generated: {}",
            wanted.function, wanted.name, committed.arguments, wanted.arguments
        ),
        (Ok(committed), Ok(wanted)) => {
            let how = compare::difference(&committed, &wanted.answer).map_or_else(|| "another text".to_owned(), |how| how.to_string());
            format!("{} {:?} is answered differently\n  {how}", wanted.function, wanted.name)
        }
        (Err(error), _) | (_, Err(error)) => format!("no vector: {error}"),
    }
}

fn title(line: &str) -> String {
    serde_json::from_str::<Vector>(line).map_or_else(|error| error.to_string(), |vector| format!("{} {:?}", vector.function, vector.name))
}
