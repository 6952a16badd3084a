//! A folder in which `upright exec` runs scripts that leave traces.

use crate::common::command;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use upright_test_kit::command::{Ran, finish};
use upright_test_kit::folder::Folder;
use upright_test_kit::wait::until;

pub(crate) struct Scratch(Folder);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(Folder::below(Path::new(env!("CARGO_TARGET_TMPDIR")), "exec"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.0.write(name, content);
    }

    /// 0 for a missing file.
    pub(crate) fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }

    pub(crate) fn runs(&self) -> usize {
        self.lines("runs")
    }

    pub(crate) fn number(&self, name: &str) -> u32 {
        self.find_number(name).unwrap()
    }

    /// `None` while it is being written.
    pub(crate) fn find_number(&self, name: &str) -> Option<u32> {
        fs::read_to_string(self.path(name)).ok()?.strip_suffix('\n')?.parse().ok()
    }

    /// Without delays, unless the flags set some.
    pub(crate) fn command(&self, flags: &[&str], words: &[&str]) -> Command {
        let at_once: &[&str] = if flags.contains(&"--base-delay") { &["exec"] } else { &["exec", "--base-delay", "0"] };
        self.place(command(None, &[at_once, flags, words].concat()))
    }

    pub(crate) fn sh(&self, flags: &[&str], script: &str) -> Command {
        self.command(flags, &["--", "sh", "-c", script])
    }

    pub(crate) async fn exec(&self, flags: &[&str], script: &str) -> Ran {
        finish(self.sh(flags, script), "").await
    }

    pub(crate) fn place(&self, mut command: Command) -> Command {
        command.current_dir(&self.0).env("UPRIGHT_STATE", self.path("state"));
        command
    }

    pub(crate) async fn wait_for_lines(&self, name: &str, lines: usize) {
        until(&format!("{name} has {lines} lines"), async || self.lines(name) >= lines).await;
    }
}
