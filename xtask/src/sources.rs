//! Checks that a committed component matches its sources. A custom section holds the SHA-256 of the contract, the guest
//! crates, and the versions of linked crates.
//!
//! This file stands alone (the standard library and `sha2`): tests elsewhere include it by path.
// Each includer uses a part of this file.
#![allow(dead_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Custom section with the digest, as 64 lower-case hexadecimal digits.
pub(crate) const SECTION: &str = "upright:sources";

#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) package: &'static str,
    pub(crate) path: &'static str,
    pub(crate) crates: &'static [&'static str],
}

pub(crate) const COMPONENTS: [Committed; 6] = [
    Committed { package: "upright-policy", path: "host/runtime/policy.wasm", crates: &["guest/logic", "guest/shim", "guest/policy"] },
    Committed {
        package: "upright-policy-steady",
        path: "guest/examples/steady/steady.wasm",
        crates: &["guest/logic", "guest/shim", "guest/examples/steady"],
    },
    Committed {
        package: "upright-policy-count-window",
        path: "guest/examples/count-window/count-window.wasm",
        crates: &["guest/logic", "guest/shim", "guest/examples/parts", "guest/examples/count-window"],
    },
    Committed {
        package: "upright-policy-time-window",
        path: "guest/examples/time-window/time-window.wasm",
        crates: &["guest/logic", "guest/shim", "guest/examples/parts", "guest/examples/time-window"],
    },
    Committed {
        package: "upright-policy-decorrelated-jitter",
        path: "guest/examples/decorrelated-jitter/decorrelated-jitter.wasm",
        crates: &["guest/logic", "guest/shim", "guest/examples/decorrelated-jitter"],
    },
    Committed {
        package: "upright-policy-cautious",
        path: "guest/examples/cautious/cautious.wasm",
        crates: &["guest/logic", "guest/shim", "guest/examples/parts", "guest/examples/cautious"],
    },
];

const CONTRACT: (&str, &str) = ("wit", "wit");

/// Crates in every component; their locked versions count.
const LINKED: [&str; 3] = ["talc", "libm", "wit-bindgen"];

/// Digest of a component's sources: 64 lower-case hexadecimal digits. Ignores line ends and the order of files.
///
/// # Errors
/// An unreadable file or folder, with its path.
pub(crate) fn digest(root: &Path, component: &Committed) -> io::Result<String> {
    let (folder, ending) = CONTRACT;
    let mut paths: Vec<String> = list(root, folder)?
        .into_iter()
        .filter(|(path, is_folder)| !is_folder && Path::new(path).extension().is_some_and(|found| found == ending))
        .map(|(path, _)| path)
        .collect();
    for folder in component.crates {
        paths.push(format!("{folder}/Cargo.toml"));
        let mut folders = vec![format!("{folder}/src")];
        while let Some(folder) = folders.pop() {
            for (path, is_folder) in list(root, &folder)? {
                if is_folder { &mut folders } else { &mut paths }.push(path);
            }
        }
    }
    paths.sort();

    let mut hasher = Sha256::new();
    for path in paths {
        add(&mut hasher, &path, &with_plain_line_ends(read(&root.join(&path))?));
    }
    let lock = String::from_utf8_lossy(&read(&root.join("Cargo.lock"))?).into_owned();
    for name in LINKED {
        add(&mut hasher, name, locked_versions(&lock, name).join(" ").as_bytes());
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The recorded digest; `None` without a label, or if it is no WebAssembly.
pub(crate) fn recorded(component: &[u8]) -> Option<String> {
    custom_section(component, SECTION).and_then(|text| String::from_utf8(text.to_vec()).ok())
}

pub(crate) fn custom_section<'a>(wasm: &'a [u8], name: &str) -> Option<&'a [u8]> {
    if !wasm.starts_with(b"\0asm") {
        return None;
    }
    let mut rest = wasm.get(8..)?;
    while let Some((&kind, after)) = rest.split_first() {
        let (length, after) = leb128(after)?;
        let (body, after) = after.split_at_checked(length)?;
        rest = after;
        if kind == 0 {
            let (length, body) = leb128(body)?;
            let (found, contents) = body.split_at_checked(length)?;
            if found == name.as_bytes() {
                return Some(contents);
            }
        }
    }
    None
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value: u64 = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Length-prefixed, so that different lists give different bytes.
fn add(hasher: &mut Sha256, name: &str, contents: &[u8]) {
    for part in [name.as_bytes(), contents] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
}

fn list(root: &Path, folder: &str) -> io::Result<Vec<(String, bool)>> {
    let path = root.join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).map_err(|error| at(&path, &error))? {
        let entry = entry.map_err(|error| at(&path, &error))?;
        let is_folder = entry.file_type().map_err(|error| at(&entry.path(), &error))?.is_dir();
        found.push((format!("{folder}/{}", entry.file_name().to_string_lossy()), is_folder));
    }
    Ok(found)
}

fn read(path: &PathBuf) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn with_plain_line_ends(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut kept = 0;
    for index in 0..bytes.len() {
        if bytes[index] == b'\r' && bytes.get(index + 1) == Some(&b'\n') {
            continue;
        }
        bytes[kept] = bytes[index];
        kept += 1;
    }
    bytes.truncate(kept);
    bytes
}

/// Versions of a crate in a lock file, where `version` follows `name`.
fn locked_versions<'a>(lock: &'a str, name: &str) -> Vec<&'a str> {
    let wanted = format!("name = \"{name}\"");
    lock.lines()
        .zip(lock.lines().skip(1))
        .filter(|(line, _)| *line == wanted)
        .filter_map(|(_, next)| next.strip_prefix("version = \"")?.strip_suffix('"'))
        .collect()
}
