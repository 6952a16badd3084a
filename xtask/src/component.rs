//! `cargo xtask component`: builds the committed components, or checks that they are fresh.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use thiserror::Error;

use crate::inspect::{self, COMPILER_SECTION};
use crate::sources::{self, COMPONENTS, Committed};
use crate::warn;
use crate::workspace::{self, BuildFlags, Workspace};

/// Target of a component without imports; `wasm32-wasip2` would bring WASI in.
const TARGET: &str = "wasm32-unknown-unknown";

/// A committed component does not match its sources. The first field is its path.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Stale {
    #[error("{0} is missing: run `cargo xtask component`")]
    Missing(&'static str),
    #[error("{0} does not say what it was made from: run `cargo xtask component`")]
    Unlabelled(&'static str),
    #[error("{0} is stale, its sources have changed: run `cargo xtask component`")]
    OtherSources(&'static str),
    #[error("{path} is not what its sources give ({committed} bytes, rebuilt {rebuilt}): run `cargo xtask component`")]
    OtherBytes { path: &'static str, committed: usize, rebuilt: usize },
}

pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    if let Err(why) = workspace::ensure_target(TARGET)? {
        bail!("cannot build the components, {why}; the committed ones serve as they are");
    }
    COMPONENTS.iter().try_for_each(|component| write_one(workspace, component))
}

fn write_one(workspace: &Workspace, component: &Committed) -> Result<()> {
    let digest = digest(workspace, component)?;
    let bytes = build(workspace, component, &digest)?;
    let path = workspace.root.join(component.path);
    let changed = fs::read(&path).ok().as_deref() != Some(&bytes);
    if changed {
        replace(&path, &bytes).with_context(|| format!("cannot write {}", component.path))?;
    }
    let state = if changed { "written" } else { "unchanged" };
    println!("{}: {state}, {} bytes, sources {digest}", component.path, bytes.len());
    Ok(())
}

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    // Digests first: they are fast, and say more than a failed build.
    let read = COMPONENTS.iter().map(|component| labelled_as_its_sources(workspace, component)).collect::<Result<Vec<_>>>()?;
    let target = workspace::ensure_target(TARGET)?;
    for (component, (committed, digest)) in COMPONENTS.iter().zip(read) {
        match &target {
            Ok(()) => check_bytes(workspace, component, &committed, &digest)?,
            Err(why) => {
                warn(&format!("{} was NOT rebuilt and compared, {why}; only the digest of its sources was", component.path));
                println!("{}: fresh by its label, {} bytes, sources {digest}", component.path, committed.len());
            }
        }
    }
    Ok(())
}

fn labelled_as_its_sources(workspace: &Workspace, component: &Committed) -> Result<(Vec<u8>, String)> {
    let committed = match fs::read(workspace.root.join(component.path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(Stale::Missing(component.path)),
        read => read.with_context(|| format!("cannot read {}", component.path))?,
    };
    let digest = digest(workspace, component)?;
    labelled_with(component.path, &committed, &digest)?;
    Ok((committed, digest))
}

/// Fails unless a new build gives the committed bytes. Skipped for another compiler's build.
fn check_bytes(workspace: &Workspace, component: &Committed, committed: &[u8], digest: &str) -> Result<()> {
    let (path, size) = (component.path, committed.len());
    let rebuilt = build(workspace, component, digest)?;
    let maker = |bytes| sources::custom_section(bytes, COMPILER_SECTION).map(String::from_utf8_lossy);
    let (then, now) = (maker(committed), maker(&rebuilt));
    if committed == rebuilt {
        println!("{path}: fresh, rebuilt to the same {size} bytes, sources {digest}");
    } else if then == now {
        bail!(Stale::OtherBytes { path, committed: size, rebuilt: rebuilt.len() });
    } else {
        let (then, now) = (then.unwrap_or_default(), now.unwrap_or_default());
        warn(&format!("{path} was built by {then}; {now} gives other bytes, so the bytes were NOT compared"));
        println!("{path}: fresh by its label, {size} bytes, sources {digest}");
    }
    Ok(())
}

pub(crate) fn labelled_with(path: &'static str, component: &[u8], digest: &str) -> Result<(), Stale> {
    match sources::recorded(component) {
        None => Err(Stale::Unlabelled(path)),
        Some(recorded) if recorded != digest => Err(Stale::OtherSources(path)),
        Some(_) => Ok(()),
    }
}

fn digest(workspace: &Workspace, component: &Committed) -> Result<String> {
    sources::digest(&workspace.root, component).with_context(|| format!("cannot read the sources of {}", component.path))
}

fn build(workspace: &Workspace, component: &Committed, digest: &str) -> Result<Vec<u8>> {
    let core = build_for(TARGET, workspace, component, BuildFlags::Reproducible)?;
    let bytes = inspect::finish(&core, digest, &workspace::compiler()?)?;
    inspect::must_not_name(&bytes, &workspace.machine_folders()?)?;
    Ok(bytes)
}

pub(crate) fn build_for(target: &str, workspace: &Workspace, component: &Committed, flags: BuildFlags) -> Result<Vec<u8>> {
    let package = component.package;
    // Some packages also give a test library, which would prevent optimisation across crates.
    let arguments = ["rustc", "--package", package, "--lib", "--crate-type", "cdylib", "--profile", "guest", "--target", target];
    let artefacts = workspace.build(&arguments, flags)?;
    let library = package.replace('-', "_");
    let path = wasm_file(artefacts.iter().filter(|artefact| artefact.name == library).flat_map(|it| &it.files))
        .with_context(|| format!("{package} gave no .wasm file for {target}: its library needs `crate-type = [\"cdylib\"]`"))?;
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn wasm_file<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Option<&'a PathBuf> {
    files.into_iter().find(|file| file.extension().is_some_and(|ending| ending == "wasm"))
}

/// Renames a finished file, so that no concurrent build includes half of it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("wasm.unfinished");
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, path)
}
