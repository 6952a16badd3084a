//! Files that only their owner can read, and that are never partial.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg_attr(not(unix), allow(unused_mut))]
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Even after a crash, the old or the new content is there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let new = Path::new(&new);
    let mut file = options().write(true).create(true).truncate(true).open(new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    // The rename is durable once its folder is synced.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

pub(super) fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = options().append(true).create(true).open(path)?;
    file.write_all(bytes)
}

pub(super) fn open_to_lock(path: &Path) -> io::Result<File> {
    options().write(true).create(true).truncate(false).open(path)
}
