//! The starting points: components, hostile policies, questions, earlier findings.
//!
//! ```text
//! corpus/components/   *.wasm as they are; *.wat, WebAssembly text
//! corpus/policies/     *.txt: functions of the world with bodies in WebAssembly text; those that are not named answer sensibly
//! corpus/questions/    *.ron: a question each, with numbers for which JSON has no words
//! corpus/crashes/      what was found on this machine, in the forms of the first and the third; git ignores it
//! ```

use crate::mutate::Seed;
use crate::question::Question;
use std::path::{Path, PathBuf};
use upright_test_kit::policies;

/// Unreadable corpus.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// Unreadable file or folder.
    #[error("{}: {source}; expected the corpus of the repository", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// File content does not match its name.
    #[error("{}: {detail}", path.display())]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// The error, and the expected content.
        detail: String,
    },
    /// Unreadable conformance vectors.
    #[error(transparent)]
    Vectors(#[from] upright_conformance::ReadError),
}

/// The starting points of iterations.
#[derive(Debug)]
pub struct Corpus {
    /// Components; the first two are whole policies.
    pub components: Vec<Seed>,
    /// Questions of the conformance suite, then the corpus's own.
    pub questions: Vec<Question>,
}

impl Corpus {
    /// Reads this repository's corpus, except `crashes`.
    ///
    /// # Errors
    /// [`CorpusError`] with the file.
    pub fn read() -> Result<Self, CorpusError> {
        let repository = root().join("../../..");
        let mut components = Vec::new();
        for path in ["host/runtime/policy.wasm", "guest/examples/steady/steady.wasm"] {
            components.push(component(&repository.join(path))?);
        }
        for folder in ["components", "policies"] {
            for path in files(&root().join(folder))? {
                components.push(component(&path)?);
            }
        }
        let mut questions: Vec<_> = upright_conformance::read(upright_conformance::folder())?.iter().filter_map(Question::of).collect();
        for path in files(&root().join("questions"))? {
            questions.push(question(&path)?);
        }
        Ok(Self { components, questions })
    }
}

/// Folder of the corpus.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let read = |source| CorpusError::Read { path: folder.to_owned(), source };
    let mut paths = std::fs::read_dir(folder).map_err(read)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    if let Ok(paths) = &mut paths {
        paths.sort();
    }
    paths.map_err(read)
}

/// Reads a component of any of the three kinds.
///
/// # Errors
/// [`CorpusError`] with the file.
pub fn component(path: &Path) -> Result<Seed, CorpusError> {
    let bytes = std::fs::read(path).map_err(|source| CorpusError::Read { path: path.to_owned(), source })?;
    let malformed = |detail: String| CorpusError::Malformed { path: path.to_owned(), detail };
    let text = || String::from_utf8(bytes.clone()).map_err(|error| malformed(error.to_string()));
    let bytes = match path.extension().and_then(|extension| extension.to_str()) {
        Some("wat") => wat::parse_str(text()?).map_err(|error| malformed(error.to_string()))?,
        Some("txt") => hostile(&text()?).map_err(malformed)?,
        _ => bytes,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Seed::new(name, bytes))
}

/// Lines `= interface#function`, each with its body. `#` begins a comment line.
fn hostile(text: &str) -> Result<Vec<u8>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let mut bodies = policies::hostile::sensible();
    let given: Vec<(&str, &str)> = lines.split("= ").skip(1).filter_map(|part| part.split_once('\n')).collect();
    if given.is_empty() {
        return Err("no function; expected a line `= interface#function`, then its body".to_owned());
    }
    bodies.retain(|(name, _)| given.iter().all(|(function, _)| function != name));
    Ok(policies::policy(&bodies.into_iter().chain(given).collect::<Vec<_>>()))
}

/// Reads a question.
///
/// # Errors
/// [`CorpusError`] with the file.
pub fn question(path: &Path) -> Result<Question, CorpusError> {
    let text = std::fs::read_to_string(path).map_err(|source| CorpusError::Read { path: path.to_owned(), source })?;
    ron::from_str(&text).map_err(|error| CorpusError::Malformed { path: path.to_owned(), detail: error.to_string() })
}
