//! The conformance vectors: what each function of the contract answers, as data.

use anyhow::Result;
use upright_conformance::generate;

use crate::workspace::Workspace;

/// Where the vectors are committed, from the root of the workspace.
const FOLDER: &str = "tests/conformance/vectors";

/// Makes the vectors and writes them.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let count = generate::write(&workspace.root.join(FOLDER))?;
    println!("{FOLDER}: {count} vectors written");
    Ok(())
}

/// Fails unless the committed vectors are what the sources give.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let count = generate::check(&workspace.root.join(FOLDER))?;
    println!("{FOLDER}: {count} vectors are what the sources give");
    Ok(())
}
