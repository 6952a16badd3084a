//! Finds the workspace and runs its tools from one of its own programs.
//!
//! Builds use the target folder `target/guest`: Cargo locks its target folder, so a build within a build would
//! wait.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

const FLAG_SEPARATOR: &str = "\u{1f}";

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    guest_target: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Artefact {
    pub(crate) name: String,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) test_program: Option<PathBuf>,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let text = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&text).context("`cargo metadata` did not answer in JSON")?;
        let folder = |key: &str| match metadata[key].as_str() {
            Some(path) => Ok(PathBuf::from(path)),
            None => bail!("`cargo metadata` does not tell `{key}`"),
        };
        let target = folder("target_directory")?;
        Ok(Self { root: folder("workspace_root")?, guest_target: target.join("guest"), target })
    }

    /// Builds with these Cargo arguments. Compiler messages go to stderr.
    pub(crate) fn build(&self, arguments: &[&str], flags: BuildFlags) -> Result<Vec<Artefact>> {
        let mut command = cargo();
        command
            .current_dir(&self.root)
            .args(arguments)
            .args(["--locked", "--message-format=json-render-diagnostics", "--target-dir"])
            .arg(&self.guest_target)
            .stderr(Stdio::inherit());
        if flags == BuildFlags::Reproducible {
            command.env("CARGO_ENCODED_RUSTFLAGS", self.remappings()?.join(FLAG_SEPARATOR));
            command.env("CARGO_INCREMENTAL", "0");
            // Settings of this shell must not affect the result.
            for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PROFILE_")) {
                command.env_remove(name);
            }
        }
        let run = command.output().with_context(|| format!("cannot run {}", shown(&command)))?;
        ensure!(run.status.success(), "`cargo {}` failed: what it said is above", arguments.join(" "));
        Ok(String::from_utf8_lossy(&run.stdout).lines().filter_map(artefact).collect())
    }

    pub(crate) fn machine_folders(&self) -> Result<Vec<PathBuf>> {
        Ok(vec![self.root.clone(), cargo_home()?, sysroot()?])
    }

    /// Flags that map machine paths to fixed names. The last match counts.
    fn remappings(&self) -> Result<Vec<String>> {
        let (cargo_home, sysroot) = (cargo_home()?, sysroot()?);
        let mut pairs = vec![
            (sysroot.clone(), "/sysroot".to_owned()),
            (cargo_home.clone(), "/cargo".to_owned()),
            (self.root.clone(), "/upright".to_owned()),
        ];
        // Named for the registry's address and Cargo's hash of it.
        let registries = cargo_home.join("registry").join("src");
        if let Ok(entries) = fs::read_dir(&registries) {
            pairs.extend(entries.flatten().map(|entry| (entry.path(), "/registry".to_owned())));
        }
        // With `rust-src` installed the compiler names its files; otherwise by this name.
        if let Some(commit) = compiler_fact("commit-hash")? {
            pairs.push((sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{commit}")));
        }
        Ok(pairs.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuildFlags {
    Usual,
    /// Only our own: equal bytes on every machine with this compiler.
    Reproducible,
}

/// Ensures that the standard library for `target` is installed, adding it with `rustup` if needed. The inner error
/// gives the reason why it is unavailable.
pub(crate) fn ensure_target(target: &str) -> Result<Result<(), String>> {
    if has_target(target)? {
        return Ok(Ok(()));
    }
    eprintln!("the target {target} is not installed: trying `rustup target add {target}`");
    let added = match Command::new("rustup").args(["target", "add", target]).output() {
        Ok(run) if run.status.success() => Ok(()),
        Ok(run) => {
            let said = String::from_utf8_lossy(&run.stderr).into_owned();
            Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it did not say why").trim().to_owned())
        }
        Err(error) => Err(error.to_string()),
    };
    Ok(match (added, has_target(target)?) {
        (_, true) => Ok(()),
        (Ok(()), false) => Err(format!("`rustup target add {target}` gave it to another toolchain than the one in use")),
        (Err(why), false) => Err(format!("`rustup target add {target}` failed: {why}")),
    })
}

/// Whether a folder of this name may hold sources: it is not hidden, and no tool writes it.
pub(crate) fn has_sources(folder: &str) -> bool {
    !folder.starts_with('.') && !["target", "node_modules", "__pycache__"].contains(&folder)
}

/// The compiler in use, in one line: `rustc 1.95.0 (…)`.
pub(crate) fn compiler() -> Result<String> {
    Ok(output(rustc().arg("--version"))?.trim().to_owned())
}

fn has_target(target: &str) -> Result<bool> {
    // Printed for a target that is not installed, too. An unknown target is an error.
    let folder = output(rustc().args(["--print", "target-libdir", "--target", target]))?;
    Ok(fs::read_dir(folder.trim())
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))))
}

fn sysroot() -> Result<PathBuf> {
    Ok(PathBuf::from(output(rustc().args(["--print", "sysroot"]))?.trim()))
}

fn compiler_fact(key: &str) -> Result<Option<String>> {
    let text = output(rustc().arg("-vV"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    Ok(value.filter(|value| *value != "unknown").map(str::to_owned))
}

fn cargo_home() -> Result<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .context("there is no home folder: set CARGO_HOME")
}

pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

pub(crate) fn output(command: &mut Command) -> Result<String> {
    let run = command.output().with_context(|| format!("cannot run {}", shown(command)))?;
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    ensure!(run.status.success(), "{} failed: {}", shown(command), said.trim().lines().last().unwrap_or_default());
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    format!("`{program} {}`", arguments.join(" "))
}

fn artefact(line: &str) -> Option<Artefact> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let is_test = message["profile"]["test"] == true;
    Some(Artefact {
        name: message["target"]["name"].as_str()?.to_owned(),
        files: message["filenames"].as_array()?.iter().filter_map(|file| file.as_str().map(PathBuf::from)).collect(),
        test_program: message["executable"].as_str().filter(|_| is_test).map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_program_is_a_test_only_if_it_was_built_as_one() {
        let line = |test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"upright_logic"}},"profile":{{"test":{test}}},
                "filenames":["a/b.wasm"],"executable":"a/b.wasm"}}"#
            )
        };
        assert_eq!(artefact(&line(true)).unwrap().test_program, Some(PathBuf::from("a/b.wasm")));
        assert_eq!(artefact(&line(false)).unwrap().test_program, None);
    }

    #[test]
    fn lines_that_are_no_message_are_passed_over() {
        assert!(artefact("   Compiling upright-logic").is_none());
        assert!(artefact(r#"{"reason":"build-finished","success":true}"#).is_none());
    }
}
