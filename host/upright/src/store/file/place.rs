//! Where the file is, and how it comes to be there.
//!
//! State may be private, so the file and the folders above it that are not there yet are made for their owner alone. A process can be killed while it
//! makes a store, and half a store looks like a damaged one. So a new store is made beside its place and put there when it is whole.

use super::backend::Backend;
use super::commit::Committing;
use super::failure::{Case, Failure};
use super::log::Log;
use super::record::About;
use super::{group, log, tables, writer};
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, StorageBackend};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory for pages of the file: redb's own default is 1 GiB, and a model beside it needs that more.
const CACHE: usize = 64 << 20;

/// Drafts that this process has made: two threads must not share one.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// What a file is known by, whatever its name.
pub(super) type Identity = Option<(u64, u64)>;

#[cfg(unix)]
pub(super) fn identity(file: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

/// Nothing stable tells: all are taken for the same.
#[cfg(not(unix))]
pub(super) fn identity(_: &Metadata) -> Identity {
    None
}

/// Where a store is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    File(PathBuf),
    Memory,
}

impl Place {
    /// The path, also to be told.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory => Path::new(":memory:"),
        }
    }

    /// Which file is there now; none where the system does not tell.
    pub(super) fn identity(&self) -> Identity {
        match self {
            Self::File(path) => fs::metadata(path).ok().as_ref().and_then(identity),
            Self::Memory => None,
        }
    }

    /// Opens the store, or makes it.
    pub(super) fn open(&self) -> Result<Opened, Failure> {
        match self {
            Self::File(path) => match existing(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => create(path),
                file => opened(path, file?),
            },
            Self::Memory => Ok(Opened::made(made(InMemoryBackend::new())?, None)),
        }
    }

    /// Opens the store anew, which was in this file; one that is gone is not made again, and no other is taken for it.
    pub(super) fn reopen(&self, identity: Identity) -> Result<Opened, Failure> {
        match self {
            Self::File(path) if self.identity() != identity => {
                Err(Failure::new(Case::Unavailable, format!("{} is gone, or another file by now", path.display())))
            }
            Self::File(path) => opened(path, existing(path)?),
            Self::Memory => Err(Failure::new(Case::Unavailable, "a store in memory that failed is lost")),
        }
    }
}

fn existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// A store that is open.
pub(super) struct Opened {
    pub(super) database: Database,
    /// A version beyond which none had been given when it was opened.
    pub(super) version: u64,
    committing: Mutex<Committing>,
}

impl Opened {
    fn new(database: Database, version: u64, committing: Committing) -> Self {
        Self { database, version, committing: Mutex::new(committing) }
    }

    /// One that was made just now, in this file or in memory.
    fn made(database: Database, path: Option<&Path>) -> Self {
        Self::new(database, 0, Committing::new(path.map(log_of), None, About::default()))
    }

    /// For whoever writes.
    pub(super) fn committing(&self) -> MutexGuard<'_, Committing> {
        // One that a panic left says so itself.
        self.committing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opened(path: &Path, file: File) -> Result<Opened, Failure> {
    // redb makes a database of an empty file, as it does of one that is not there.
    if file.metadata()?.len() == 0 {
        return Ok(Opened::made(made(FileBackend::new(file)?)?, Some(path)));
    }
    let (backend, refusal) = Backend::new(file)?;
    let database = database(backend)?;
    // Before it is closed.
    let refused = |failure| {
        refusal.refuse();
        Err(failure)
    };
    taken_in(&database, &log_of(path)).map_or_else(refused, |(version, committing)| Ok(Opened::new(database, version, committing)))
}

/// Has the database do again what its log has. A version beyond which none was given, and what is to be known for writing.
fn taken_in(database: &Database, log: &Path) -> Result<(u64, Committing), Failure> {
    let about = tables::about(database)?;
    let (mut version, mut open) = (about.version, None);
    if about.epochs.now != 0 {
        if let Some((log, found)) = Log::open(log.to_owned(), about.epochs)? {
            let changes = found.changes().map_err(|fault| Failure::log(log.path(), fault))?;
            let last = group::again(database, &changes)?.unwrap_or_default();
            // A last block that was damaged looks as if it were not there.
            version = version.max(last) + writer::QUEUE as u64;
            open = Some(log);
        } else {
            version += log::LENGTH;
        }
    }
    Ok((version, Committing::new(Some(log.to_owned()), open, about)))
}

fn database(backend: impl StorageBackend) -> Result<Database, Failure> {
    Ok(Builder::new().set_cache_size(CACHE).create_with_backend(backend)?)
}

fn made(backend: impl StorageBackend) -> Result<Database, Failure> {
    let database = database(backend)?;
    tables::make(&database)?;
    Ok(database)
}

/// Makes a store where none was. Of two processes that do so at once both end up with the same one, or one of them is told that it is in use.
fn create(path: &Path) -> Result<Opened, Failure> {
    let folder = folder(path);
    private_folder(folder)?;
    let mut name = path.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidFilename))?.to_owned();
    name.push(format!(".new-{}-{}", std::process::id(), DRAFTS.fetch_add(1, Ordering::Relaxed)));
    let draft = folder.join(name);
    let database = private_file(&draft).map_err(Failure::from).and_then(|file| made(FileBackend::new(file)?));
    let placed = database.and_then(|database| match put(&draft, path) {
        Ok(()) => Ok(Some(database)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error.into()),
    });
    // Where it was moved it is not there any more.
    let _ = fs::remove_file(&draft);
    match placed? {
        Some(database) => {
            keep_name(path)?;
            Ok(Opened::made(database, Some(path)))
        }
        None => opened(path, existing(path)?),
    }
}

/// Gives the file its name, unless there is one of that name.
fn put(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        // A file system without links.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !path.exists() => fs::rename(draft, path),
        linked => linked,
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // What an earlier process of the same number left half made.
    options.read(true).write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The log of this file, beside the file itself where that was asked for by way of a link.
fn log_of(path: &Path) -> PathBuf {
    Log::path_for(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Sees to it that a file's name, too, outlives a loss of power.
pub(super) fn keep_name(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}
