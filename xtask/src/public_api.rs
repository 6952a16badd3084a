//! Writes the library's public interface as text, so that a review sees each change to it.
//!
//! rustdoc's JSON is unstable, so `RUSTC_BOOTSTRAP` enables it. A toolchain with another version of the format skips
//! the comparison with a warning.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use public_api::Builder;

use crate::workspace::{Workspace, cargo, output};

const FILE: &str = "host/upright/public-api.txt";

pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let found = interface(workspace)?;
    fs::write(workspace.root.join(FILE), &found).with_context(|| format!("cannot write {FILE}"))?;
    println!("{FILE}: {} items written", found.lines().count());
    Ok(())
}

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let found = match interface(workspace) {
        Ok(found) => found,
        Err(error) if error.is::<public_api::Error>() => {
            crate::warn(&format!("the public interface was NOT compared: {error:#}"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let committed = fs::read_to_string(workspace.root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let missing = |these: &str, those: &str, sign: char| -> Vec<String> {
        let those: std::collections::BTreeSet<_> = those.lines().collect();
        these.lines().filter(|line| !those.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut difference = missing(&committed, &found, '-');
    difference.extend(missing(&found, &committed, '+'));
    let shown = difference.join("\n");
    ensure!(found == committed, "{FILE} is not the public interface; if the change is meant, run `cargo xtask public-api`:\n{shown}");
    println!("{FILE}: {} items are the public interface", found.lines().count());
    Ok(())
}

fn interface(workspace: &Workspace) -> Result<String> {
    let mut rustdoc = cargo();
    rustdoc
        .current_dir(&workspace.root)
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["rustdoc", "--quiet", "--locked", "--package", "upright", "--lib", "--all-features"])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"]);
    output(&mut rustdoc)?;
    let json = workspace.target.join("doc/upright.json");
    let api = Builder::from_rustdoc_json(json).omit_blanket_impls(true).omit_auto_trait_impls(true).build()?;
    Ok(api.items().fold(String::new(), |text, item| text + &item.to_string() + "\n"))
}
