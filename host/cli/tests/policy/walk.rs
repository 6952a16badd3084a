//! Runs every command of `docs/hot-swap-walk.md`, and compares its output with the page.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use upright_test_kit::folder::Folder;
use upright_test_kit::skipped;
use upright_test_kit::wait::until_blocking;

const WALK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hot-swap-walk.md");

struct Step {
    command: String,
    prints: Vec<String>,
}

fn steps() -> Vec<Step> {
    let text = std::fs::read_to_string(WALK).unwrap();
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for line in text.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, line) => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), prints: Vec::new() }),
                None => steps.last_mut().unwrap().prints.push(line.to_owned()),
            },
            _ => {}
        }
    }
    steps
}

/// `…` stands for anything.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    let parts: Vec<_> = pattern.split('…').collect();
    for (index, part) in parts.iter().enumerate() {
        let found = if index == 0 { rest.starts_with(part).then_some(0) } else { rest.find(part) };
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    pattern.ends_with('…') || rest.is_empty() || parts.len() == 1 && line.starts_with(pattern)
}

struct Shell<'a> {
    scratch: &'a Folder,
    path: String,
}

impl Shell<'_> {
    fn command(&self, text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]).current_dir(self.scratch).env("PATH", &self.path).stdin(Stdio::null());
        for variable in ["OLLAMA_HOST", "RUST_LOG", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, text: &str) -> String {
        let output = self.command(text).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

/// Killed on drop.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has_wasm_target() -> bool {
    let installed = Command::new("rustc").args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]).output();
    installed.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
}

#[test]
fn each_command_of_the_walkthrough_page_prints_what_the_page_shows() {
    if !has_wasm_target() {
        let why = "the target wasm32-unknown-unknown is not installed; run `rustup target add wasm32-unknown-unknown`";
        return skipped("each_command_of_the_walkthrough_page_prints_what_the_page_shows", why);
    }
    let scratch = Folder::below(Path::new(env!("CARGO_TARGET_TMPDIR")), "walk");
    let program = Path::new(env!("CARGO_BIN_EXE_upright")).parent().unwrap().display().to_string();
    let shell = Shell { scratch: &scratch, path: format!("{program}:{}", std::env::var("PATH").unwrap()) };
    let mut running = Vec::new();
    let steps = steps();
    assert!(steps.len() > 15, "the page has only {} commands", steps.len());
    for step in steps {
        if let Some(text) = step.command.strip_suffix('&') {
            // Replaces the shell, so that it can be killed.
            running.push(Program(shell.command(&format!("exec {text}")).spawn().unwrap()));
            until_blocking(&step.command, || scratch.path("home/requests").is_dir());
            continue;
        }
        // Some output depends on chats that must fail first.
        let began = Instant::now();
        loop {
            let printed = shell.run(&step.command);
            let missing: Vec<_> = step.prints.iter().filter(|pattern| !printed.lines().any(|line| is_like(line, pattern))).collect();
            let decided = !step.command.ends_with("shadow --home home") || !printed.contains("decisions  0,");
            if missing.is_empty() && decided {
                break;
            }
            let may_come = step.command.contains("history") || step.command.ends_with("shadow --home home");
            assert!(may_come && began.elapsed() < Duration::from_secs(120), "$ {}\n{printed}\nlacks {missing:?}", step.command);
            std::thread::yield_now();
        }
    }
    for mut program in running {
        let stopped = Command::new("kill").args(["-TERM", &program.0.id().to_string()]).status().unwrap();
        assert!(stopped.success() && program.0.wait().unwrap().success());
    }
    let lost = std::fs::read_to_string(scratch.path("demo.log")).unwrap();
    assert!(!lost.contains("  error  "), "a chat was lost: {lost}");
}
