//! `cargo xtask package`: packs the packages that are meant for crates.io, and builds each from its package alone.
//!
//! A file outside of a crate's folder is not in its package, so a build of the workspace does not notice that it is
//! needed. Cargo lets packages depend on each other only if they may be published, and `publish` is false: a copy of
//! the workspace is packed, in which it is true.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::packages::{PUBLISHED, Package};
use crate::workspace::{Workspace, cargo, has_sources, output};

/// Files that every package has.
const README: &str = "README.md";
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    for package in &PUBLISHED {
        let arguments = ["package", "--locked", "--allow-dirty", "--list", "--package", package.name];
        let files = output(cargo().current_dir(&workspace.root).args(arguments))?;
        must_be_complete(package, &files)?;
        must_be_licensed(workspace, package)?;
        println!("{}: {} files", package.name, files.lines().count());
    }
    build(workspace)
}

/// Fails unless Cargo's list of a package's files has all that every package needs, and nothing from outside.
fn must_be_complete(package: &Package, files: &str) -> Result<()> {
    let Package { name, folder, .. } = package;
    for wanted in [README].iter().chain(&LICENCES) {
        ensure!(files.lines().any(|file| file == *wanted), "the package {name} has no {wanted}; expected {folder}/{wanted}");
    }
    let outside = files.lines().find(|file| file.starts_with('/') || file.split(['/', '\\']).any(|part| part == ".."));
    ensure!(outside.is_none(), "the package {name} has {}, which is outside of {folder}", outside.unwrap_or_default());
    Ok(())
}

/// Fails unless its licences are those of the workspace. Git without symbolic links leaves a path in their place.
fn must_be_licensed(workspace: &Workspace, package: &Package) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    for licence in LICENCES {
        let own = workspace.root.join(package.folder).join(licence);
        ensure!(read(&own)? == read(&workspace.root.join(licence))?, "{} is not the workspace's {licence}", own.display());
    }
    Ok(())
}

/// Packs a copy of the workspace. Cargo builds each package against the other packages, with all features.
fn build(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("packages");
    let tree = folder.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    copy(&workspace.root, &tree, &workspace.target)?;
    allow_publishing(&tree.join("Cargo.toml"))?;
    let mut command = cargo();
    command.current_dir(&tree).args(["package", "--locked", "--allow-dirty", "--all-features", "--target-dir"]).arg(&folder);
    for package in &PUBLISHED {
        command.args(["--package", package.name]);
    }
    let status = command.status().context("cannot run `cargo package`")?;
    ensure!(status.success(), "`cargo package` failed: what it said is above");
    println!("{} packages build, in {}", PUBLISHED.len(), folder.join("package").display());
    Ok(())
}

fn allow_publishing(manifest: &Path) -> Result<()> {
    const NOT_YET: &str = "\npublish = false\n";
    let shown = manifest.display();
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {shown}"))?;
    ensure!(text.contains(NOT_YET), "{shown} has no line {:?}", NOT_YET.trim());
    fs::write(manifest, text.replacen(NOT_YET, "\npublish = true\n", 1)).with_context(|| format!("cannot write {shown}"))
}

/// Copies sources; a symbolic link becomes what it points to.
fn copy(from: &Path, to: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if !path.is_dir() {
            fs::copy(&path, to.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
        } else if path != target && has_sources(&name.to_string_lossy()) {
            copy(&path, &to.join(name), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const WHOLE: &str = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";

    #[test]
    fn a_package_without_readme_or_licence_is_refused_by_the_missing_file() {
        must_be_complete(&PUBLISHED[0], WHOLE).unwrap();
        for missing in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            let error = must_be_complete(&PUBLISHED[0], &WHOLE.replace(missing, "other")).unwrap_err().to_string();
            assert!(error.contains(missing) && error.contains("upright-logic"), "{error}");
        }
    }

    #[test]
    fn a_package_with_a_path_outside_of_its_folder_is_refused_by_that_path() {
        for outside in ["../wit/types.wit", "src/../../x", "/etc/x"] {
            let error = must_be_complete(&PUBLISHED[0], &format!("{WHOLE}{outside}\n")).unwrap_err().to_string();
            assert!(error.contains(outside), "{error}");
        }
    }
}
