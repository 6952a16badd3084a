//! Writes or checks the conformance vectors, and the classifier's table for policies in other languages.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use upright_conformance::{generate, rule_table};

use crate::workspace::Workspace;

const FOLDER: &str = "guest/conformance/vectors";

fn tables(workspace: &Workspace) -> Result<[(&'static str, String); 3]> {
    let page = fs::read_to_string(workspace.root.join(rule_table::PAGE)).with_context(|| format!("cannot read {}", rule_table::PAGE))?;
    Ok(rule_table::files(&page))
}

pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let count = generate::write(&workspace.root.join(FOLDER))?;
    println!("{FOLDER}: {count} vectors written");
    for (path, table) in tables(workspace)? {
        fs::write(workspace.root.join(path), table).with_context(|| format!("cannot write {path}"))?;
        println!("{path}: written");
    }
    Ok(())
}

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let count = generate::check(&workspace.root.join(FOLDER))?;
    println!("{FOLDER}: {count} vectors are what the sources give");
    for (path, table) in tables(workspace)? {
        let committed = fs::read_to_string(workspace.root.join(path)).with_context(|| format!("cannot read {path}"))?;
        ensure!(committed.lines().eq(table.lines()), "{path} is not what the classifier's rules give: run `cargo xtask vectors`");
        println!("{path}: is what the sources give");
    }
    Ok(())
}
