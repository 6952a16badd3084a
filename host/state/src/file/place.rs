//! Makes the store's file for its owner alone, since state may be private. Rejects unsuitable places.

use super::failure::{Case, Failure};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(ending);
    path.with_file_name(name)
}

/// SQLite's log needs locks, and memory shared by all its users.
pub(super) fn refuse_network_file_systems(path: &Path) -> Result<(), Failure> {
    network_file_system(path).map_or(Ok(()), |name| Err(Failure::new(Case::NetworkFileSystem(name), "")))
}

/// SQLite would read on, or report a misleading error.
#[cfg(unix)]
pub(super) fn refuse_read_only(path: &Path) -> Result<(), Failure> {
    let may_write = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(io::Error::from);
    may_write(path)?;
    Ok(may_write(path.canonicalize()?.parent().unwrap_or(path))?)
}

#[cfg(not(unix))]
pub(super) fn refuse_read_only(path: &Path) -> Result<(), Failure> {
    let is_read_only = fs::metadata(path)?.permissions().readonly();
    if is_read_only { Err(Failure::new(Case::NotWritable, "it is read-only")) } else { Ok(()) }
}

/// Numbers from `statfs` (linux/magic.h and the file systems' sources).
#[cfg(target_os = "linux")]
const NETWORK_FILE_SYSTEMS: [(u64, &str); 5] =
    [(0x6969, "NFS"), (0x517b, "SMB"), (0xff53_4d42, "SMB (CIFS)"), (0xfe53_4d42, "SMB 2"), (0x0102_1997, "9p")];

#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> Option<&'static str> {
    let found = path.ancestors().find_map(|path| rustix::fs::statfs(path).ok())?;
    named(found.f_type as u64)
}

#[cfg(target_os = "linux")]
fn named(kind: u64) -> Option<&'static str> {
    // 32-bit machines may extend the sign.
    NETWORK_FILE_SYSTEMS.iter().find(|(number, _)| *number == kind & 0xffff_ffff).map(|(_, name)| *name)
}

#[cfg(windows)]
fn network_file_system(path: &Path) -> Option<&'static str> {
    use std::path::{Component, Prefix};
    let Some(Component::Prefix(prefix)) = path.components().next() else { return None };
    matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..)).then_some("SMB")
}

#[cfg(not(any(target_os = "linux", windows)))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

/// Makes a store from a complete draft: half a store would look damaged. Of concurrent makers one wins; returns whether
/// this one did.
pub(super) fn make(path: &Path, fill: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<bool, Failure> {
    let folder = path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidFilename))?;
    private_folder(folder)?;
    // Process ids repeat across containers.
    let draft = beside(path, &format!(".new-{:016x}", upright_core::random::unique()));
    let filled = private_file(&draft).map_err(Failure::from).and_then(|()| fill(&draft));
    let placed = filled.and_then(|()| match put(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        placed => Ok(placed.map(|()| true)?),
    });
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(&draft, ending));
    }
    let placed = placed?;
    keep_name(folder)?;
    Ok(placed)
}

fn put(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        // No links on this file system.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !path.exists() => rename(draft, path),
        linked => linked,
    }
}

#[cfg(target_os = "linux")]
fn rename(draft: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE)?)
}

/// May replace a file that was just made.
#[cfg(not(target_os = "linux"))]
fn rename(draft: &Path, path: &Path) -> io::Result<()> {
    fs::rename(draft, path)
}

fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// SQLite copies its permissions to the files beside it.
fn private_file(path: &Path) -> io::Result<()> {
    private().create_new(true).open(path).map(drop)
}

pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes names in a folder survive a power cut.
fn keep_name(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_a_network_are_known_by_their_numbers_and_local_ones_are_not_taken_for_them() {
        assert_eq!(
            [0x6969, 0xff53_4d42, 0xffff_ffff_ff53_4d42, 0x0102_1997].map(named),
            [Some("NFS"), Some("SMB (CIFS)"), Some("SMB (CIFS)"), Some("9p")]
        );
        // ext4, xfs, btrfs, tmpfs, overlay
        assert!([0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630].into_iter().all(|kind| named(kind).is_none()));
        assert_eq!(network_file_system(Path::new("/proc/none/of/these")), None);
    }
}
