//! Where breakers are kept between calls of this program: a file each.
//!
//! Readers must never see half a file, and of two calls that end at once neither may undo what the other wrote. So a file is replaced as a whole, by a
//! new one that is on the disk already, and who changes it reads it first, under a lock.

use crate::exit::Failure;
use serde::{Deserialize, Serialize};
use std::env;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use upright::breaker::SavedState;

const VARIABLE: &str = "UPRIGHT_STATE";
/// The layout of the files.
const FORMAT: u32 = 1;
/// No file of a breaker is longer, bytes.
const LONGEST: u64 = 64 << 10;
/// A lock is held for the moment of an update. Who cannot have it for so long goes on without.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to try to get the lock.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// The folder of the breakers: the flag's, else the environment's, else the user's own for state (XDG).
pub(super) fn folder(flag: Option<&Path>) -> Result<PathBuf, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |name: &str| set(name).filter(|path| path.is_absolute());
    let (what, folder) = match (flag, set(VARIABLE)) {
        (Some(given), _) => ("--state", given.to_owned()),
        (None, Some(given)) => (VARIABLE, given),
        (None, None) => {
            let own = || absolute("HOME").map(|home| home.join(".local/state"));
            let folder = absolute("XDG_STATE_HOME").or_else(own);
            let missing = || Failure::bad_input("--breaker has no place to be kept in: HOME is not set; expected --state DIR");
            ("XDG_STATE_HOME", folder.ok_or_else(missing)?.join("upright"))
        }
    };
    if folder.exists() && !folder.is_dir() {
        return Err(Failure::bad_input(format!(
            "{what}: {:?} is no folder; expected one, or a path where one can be made",
            folder.display().to_string()
        )));
    }
    Ok(folder.join("breakers"))
}

/// A breaker's file.
pub(super) struct StateFile {
    folder: PathBuf,
    path: PathBuf,
    name: String,
}

/// What stands in it.
#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    /// For people; the file's own name is what counts.
    breaker: String,
    #[serde(flatten)]
    saved: SavedState,
}

/// Leave to change the file; ends when it is dropped.
pub(super) struct Locked<'a> {
    file: &'a StateFile,
    _lock: File,
}

/// What was read.
pub(super) enum Kept {
    /// There is no file yet.
    Nothing,
    State(SavedState),
    /// There is something else, for this reason.
    Unusable(String),
}

impl StateFile {
    pub(super) fn new(folder: PathBuf, name: &str) -> Self {
        let path = folder.join(format!("{}.json", file_name(name)));
        Self { folder, path, name: name.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the lock.
    pub(super) async fn lock(&self) -> io::Result<Locked<'_>> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        // Not the file itself, which is replaced.
        let lock = private().read(true).open(self.path.with_extension("lock"))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Locked { file: self, _lock: lock }),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds its lock"));
                }
                Err(TryLockError::WouldBlock) => sleep(TRY_AGAIN).await,
            }
        }
    }
}

impl Locked<'_> {
    pub(super) fn read(&self) -> Kept {
        match self.content() {
            Ok(content) if content.format == FORMAT => Kept::State(content.saved),
            Ok(content) => Kept::Unusable(format!("its format is {}; expected {FORMAT}", content.format)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::Nothing,
            Err(error) => Kept::Unusable(error.to_string()),
        }
    }

    fn content(&self) -> io::Result<Content> {
        let path = &self.file.path;
        // One that is no file, such as a pipe, could keep us waiting.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut text = String::new();
        File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LONGEST {
            return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
        }
        Ok(serde_json::from_str(&text)?)
    }

    pub(super) fn write(&self, saved: &SavedState) -> io::Result<()> {
        let content = Content { format: FORMAT, breaker: self.file.name.clone(), saved: saved.clone() };
        let text = serde_json::to_string(&content)?;
        // Only who holds the lock writes it, so it needs no name of its own; one that was left half-written is written anew.
        let path = self.file.path.with_extension("new");
        let mut new = private().truncate(true).open(&path)?;
        new.write_all(text.as_bytes())?;
        new.write_all(b"\n")?;
        new.sync_all()?;
        fs::rename(&path, &self.file.path)?;
        // The name, too, shall outlive a power cut.
        File::open(&self.file.folder)?.sync_all()
    }
}

/// How files are opened that are nobody else's business.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// A name as one of a file, in which it can neither leave the folder nor hide: all but letters, digits, `-`, `_` and inner dots as `%` and two digits.
fn file_name(name: &str) -> String {
    let mut encoded = String::new();
    for (index, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || (byte == b'.' && index > 0) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder_and_no_two_meet() {
        let names = ["api", "a.b", ".", "..", "../up", "/etc/passwd", "a/b", "a%2Fb", "a b", "é", ".hidden", "%"];
        let files: std::collections::HashSet<String> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len());
        assert!(files.iter().all(|file| !file.contains('/') && !file.starts_with('.') && file.is_ascii()), "{files:?}");
        assert!(file_name(&"é".repeat(32)).len() + ".json".len() <= 255);
        assert_eq!((file_name("api-2_x.y"), file_name("../a")), ("api-2_x.y".to_owned(), "%2E.%2Fa".to_owned()));
    }
}
