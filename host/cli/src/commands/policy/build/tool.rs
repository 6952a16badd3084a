//! The external build tools. A missing one is reported with the command that installs it.

use crate::exit::{Exit, Failure};
use crate::output::complain;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-unknown-unknown";

/// The version that the templates were tested with.
const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";

struct Tool {
    name: &'static str,
    install: &'static str,
}

const CARGO: Tool = Tool { name: "cargo", install: "install Rust from https://rustup.rs" };
const COMPONENTIZE_PY: Tool = Tool { name: "componentize-py", install: "run `pip install componentize-py`" };
const NPX: Tool = Tool { name: "npx", install: "install Node.js 20 or later, which brings npx" };

fn failed(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, what)
}

impl Tool {
    /// Announces and runs the tool; returns its captured output.
    fn run<S: AsRef<OsStr>>(&self, dir: &Path, arguments: &[S], stdout: Stdio) -> Result<Vec<u8>, Failure> {
        let shown: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect();
        complain(format_args!("in {}: {} {}", dir.display(), self.name, shown.join(" ")));
        let mut command = Command::new(self.name);
        command.args(arguments).current_dir(dir).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::inherit());
        let run = command.output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => failed(format!("{} is not installed: {}", self.name, self.install)),
            _ => failed(format!("{} cannot be run: {error}", self.name)),
        })?;
        if run.status.success() { Ok(run.stdout) } else { Err(failed(format!("{} ended with {}", self.name, run.status))) }
    }
}

pub(super) fn cargo(dir: &Path) -> Result<PathBuf, Failure> {
    must_have_target(dir)?;
    let arguments = ["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"];
    let messages = CARGO.run(dir, &arguments, Stdio::piped())?;
    let messages = String::from_utf8_lossy(&messages);
    messages
        .lines()
        .filter_map(module)
        .next_back()
        .ok_or_else(|| failed(format!("{} built no WebAssembly; expected `crate-type = [\"cdylib\"]` in its Cargo.toml", dir.display())))
}

fn module(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(Value::as_str).map(PathBuf::from).find(|file| file.extension().is_some_and(|ending| ending == "wasm"))
}

/// Otherwise cargo reports the missing target once per crate.
fn must_have_target(dir: &Path) -> Result<(), Failure> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(dir).stdin(Stdio::null());
    // Cargo reports a missing toolchain.
    let Ok(run) = rustc.output() else { return Ok(()) };
    let folder = String::from_utf8_lossy(&run.stdout).trim().to_owned();
    let is_core = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
    let there = std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(is_core));
    if there { Ok(()) } else { Err(failed(format!("the target {TARGET} is not installed: run `rustup target add {TARGET}`"))) }
}

pub(super) fn componentize_py(dir: &Path, component: &str) -> Result<(), Failure> {
    let arguments = ["--wit-path", "wit", "--world", "policy", "componentize", "my_policy", "--output", component];
    COMPONENTIZE_PY.run(dir, &arguments, Stdio::null()).map(drop)
}

pub(super) fn componentize_js(dir: &Path, component: &str) -> Result<(), Failure> {
    let arguments = [
        "--yes",
        COMPONENTIZE_JS,
        "policy.js",
        "--wit",
        "wit",
        "--world-name",
        "policy",
        "--disable",
        "http",
        "fetch-event",
        "--out",
        component,
    ];
    NPX.run(dir, &arguments, Stdio::null()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_a_missing_tool_says_how_to_install_it() {
        let tool = Tool { name: "upright-has-no-such-tool", install: "run `true`" };
        let failure = tool.run(Path::new("."), &["x"], Stdio::null()).unwrap_err();
        assert_eq!(failure, failed("upright-has-no-such-tool is not installed: run `true`"));
    }

    #[test]
    fn the_module_is_found_among_what_cargo_built() {
        assert_eq!(module(r#"{"reason":"compiler-artifact","filenames":["a/b.rlib","a/b.wasm"]}"#), Some(PathBuf::from("a/b.wasm")));
        for other in [r#"{"reason":"compiler-artifact","filenames":["a/b.rlib"]}"#, r#"{"reason":"build-finished"}"#, "no JSON"] {
            assert_eq!(module(other), None);
        }
    }
}
