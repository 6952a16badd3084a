//! Python and Node, as hosts of the committed policy and with unmodified clients of Ollama.
//!
//! A contract that only one host speaks is that host's format. The scripts in `tests/other-hosts/` load `policy.wasm`
//! with other people's bindings. Those in `tests/clients/` ask a gateway through other people's clients. The packages
//! are installed from PyPI and npm on first use into the cargo target folder. Needs Python 3.11 or later, as the
//! [rig](crate::rig), and Node 20 or later with `npm`.
//!
//! ```no_run
//! # use upright_test_kit::other_hosts::Host;
//! # fn a_test() -> std::io::Result<()> {
//! let Some(host) = Host::Node.prepare_or_skip("a_test") else { return Ok(()) };
//! let output = host.run("embed", &["host/runtime/policy.wasm".as_ref()])?;
//! # Ok(())
//! # }
//! ```

use crate::rig::RigError;
use crate::rig::environment::{Environment, last_lines, made_once, run, short_hash, target_folder};
use crate::skipped;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Names hosts, separated by spaces, for which [`Host::prepare_or_skip`] panics instead of skipping.
const REQUIRE_VARIABLE: &str = "UPRIGHT_REQUIRE_HOSTS";
const OLDEST_NODE: u32 = 20;

/// The packages that a Python host installs, and the folder of its scripts.
struct PythonParts {
    requirements: &'static str,
    scripts: &'static str,
}

/// The packages that a Node host installs, and its scripts. Node searches packages from a script upwards, so the
/// scripts are copied beside the packages.
struct NodeParts {
    packages: [(&'static str, &'static str); 2],
    scripts: &'static [(&'static str, &'static str)],
}

const PYTHON: PythonParts =
    PythonParts { requirements: include_str!("../../other-hosts/python/requirements.txt"), scripts: "../other-hosts/python" };
const PYTHON_CLIENTS: PythonParts = PythonParts { requirements: include_str!("../../clients/requirements.txt"), scripts: "../clients" };
const NODE: NodeParts = NodeParts {
    packages: [
        ("package.json", include_str!("../../other-hosts/node/package.json")),
        ("package-lock.json", include_str!("../../other-hosts/node/package-lock.json")),
    ],
    scripts: &[
        ("conformance.mjs", include_str!("../../other-hosts/node/conformance.mjs")),
        ("contract.mjs", include_str!("../../other-hosts/node/contract.mjs")),
        ("embed.mjs", include_str!("../../other-hosts/node/embed.mjs")),
    ],
};
const NODE_CLIENTS: NodeParts = NodeParts {
    packages: [
        ("package.json", include_str!("../../clients/package.json")),
        ("package-lock.json", include_str!("../../clients/package-lock.json")),
    ],
    scripts: &[("clients.mjs", include_str!("../../clients/clients.mjs"))],
};

/// A host cannot be used here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Python or its packages are missing, or a file is unusable.
    #[error(transparent)]
    Python(#[from] RigError),
    /// Node is missing or too old.
    #[error("`node --version` says {found}; install Node {OLDEST_NODE} or later")]
    NoNode {
        /// Output of Node or the system.
        found: String,
    },
    /// No packages: no `npm`, no network, or a lock file that does not fit.
    #[error("npm could not install the packages ({detail})")]
    Npm {
        /// Last output of npm.
        detail: String,
    },
}

impl HostError {
    /// Whether the machine lacks the host's parts, rather than a file being unusable.
    #[must_use]
    pub fn is_unavailability(&self) -> bool {
        match self {
            Self::Python(error) => error.is_unavailability(),
            Self::NoNode { .. } | Self::Npm { .. } => true,
        }
    }
}

/// Another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// `wasmtime` from PyPI.
    Python,
    /// Node, with JavaScript made by `jco`.
    Node,
    /// Clients from PyPI.
    PythonClients,
    /// Clients from npm.
    NodeClients,
}

/// A host with its packages.
#[derive(Debug)]
pub struct Installed {
    program: PathBuf,
    scripts: PathBuf,
    extension: &'static str,
}

impl Host {
    /// Name in `UPRIGHT_REQUIRE_HOSTS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Python | Self::PythonClients => "python",
            Self::Node | Self::NodeClients => "node",
        }
    }

    /// Finds or installs the packages.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn prepare(self) -> Result<Installed, HostError> {
        match self {
            Self::Python => prepare_python(&PYTHON),
            Self::PythonClients => prepare_python(&PYTHON_CLIENTS),
            Self::Node => prepare_node(&NODE),
            Self::NodeClients => prepare_node(&NODE_CLIENTS),
        }
    }

    /// Prepares the host. Reports `test_name` as skipped if the machine lacks the host or a package index.
    ///
    /// # Panics
    /// If the host is broken, or missing although `UPRIGHT_REQUIRE_HOSTS` names it.
    #[must_use]
    pub fn prepare_or_skip(self, test_name: &str) -> Option<Installed> {
        let error = match self.prepare() {
            Ok(installed) => return Some(installed),
            Err(error) => error,
        };
        let required = std::env::var(REQUIRE_VARIABLE).is_ok_and(|names| names.split_whitespace().any(|name| name == self.name()));
        assert!(error.is_unavailability() && !required, "{test_name}: {} cannot be used here: {error}", self.name());
        skipped(test_name, format_args!("{} is not available here: {error}", self.name()));
        None
    }
}

impl Installed {
    /// Command that runs a script of the host, named without its extension.
    #[must_use]
    pub fn command(&self, script: &str) -> Command {
        let script = self.scripts.join(script).with_extension(self.extension);
        let mut command = Command::new(&self.program);
        // Else Python writes `__pycache__` among the sources, and may not print UTF-8.
        command.arg(script).envs([("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONUTF8", "1")]);
        command
    }

    /// Runs a script of the host, named without its extension.
    ///
    /// # Errors
    /// If it cannot start.
    pub fn run(&self, script: &str, arguments: &[&Path]) -> io::Result<Output> {
        self.command(script).args(arguments).stdin(Stdio::null()).output()
    }
}

fn folder() -> PathBuf {
    target_folder().join("other-hosts")
}

fn prepare_python(parts: &PythonParts) -> Result<Installed, HostError> {
    let environment = Environment::prepare_in(folder(), parts.requirements)?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join(parts.scripts);
    Ok(Installed { program: environment.python, scripts, extension: "py" })
}

fn prepare_node(parts: &NodeParts) -> Result<Installed, HostError> {
    check_node_version()?;
    let folder = folder();
    let packages = folder.join(format!("node-{}", short_hash(&parts.packages.map(|(_, text)| text))));
    made_once(&folder, &packages, |staging| {
        write_all(staging, &parts.packages)?;
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(arguments).current_dir(staging)).map_err(|detail| HostError::Npm { detail })
    })?;
    let texts: Vec<&str> = parts.scripts.iter().map(|(_, text)| *text).collect();
    let scripts = packages.join(format!("scripts-{}", short_hash(&texts)));
    made_once(&packages, &scripts, |staging| write_all(staging, parts.scripts))?;
    Ok(Installed { program: "node".into(), scripts, extension: "mjs" })
}

fn check_node_version() -> Result<(), HostError> {
    let output = Command::new("node").arg("--version").stdin(Stdio::null()).output();
    let found = match &output {
        Ok(output) if output.status.success() => last_lines(&output.stdout),
        Ok(output) => last_lines(&output.stderr),
        Err(error) => error.to_string(),
    };
    if major(&found).is_some_and(|version| version >= OLDEST_NODE) { Ok(()) } else { Err(HostError::NoNode { found }) }
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn write_all(folder: &Path, files: &[(&str, &str)]) -> Result<(), HostError> {
    fs::create_dir_all(folder).map_err(|source| RigError::file("create", folder, source))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|source| RigError::file("write", &path, source))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_node_is_read_and_what_is_none_is_not() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("20.20.2"), None);
        assert_eq!(major("No such file or directory"), None);
    }

    #[test]
    fn the_locked_packages_come_from_the_public_registry_and_each_has_its_digest() {
        for parts in [NODE, NODE_CLIENTS] {
            let lock = parts.packages[1].1;
            let resolved: Vec<&str> = lock.lines().filter(|line| line.contains("\"resolved\":")).collect();
            assert!(!resolved.is_empty());
            for line in &resolved {
                assert!(line.contains("\"https://registry.npmjs.org/"), "{line}");
            }
            assert_eq!(resolved.len(), lock.matches("\"integrity\": \"sha512-").count());
        }
    }

    #[test]
    fn every_python_package_of_a_host_is_pinned_to_one_version() {
        for parts in [PYTHON, PYTHON_CLIENTS] {
            for requirement in parts.requirements.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                assert!(requirement.contains("=="), "{requirement} is not pinned");
            }
        }
    }
}
