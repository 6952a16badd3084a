//! Writes the public interface of each library as text, so that a review sees every change to it.
//!
//! rustdoc describes the interface as JSON, which is not stable yet; `RUSTC_BOOTSTRAP` lets the installed toolchain
//! do it. Only rustdoc sees the variable: build scripts that ask for it would be built a second time. The crate that
//! reads the JSON knows one version of the format: where the toolchain's differs, the snapshots are not compared, and a
//! warning says so.

use std::env;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use public_api::Builder;
use serde_json::Value;

use crate::packages::{PUBLISHED, Package};
use crate::reach::Reach;
use crate::workspace::{Workspace, cargo, output};

/// Crates of the facade's interface that have no snapshot of their own.
const OTHERS: [&str; 2] = ["upright-logic", "upright-macros"];

/// Name of a snapshot in its library's folder.
const FILE: &str = "public-api.txt";

/// Maximum number of items that a user of `upright` can reach with default features.
const MOST: usize = 700;

/// Set while this program stands in for rustdoc.
const STAND_IN: &str = "UPRIGHT_XTASK_RUSTDOC";

/// The libraries with a snapshot.
fn libraries() -> impl Iterator<Item = &'static Package> {
    PUBLISHED.iter().filter(|package| package.has_snapshot)
}

/// Writes the snapshots.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    describe(Features::All)?;
    for Package { name, folder, .. } in libraries() {
        let found = interface(workspace, name)?;
        let file = format!("{folder}/{FILE}");
        fs::write(workspace.root.join(&file), &found).with_context(|| format!("cannot write {file}"))?;
        println!("{file}: {} items written", found.lines().count());
    }
    Ok(())
}

/// Fails unless the committed snapshots are the interfaces, and shows the difference.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    describe(Features::All)?;
    for Package { name, folder, .. } in libraries() {
        let found = match interface(workspace, name) {
            Ok(found) => found,
            Err(error) if error.is::<public_api::Error>() => {
                crate::warn(&format!("the public interface was NOT compared: {error:#}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let file = format!("{folder}/{FILE}");
        let committed = fs::read_to_string(workspace.root.join(&file)).with_context(|| format!("cannot read {file}"))?;
        let missing = |these: &str, those: &str, sign: char| -> Vec<String> {
            let those: std::collections::BTreeSet<_> = those.lines().collect();
            these.lines().filter(|line| !those.contains(line)).map(|line| format!("{sign} {line}")).collect()
        };
        let mut difference = missing(&committed, &found, '-');
        difference.extend(missing(&found, &committed, '+'));
        let shown = difference.join("\n");
        ensure!(found == committed, "{file} is not the public interface; if the change is meant, run `cargo xtask public-api`:\n{shown}");
        println!("{file}: {} items are the public interface", found.lines().count());
    }
    Ok(())
}

/// Prints the number of items that a user of `upright` can reach with default features, and fails above the limit.
pub(crate) fn count(workspace: &Workspace) -> Result<()> {
    describe(Features::Default)?;
    let documented = libraries().map(|package| package.name).chain(OTHERS).map(|package| {
        let json = fs::read(json(workspace, package)).with_context(|| format!("rustdoc described no {package}"))?;
        Ok((package.replace('-', "_"), serde_json::from_slice::<Value>(&json)?))
    });
    let counts = Reach::of(documented.collect::<Result<Vec<_>>>()?).count("upright");
    let mut groups: Vec<_> = counts.iter().collect();
    groups.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
    for (name, count) in groups {
        println!("{count:5}  {name}");
    }
    let total: usize = counts.values().sum();
    println!("{total:5}  items in all; at most {MOST}");
    ensure!(total <= MOST, "a user of `upright` can reach {total} items; at most {MOST} are allowed: hide or remove some");
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Features {
    All,
    Default,
}

/// Lets rustdoc describe the libraries in JSON, with one build for all.
fn describe(features: Features) -> Result<()> {
    let mut rustdoc = cargo();
    rustdoc.args(["doc", "--quiet", "--locked", "--no-deps", "--lib"]);
    for package in libraries().map(|package| package.name).chain(OTHERS) {
        rustdoc.args(["--package", package]);
    }
    if features == Features::All {
        rustdoc.arg("--all-features");
    }
    let own = env::current_exe().context("this program does not know its own path")?;
    rustdoc.env("RUSTDOC", own).env(STAND_IN, "1").env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    output(&mut rustdoc)?;
    Ok(())
}

/// Runs rustdoc in this program's place, if Cargo called it as such.
pub(crate) fn stand_in() -> Option<ExitCode> {
    env::var_os(STAND_IN)?;
    let mut rustdoc = Command::new("rustdoc");
    let ran = rustdoc.args(env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1").env_remove(STAND_IN).status();
    Some(ran.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn json(workspace: &Workspace, package: &str) -> std::path::PathBuf {
    workspace.target.join(format!("doc/{}.json", package.replace('-', "_")))
}

fn interface(workspace: &Workspace, package: &str) -> Result<String> {
    let api = Builder::from_rustdoc_json(json(workspace, package)).omit_blanket_impls(true).omit_auto_trait_impls(true).build()?;
    Ok(api.items().fold(String::new(), |text, item| text + &item.to_string() + "\n"))
}
