//! What is fuzzed.

pub mod arguments;
pub mod components;

use crate::dice::Dice;
use crate::finding::Broken;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use upright::Policy;
use upright::policy::{PolicyError, PolicyLoader};

/// How long the policy that comes with the host may take here: far longer than it does, and longer than any machine stands still in the
/// middle of a decision.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often what happened, by name.
pub type Tally = BTreeMap<&'static str, u64>;

/// A way to make cases, and what must hold for each.
pub trait Target {
    /// What is examined.
    type Case: Clone;

    /// Its name on the command line and in files.
    const NAME: &'static str;

    /// A case, from nothing but choices and the corpus.
    fn make(&self, dice: &mut Dice) -> Self::Case;

    /// Whether everything holds. Tells `tally` what happened.
    ///
    /// # Errors
    /// The promise that does not hold.
    fn examine(&self, case: &Self::Case, tally: &mut Tally) -> Result<(), Broken>;

    /// Cases that are simpler by a step, the simplest first.
    fn simpler(&self, case: &Self::Case) -> Vec<Self::Case>;

    /// Writes a case to files with this stem; they can be moved into the corpus as they are.
    ///
    /// # Errors
    /// What the system says.
    fn save(&self, case: &Self::Case, folder: &Path, stem: &str) -> std::io::Result<Vec<PathBuf>>;

    /// A case in a few words.
    fn describe(&self, case: &Self::Case) -> String;
}

/// The policy that comes with the host, with that much time.
fn built_in() -> Result<Policy, PolicyError> {
    // What is asked for again is not compiled again.
    PolicyLoader::default().decision_limit(PATIENCE).from_bytes(Policy::built_in()?.bytes())
}

/// Counts one more.
fn count(tally: &mut Tally, what: &'static str) {
    *tally.entry(what).or_default() += 1;
}
