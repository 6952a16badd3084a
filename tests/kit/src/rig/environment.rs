//! Installs the rig's Python packages once under the cargo target folder; later starts need no network.

use super::RigError;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PYTHON_VARIABLE: &str = "UPRIGHT_RIG_PYTHON";
const REQUIREMENTS: &str = include_str!("../../rig/requirements.txt");

#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) python: PathBuf,
    pub(super) folder: PathBuf,
}

impl Environment {
    pub(super) fn prepare() -> Result<Self, RigError> {
        Self::prepare_in(target_folder().join("rig"), REQUIREMENTS)
    }

    pub(crate) fn prepare_in(folder: PathBuf, requirements: &str) -> Result<Self, RigError> {
        let base_python = std::env::var(PYTHON_VARIABLE).unwrap_or_else(|_| "python3".to_owned());
        let version = python_version(&base_python)?;
        let environment_folder = folder.join(format!("venv-{}", short_hash(&[requirements, &version])));
        made_once(&folder, &environment_folder, |staging| fill(&base_python, &folder, requirements, staging))?;
        Ok(Self { python: python_in(&environment_folder), folder })
    }
}

/// Makes `made` by `fill` unless it exists. Renames it when filled, so that it is always whole. Blocks while another
/// process works in `folder`.
pub(crate) fn made_once<E: From<RigError>>(folder: &Path, made: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    fs::create_dir_all(folder).map_err(|source| RigError::file("create", folder, source))?;
    let lock_file = folder.join("lock");
    let lock = File::create(&lock_file).map_err(|source| RigError::file("create", &lock_file, source))?;
    // The kernel releases a killed process's lock.
    lock.lock().map_err(|source| RigError::file("lock", &lock_file, source))?;
    if made.exists() {
        return Ok(());
    }
    // The id avoids a folder that the pip of a killed process still writes to.
    let staging = folder.join(format!("partial-{}", std::process::id()));
    // Removes leftovers of killed processes, safely under the lock.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("partial-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let filled = fill(&staging).and_then(|()| Ok(fs::rename(&staging, made).map_err(|source| RigError::file("rename", &staging, source))?));
    if filled.is_err() {
        let _ = fs::remove_dir_all(&staging);
    }
    filled
}

fn fill(base_python: &str, folder: &Path, requirements: &str, staging: &Path) -> Result<(), RigError> {
    let venv = [OsStr::new("-m"), OsStr::new("venv"), staging.as_os_str()];
    run(Command::new(base_python).args(venv)).map_err(|detail| RigError::Venv { detail })?;

    let list = folder.join("requirements.txt");
    fs::write(&list, requirements).map_err(|source| RigError::file("write", &list, source))?;
    // `--only-binary`: without a wheel, fail at once rather than compile llama.cpp for half an hour.
    let pip = "-m pip install --quiet --no-input --disable-pip-version-check --retries 2 --no-deps --only-binary :all: --requirement";
    run(Command::new(python_in(staging)).args(pip.split(' ')).arg(&list)).map_err(|detail| RigError::Install { detail })
}

fn python_version(python: &str) -> Result<String, RigError> {
    let output = Command::new(python)
        .args(["-c", "import sys; print(sys.version)"])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| RigError::NoPython { python: python.to_owned(), detail: source.to_string() })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(RigError::NoPython { python: python.to_owned(), detail: last_lines(&output.stderr) })
    }
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| source.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    // `venv` complains on standard output.
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    Err(format!("{}: {}", output.status, last_lines(said)))
}

pub(crate) fn last_lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let says_something = |line: &&str| !line.is_empty() && !line.starts_with("WARNING:");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(says_something).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

pub(crate) fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn python_in(environment_folder: &Path) -> PathBuf {
    environment_folder.join("bin").join("python")
}

/// `CARGO_TARGET_DIR`, else `target` beside the workspace's `Cargo.lock`.
pub(crate) fn target_folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap_or(package);
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace.join(folder),
        None => workspace.join("target"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn other_requirements_or_another_python_get_an_environment_of_their_own() {
        assert_eq!(short_hash(&["a==1", "3.11"]), short_hash(&["a==1", "3.11"]));
        assert_ne!(short_hash(&["a==1", "3.11"]), short_hash(&["a==2", "3.11"]));
        assert_ne!(short_hash(&["a==1", "3.11"]), short_hash(&["a==1", "3.12"]));
    }

    #[test]
    fn a_python_that_is_not_there_is_named() {
        let error = python_version("no-such-python").expect_err("there is none");
        assert!(matches!(&error, RigError::NoPython { python, .. } if python == "no-such-python"), "{error}");
        assert!(error.is_unavailability());
    }

    #[test]
    fn every_requirement_is_pinned_to_one_version() {
        let requirements = REQUIREMENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for requirement in requirements {
            assert!(requirement.contains("=="), "{requirement} is not pinned");
        }
    }

    #[test]
    fn a_failure_is_reported_by_its_last_lines() {
        assert_eq!(last_lines(b"one\ntwo\n\n three\nfour\n"), "two; three; four");
        assert_eq!(last_lines(b"WARNING: retrying\nERROR: no such version\n"), "ERROR: no such version");
        assert_eq!(last_lines(b""), "");
    }
}
