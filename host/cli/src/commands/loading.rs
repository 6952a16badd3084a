//! The options for loading a policy.

use crate::exit::{Exit, Failure};
use crate::values;
use std::path::Path;
use std::time::Duration;
use upright::Policy;
use upright::policy::PolicyLoader;

#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[group(id = "loading", multiple = true)]
pub(crate) struct Loading {
    /// Let the policy import WASI, without files, network or environment, and with a stopped clock
    #[arg(long)]
    allow_wasi: bool,

    /// Processor time limit of one decision, seconds, 0.001 to 10 [default: 0.005, with WASI 0.05]
    #[arg(long, value_name = "SECONDS", value_parser = values::decision_limit)]
    decision_limit: Option<Duration>,

    /// Memory limit of a policy instance, MiB, 1 to 4096 [default: 16, with WASI 256]
    #[arg(long, value_name = "MIB", value_parser = values::memory_limit)]
    memory_limit: Option<usize>,
}

impl Loading {
    /// Loads the file, or the built-in policy with its own limits.
    pub(crate) fn load(self, file: Option<&Path>) -> Result<Policy, Failure> {
        Self::read(&self.loader(), file)
    }

    /// Loads without the probe.
    pub(crate) fn look_at(self, file: Option<&Path>) -> Result<Policy, Failure> {
        Self::read(&self.loader().probe(false), file)
    }

    fn read(loader: &PolicyLoader, file: Option<&Path>) -> Result<Policy, Failure> {
        let Some(path) = file else {
            return Policy::built_in().map_err(|error| Failure::new(Exit::Failed, error.to_string()));
        };
        loader.from_file(path).map_err(|error| {
            let (text, path) = (error.to_string(), path.display().to_string());
            // The text may name the file already.
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
