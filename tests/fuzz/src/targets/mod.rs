//! The targets of fuzzing.

pub mod arguments;
pub mod components;
pub mod requests;

use crate::dice::Dice;
use crate::finding::Broken;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use upright::Policy;
use upright::policy::{PolicyError, PolicyLoader};

/// Time limit of the built-in policy, longer than a machine pauses.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts of events by name.
pub type Tally = BTreeMap<&'static str, u64>;

/// Makes cases and checks promises.
pub trait Target {
    /// Type of the cases.
    type Case: Clone;

    /// Name on the command line and in files.
    const NAME: &'static str;

    /// Makes a case from choices and the corpus.
    fn make(&self, dice: &mut Dice) -> Self::Case;

    /// Checks all promises. Counts events in `tally`.
    ///
    /// # Errors
    /// The broken promise.
    fn examine(&self, case: &Self::Case, tally: &mut Tally) -> Result<(), Broken>;

    /// Cases simpler by one step, the simplest first.
    fn simpler(&self, case: &Self::Case) -> Vec<Self::Case>;

    /// Saves a case under this stem, in the corpus's form.
    ///
    /// # Errors
    /// The I/O error.
    fn save(&self, case: &Self::Case, folder: &Path, stem: &str) -> std::io::Result<Vec<PathBuf>>;

    /// Describes a case in a few words.
    fn describe(&self, case: &Self::Case) -> String;
}

fn built_in() -> Result<Policy, PolicyError> {
    PolicyLoader::default().decision_limit(PATIENCE).from_bytes(Policy::built_in()?.bytes())
}

fn count(tally: &mut Tally, what: &'static str) {
    *tally.entry(what).or_default() += 1;
}
