//! The file as redb has it: until it is refused.
//!
//! redb can open a file whose tables make no sense, and sets it in order when it is closed again. A file that is refused must stay as it was found.

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file of redb's.
#[derive(Debug)]
pub(super) struct Backend {
    file: FileBackend,
    refused: Arc<AtomicBool>,
}

/// Refuses the file that goes with it.
pub(super) struct Refusal(Arc<AtomicBool>);

impl Refusal {
    /// From now on nothing is written to the file any more.
    pub(super) fn refuse(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Backend {
    pub(super) fn new(file: File) -> Result<(Self, Refusal), DatabaseError> {
        let refused = Arc::new(AtomicBool::new(false));
        Ok((Self { file: FileBackend::new(file)?, refused: Arc::clone(&refused) }, Refusal(refused)))
    }

    fn unless_refused(&self, work: impl FnOnce(&FileBackend) -> io::Result<()>) -> io::Result<()> {
        if self.refused.load(Ordering::Acquire) { Ok(()) } else { work(&self.file) }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.unless_refused(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.unless_refused(FileBackend::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.unless_refused(|file| file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
