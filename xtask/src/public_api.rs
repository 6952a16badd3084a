//! Writes the public interface of each library as text, so that a review sees every change to it.
//!
//! rustdoc describes the interface as JSON, which is not stable yet; `RUSTC_BOOTSTRAP` lets the installed toolchain
//! do it. The crate that reads it knows one version of the format: where the toolchain's differs, the snapshots are
//! not compared, and a warning says so.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use public_api::Builder;

use crate::packages::{PUBLISHED, Package};
use crate::workspace::{Workspace, cargo, output};

/// Name of a snapshot in its library's folder.
const FILE: &str = "public-api.txt";

/// The libraries that users of `upright` reach.
fn libraries() -> impl Iterator<Item = &'static Package> {
    PUBLISHED.iter().filter(|package| package.has_snapshot)
}

/// Writes the snapshots.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    for Package { name, folder, .. } in libraries() {
        let found = interface(workspace, name, false)?;
        let file = format!("{folder}/{FILE}");
        fs::write(workspace.root.join(&file), &found).with_context(|| format!("cannot write {file}"))?;
        println!("{file}: {} items written", found.lines().count());
    }
    Ok(())
}

/// Fails unless the committed snapshots are the interfaces, and shows the difference.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    for Package { name, folder, .. } in libraries() {
        let found = match interface(workspace, name, false) {
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

/// Prints the number of hand-written items that a user of `upright` can reach with default features: those of
/// `upright` itself, and all of the libraries that it re-exports. Derived implementations, and fields and variants of
/// a type, are not counted.
pub(crate) fn count(workspace: &Workspace) -> Result<()> {
    let mut total = 0;
    for Package { name, .. } in libraries() {
        let items = interface(workspace, name, true)?;
        let counted = items.lines().filter(|item| is_counted(item)).count();
        println!("{name}: {counted} hand-written items with default features");
        total += counted;
    }
    println!("{total} hand-written items in all");
    Ok(())
}

/// Whether a line of an interface is an item by itself.
fn is_counted(item: &str) -> bool {
    const KINDS: [&str; 12] =
        ["fn ", "const fn ", "async fn ", "struct ", "enum ", "trait ", "type ", "const ", "static ", "mod ", "use ", "macro "];
    let item = item.strip_prefix("pub ").unwrap_or(item);
    KINDS.iter().any(|kind| item.starts_with(kind))
}

fn interface(workspace: &Workspace, package: &str, reachable: bool) -> Result<String> {
    let mut rustdoc = cargo();
    rustdoc.current_dir(&workspace.root).env("RUSTC_BOOTSTRAP", "1").args([
        "rustdoc",
        "--quiet",
        "--locked",
        "--package",
        package,
        "--lib",
    ]);
    if !reachable {
        rustdoc.arg("--all-features");
    }
    rustdoc.args(["--", "-Z", "unstable-options", "--output-format", "json"]);
    output(&mut rustdoc)?;
    let json = workspace.target.join(format!("doc/{}.json", package.replace('-', "_")));
    let api =
        Builder::from_rustdoc_json(json).omit_blanket_impls(true).omit_auto_trait_impls(true).omit_auto_derived_impls(reachable).build()?;
    Ok(api.items().fold(String::new(), |text, item| text + &item.to_string() + "\n"))
}
