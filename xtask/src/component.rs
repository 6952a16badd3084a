//! `cargo xtask component`: makes the component that is committed, or proves that the committed one is fresh.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use thiserror::Error;

use crate::inspect::{self, COMPILER_SECTION};
use crate::sources::{self, COMPONENT};
use crate::warn;
use crate::workspace::{self, BuildFlags, Workspace};

/// What a component without imports is built for; `wasm32-wasip2` would bring WASI in.
const TARGET: &str = "wasm32-unknown-unknown";

/// Why the committed component does not belong to the sources beside it.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Stale {
    /// There is none.
    #[error("{COMPONENT} is missing: run `cargo xtask component`")]
    Missing,
    /// It does not say what it was made from.
    #[error("{COMPONENT} does not say what it was made from: run `cargo xtask component`")]
    Unlabelled,
    /// Made from other sources.
    #[error("{COMPONENT} is stale, its sources have changed: run `cargo xtask component`")]
    OtherSources,
    /// Made from these sources, by its label, but a new build gives other bytes.
    #[error("{COMPONENT} is not what its sources give ({committed} bytes, rebuilt {rebuilt}): run `cargo xtask component`")]
    OtherBytes {
        /// The committed component's size in bytes.
        committed: usize,
        /// The new build's size in bytes.
        rebuilt: usize,
    },
}

/// Builds the component and writes it where it is committed.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    if let Err(why) = workspace::ensure_target(TARGET)? {
        bail!("cannot build the component, {why}; the committed {COMPONENT} serves as it is");
    }
    let digest = sources::digest(&workspace.root).context("cannot read the component's sources")?;
    let component = build(workspace, &digest)?;
    let path = workspace.root.join(COMPONENT);
    let changed = fs::read(&path).ok().as_deref() != Some(&component);
    if changed {
        replace(&path, &component).with_context(|| format!("cannot write {COMPONENT}"))?;
    }
    let state = if changed { "written" } else { "unchanged" };
    println!("{COMPONENT}: {state}, {} bytes, sources {digest}", component.len());
    Ok(())
}

/// Fails unless the committed component is fresh.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let committed = match fs::read(workspace.root.join(COMPONENT)) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(Stale::Missing),
        read => read.with_context(|| format!("cannot read {COMPONENT}"))?,
    };
    let digest = sources::digest(&workspace.root).context("cannot read the component's sources")?;
    labelled_with(&committed, &digest)?;

    if let Err(why) = workspace::ensure_target(TARGET)? {
        warn(&format!("{COMPONENT} was NOT rebuilt and compared, {why}; only the digest of its sources was"));
        println!("{COMPONENT}: fresh by its label, {} bytes, sources {digest}", committed.len());
        return Ok(());
    }
    let rebuilt = build(workspace, &digest)?;
    let maker = |component| sources::custom_section(component, COMPILER_SECTION).map(String::from_utf8_lossy);
    let (then, now) = (maker(&committed), maker(&rebuilt));
    if committed == rebuilt {
        println!("{COMPONENT}: fresh, rebuilt to the same {} bytes, sources {digest}", committed.len());
    } else if then == now {
        bail!(Stale::OtherBytes { committed: committed.len(), rebuilt: rebuilt.len() });
    } else {
        let (then, now) = (then.unwrap_or_default(), now.unwrap_or_default());
        warn(&format!("{COMPONENT} was built by {then}; {now} gives other bytes, so the bytes were NOT compared"));
        println!("{COMPONENT}: fresh by its label, {} bytes, sources {digest}", committed.len());
    }
    Ok(())
}

/// Whether a component's label names these sources.
pub(crate) fn labelled_with(component: &[u8], digest: &str) -> Result<(), Stale> {
    match sources::recorded(component) {
        None => Err(Stale::Unlabelled),
        Some(recorded) if recorded != digest => Err(Stale::OtherSources),
        Some(_) => Ok(()),
    }
}

fn build(workspace: &Workspace, digest: &str) -> Result<Vec<u8>> {
    let arguments = ["build", "--package", "upright-policy", "--lib", "--profile", "guest", "--target", TARGET];
    let artefacts = workspace.build(&arguments, BuildFlags::Reproducible)?;
    let module = wasm_file(artefacts.iter().filter(|artefact| artefact.name == "upright_policy").flat_map(|it| &it.files))
        .context("upright-policy gave no .wasm file: its library needs `crate-type = [\"cdylib\"]`")?;
    let core = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = inspect::finish(&core, digest, &workspace::compiler()?)?;
    inspect::must_not_name(&component, &workspace.machine_folders()?)?;
    Ok(component)
}

/// The WebAssembly file among those that a build wrote.
pub(crate) fn wasm_file<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Option<&'a PathBuf> {
    files.into_iter().find(|file| file.extension().is_some_and(|ending| ending == "wasm"))
}

/// Writes beside the file and renames, so that a build running meanwhile never includes half of it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("wasm.unfinished");
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, path)
}
