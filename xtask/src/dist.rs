//! `cargo xtask dist`: makes the archive of the command for a target, below `target/dist`.
//!
//! An archive's bytes follow from its files and one time: entries are sorted, and belong to root. Windows unpacks it,
//! too: `tar` is part of Windows 10 and later.

use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::workspace::{self, BuildFlags, Workspace, cargo, output};

/// One version for the whole workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Files of every archive: name, path from the workspace root.
const FILES: [(&str, &str); 4] = [
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("README.md", "host/cli/README.md"),
    ("policy.wasm", "host/runtime/policy.wasm"),
];

/// Completions of archives for Unix: shell, file.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "upright.bash"), ("fish", "upright.fish"), ("zsh", "_upright")];

const PLAIN: u32 = 0o644;
const EXECUTABLE: u32 = 0o755;

#[derive(Debug)]
struct Entry {
    path: String,
    mode: u32,
    bytes: Vec<u8>,
}

impl Entry {
    fn plain(path: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), mode: PLAIN, bytes }
    }
}

pub(crate) fn write(workspace: &Workspace, target: &str) -> Result<()> {
    if let Err(why) = workspace::ensure_target(target)? {
        bail!("cannot build for {target}, {why}; name another target: cargo xtask dist --target TRIPLE");
    }
    let mut entries = vec![program(workspace, target)?];
    for (name, path) in FILES {
        entries.push(Entry::plain(name, fs::read(workspace.root.join(path)).with_context(|| format!("cannot read {path}"))?));
    }
    let name = format!("upright-{VERSION}-{target}");
    // No shell of Windows reads them.
    if !target.contains("windows") {
        entries.extend(documents(workspace)?);
    }
    let (file, bytes) = (format!("{name}.tar.gz"), tar_gz(&name, entries, time(workspace)?)?);
    let folder = workspace.target.join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(&file);
    fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}: {} bytes", path.display(), bytes.len());
    write_sums(workspace)
}

/// Builds the command, without paths of this machine.
fn program(workspace: &Workspace, target: &str) -> Result<Entry> {
    let arguments = ["build", "--package", "upright-cli", "--bin", "upright", "--profile", "dist", "--target", target];
    let artefacts = workspace.build(&arguments, BuildFlags::Reproducible)?;
    let name = if target.contains("windows") { "upright.exe" } else { "upright" };
    let mut files = artefacts.iter().flat_map(|artefact| &artefact.files);
    let path =
        files.find(|file| file.file_name().is_some_and(|found| found == name)).with_context(|| format!("upright-cli gave no {name}"))?;
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Entry { path: name.to_owned(), mode: EXECUTABLE, bytes })
}

/// Completions and manual pages, written by the command of this machine: another target's may not run here.
fn documents(workspace: &Workspace) -> Result<Vec<Entry>> {
    let ask = |arguments: &[&str]| {
        let run = ["run", "--quiet", "--locked", "--package", "upright-cli", "--"];
        output(cargo().current_dir(&workspace.root).args(run).args(arguments))
    };
    let mut entries = Vec::new();
    for (shell, file) in COMPLETIONS {
        entries.push(Entry::plain(format!("completions/{file}"), ask(&["completions", shell])?.into_bytes()));
    }
    let folder = workspace.target.join("dist").join("man");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    ask(&["man", &folder.to_string_lossy()])?;
    for page in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let page = page?;
        entries.push(Entry::plain(format!("man/{}", page.file_name().to_string_lossy()), fs::read(page.path())?));
    }
    Ok(entries)
}

/// Seconds since 1970: `SOURCE_DATE_EPOCH`, else the date of the last commit.
fn time(workspace: &Workspace) -> Result<u64> {
    let text = match env::var("SOURCE_DATE_EPOCH") {
        Ok(given) => given,
        Err(_) => output(Command::new("git").current_dir(&workspace.root).args(["log", "-1", "--format=%ct"]))
            .context("the archive has no time; set SOURCE_DATE_EPOCH")?,
    };
    text.trim().parse().with_context(|| format!("the time is {text:?}; expected seconds since 1970"))
}

fn tar_gz(folder: &str, entries: Vec<Entry>, time: u64) -> Result<Vec<u8>> {
    // The encoder writes neither a time nor a name.
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for Entry { path, mode, bytes } in sorted(entries) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(time);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, format!("{folder}/{path}"), &bytes[..])?;
    }
    Ok(archive.into_inner()?.finish()?)
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    entries
}

/// Writes `SHA256SUMS` for the archives of this version, as `sha256sum --check` reads it.
fn write_sums(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("dist");
    let mut lines = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("upright-{VERSION}-")) && name.ends_with(".tar.gz") {
            let digest: String = Sha256::digest(fs::read(entry.path())?).iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push((name, digest));
        }
    }
    lines.sort();
    let sums: String = lines.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
    let path = folder.join("SHA256SUMS");
    fs::write(&path, sums).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read as _;

    fn entries() -> Vec<Entry> {
        vec![
            Entry { path: "upright".into(), mode: EXECUTABLE, bytes: b"program".to_vec() },
            Entry::plain("man/upright.1", b"page".to_vec()),
        ]
    }

    #[test]
    fn the_entries_of_a_tar_archive_are_sorted_and_have_one_time_and_no_owner_of_this_machine() {
        let archive = tar_gz("upright-1", entries(), 42).unwrap();
        let mut read = tar::Archive::new(GzDecoder::new(&archive[..]));
        let found: Vec<_> = read
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                (path, header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap(), text)
            })
            .collect();
        let expected = [
            ("upright-1/man/upright.1".to_owned(), PLAIN, 0, 42, "page".to_owned()),
            ("upright-1/upright".to_owned(), EXECUTABLE, 0, 42, "program".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn archives_of_equal_files_are_equal_whatever_the_order_of_the_files() {
        let reversed = || entries().into_iter().rev().collect::<Vec<_>>();
        assert_eq!(tar_gz("upright-1", entries(), 42).unwrap(), tar_gz("upright-1", reversed(), 42).unwrap());
    }
}
