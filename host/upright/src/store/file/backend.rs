//! The file as redb has it: until it is refused.
//!
//! redb can open a file whose tables make no sense: it marks it as open in its header, and sets it in order when it is closed again. A file that is refused
//! must stay as it was found.

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file of redb's.
#[derive(Debug)]
pub(super) struct Backend(Arc<Shared>);

/// Refuses the file that goes with it.
pub(super) struct Refusal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: FileBackend,
    refused: AtomicBool,
    /// The header as it was found, as far as there was one.
    header: Vec<u8>,
    /// More than the header was written.
    changed: AtomicBool,
}

/// redb's header lies in the first page, bytes.
const HEADER: u64 = 4096;

impl Refusal {
    /// From now on nothing is written to the file any more, and the header is again as it was.
    pub(super) fn refuse(&self) {
        let Shared { file, refused, header, changed } = &*self.0;
        refused.store(true, Ordering::Release);
        if !changed.load(Ordering::Acquire) {
            // Where that fails the file is marked as open, which costs a repair.
            let _ = file.write(0, header).and_then(|()| file.sync_data());
        }
    }
}

impl Backend {
    pub(super) fn new(file: File) -> Result<(Self, Refusal), DatabaseError> {
        let file = FileBackend::new(file)?;
        let mut header = vec![0; HEADER.min(file.len()?) as usize];
        file.read(0, &mut header)?;
        let shared = Arc::new(Shared { file, refused: AtomicBool::new(false), header, changed: AtomicBool::new(false) });
        Ok((Self(Arc::clone(&shared)), Refusal(shared)))
    }

    fn file(&self) -> &FileBackend {
        &self.0.file
    }

    /// Does what changes the file from there on.
    fn change(&self, offset: u64, work: impl FnOnce(&FileBackend) -> io::Result<()>) -> io::Result<()> {
        if self.0.refused.load(Ordering::Acquire) {
            return Ok(());
        }
        if offset >= HEADER && !self.0.changed.load(Ordering::Relaxed) {
            self.0.changed.store(true, Ordering::Release);
        }
        work(self.file())
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file().len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file().read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(HEADER, |file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(0, FileBackend::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(offset, |file| file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file().close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file().try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file().try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file().lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file().lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file().unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file().query_lock_range(start, end)
    }
}
