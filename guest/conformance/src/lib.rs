//! Questions to each function of the world `upright:policy`, with the default policy's answers.
//!
//! A decision must not depend on its place: native code, the component under any runtime, or a rewritten policy.
//! `vectors/` has one JSON Lines file for each interface:
//!
//! ```json
//! {"name":"…what it shows…","function":"backoff.delay","arguments":{"config":{…},"attempt":1024,"random":0.5},"answer":60.0}
//! ```
//!
//! Names are in `snake_case`. Records are objects. A case without a payload is a string, one with a payload an object
//! of one key. Absent options are omitted from arguments and `null` in answers. Numbers are compared bit by bit: a
//! reader must keep all 64 bits of an `f64`, and integers above 2^53.
//!
//! [`generate`] makes them with [`native`]; `cargo xtask vectors` writes them.

pub mod compare;
pub mod field;
pub mod generate;
pub mod native;
pub mod rows;
pub mod rule_table;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vector {
    /// Purpose; unique within its function.
    pub name: String,
    /// `interface.function`.
    pub function: String,
    /// Arguments by name; absent options are omitted.
    pub arguments: Value,
    /// The answer.
    pub answer: Value,
}

/// Unreadable vectors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Missing or unreadable file.
    #[error("{}: {source}; `cargo xtask vectors` writes it", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Malformed line.
    #[error("{}, line {line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The reason.
        source: serde_json::Error,
    },
}

/// Folder of the committed vectors.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors"))
}

/// File name of an interface's vectors.
pub fn file_name(interface: &str) -> String {
    format!("{interface}.jsonl")
}

/// All committed vectors, in file and line order.
///
/// # Panics
/// On a missing or malformed file; [`read`] returns an error instead.
pub fn all() -> Vec<Vector> {
    read(folder()).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads the vectors in `folder`.
///
/// # Errors
/// [`ReadError`] with the file and line.
pub fn read(folder: &Path) -> Result<Vec<Vector>, ReadError> {
    let mut vectors = Vec::new();
    for interface in generate::interfaces() {
        let path = folder.join(file_name(interface));
        let text = std::fs::read_to_string(&path).map_err(|source| ReadError::File { path: path.clone(), source })?;
        for (index, line) in text.lines().enumerate() {
            let vector = serde_json::from_str(line).map_err(|source| ReadError::Line { path: path.clone(), line: index + 1, source })?;
            vectors.push(vector);
        }
    }
    Ok(vectors)
}
