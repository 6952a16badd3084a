//! What each function of the world `upright:policy` answers, as data.
//!
//! A decision must not depend on where it is made: natively, in the component under any WebAssembly runtime, or in a policy that somebody
//! writes anew from the contract. So `vectors/` holds thousands of questions with their answers, one file of JSON Lines for each interface:
//!
//! ```json
//! {"name":"…what it shows…","function":"backoff.delay","arguments":{"config":{…},"attempt":1024,"random":0.5},"answer":60.0}
//! ```
//!
//! Names are in `snake_case`; records are objects; a case without a payload is a string and one with a payload an object of one key; an
//! absent option is left out of the arguments and `null` in an answer. Numbers are compared to the bit: a reader must keep all
//! 64 bits of an `f64`, and integers above 2^53.
//!
//! [`generate`] makes them, hand-written edge cases first, with answers from [`native`]. `cargo xtask vectors` writes them.

pub mod compare;
pub mod field;
pub mod generate;
pub mod native;
pub mod rows;
pub mod rule_table;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vector {
    /// What it shows; unique among the vectors of its function.
    pub name: String,
    /// `interface.function`.
    pub function: String,
    /// The arguments by name; absent options are left out.
    pub arguments: Value,
    /// What the function answers.
    pub answer: Value,
}

/// Why the committed vectors cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file is not there or cannot be read.
    #[error("{}: {source}; `cargo xtask vectors` writes it", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line is no vector.
    #[error("{}, line {line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The folder of the committed vectors.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors"))
}

/// The name of the file of an interface's vectors.
pub fn file_name(interface: &str) -> String {
    format!("{interface}.jsonl")
}

/// Every committed vector, in the order of the files and of their lines.
///
/// # Panics
/// Where a file is missing or holds what is no vector: nothing can be tested then. [`read`] tells it as an error.
pub fn all() -> Vec<Vector> {
    read(folder()).unwrap_or_else(|error| panic!("{error}"))
}

/// Every vector of the files in `folder`.
///
/// # Errors
/// [`ReadError`] names the file, and the line.
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
