//! How a policy is loaded.

use crate::exit::{Exit, Failure};
use crate::values;
use std::path::Path;
use std::time::Duration;
use upright::Policy;
use upright::policy::PolicyLoader;

/// What a policy may import and use.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[group(id = "loading", multiple = true)]
pub(crate) struct Loading {
    /// Let the policy import WASI, of which it finds nothing there: no files, network or environment, a clock that stands still
    #[arg(long)]
    allow_wasi: bool,

    /// How long a decision may take on a processor, seconds, 0.001 to 10 [default: 0.005, and 0.05 with WASI]
    #[arg(long, value_name = "SECONDS", value_parser = values::decision_limit)]
    decision_limit: Option<Duration>,

    /// How much memory an instance may have, MiB, 1 to 4096 [default: 16, and 256 with WASI]
    #[arg(long, value_name = "MIB", value_parser = values::memory_limit)]
    memory_limit: Option<usize>,
}

impl Loading {
    /// The policy in this file, which must pass the probe; else the built-in one, to which no limits apply that are not its own.
    pub(crate) fn load(self, file: Option<&Path>) -> Result<Policy, Failure> {
        Self::read(&self.loader(), file)
    }

    /// The same, whether it would pass or not: to look at it.
    pub(crate) fn look_at(self, file: Option<&Path>) -> Result<Policy, Failure> {
        Self::read(&self.loader().probe(false), file)
    }

    fn read(loader: &PolicyLoader, file: Option<&Path>) -> Result<Policy, Failure> {
        let Some(path) = file else {
            return Policy::built_in().map_err(|error| Failure::new(Exit::Failed, error.to_string()));
        };
        loader.from_file(path).map_err(|error| {
            let (text, path) = (error.to_string(), path.display().to_string());
            // One that could not be read names its file already.
            Failure::bad_input(if text.contains(&path) { text } else { format!("{path}: {text}") })
        })
    }

    fn loader(self) -> PolicyLoader {
        let mut loader = PolicyLoader::default().allow_wasi(self.allow_wasi);
        if let Some(limit) = self.decision_limit {
            loader = loader.decision_limit(limit);
        }
        if let Some(bytes) = self.memory_limit {
            loader = loader.memory_limit(bytes);
        }
        loader
    }
}
