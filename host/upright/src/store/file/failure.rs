//! What went wrong, told apart by what somebody can do about it.
//!
//! redb, the operating system and this module's own checks each have their errors. A failed group of writes is told to each of its writers, so a
//! failure can be cloned, which those errors cannot.

use super::record::Damage;
use crate::error::BoxError;
use crate::store::StoreError;
use std::any::Any;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// A failure, before it is told to a caller.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) case: Case,
    cause: Cause,
    /// The key that is damaged, where it is one alone.
    key: Option<Arc<str>>,
    /// The file, where it is not the store's own.
    file: Option<Arc<Path>>,
}

/// Which failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// Another process has the file, or this one has it twice.
    InUse,
    /// What is in the file makes no sense.
    Damaged,
    /// There is no room.
    Full,
    /// The file or its folder must not be written.
    NotWritable,
    /// A newer version of Upright wrote the file.
    Newer { found: u32, known: u32 },
    /// The log is not the one that belongs to the file, or not whole.
    LogLost,
    /// An earlier failure has closed the database: it must be opened anew.
    Stale,
    /// Anything else.
    Unavailable,
}

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LogFault {
    #[error("it is missing")]
    Missing,
    #[error("it belongs to another store, or is no log at all")]
    Foreign,
    #[error("it has {found} of {expected} bytes")]
    Short { found: u64, expected: u64 },
    #[error("what is in it at byte {offset} is damaged")]
    Block { offset: u64 },
}

#[derive(Clone, Debug)]
enum Cause {
    System(i32),
    Kind(ErrorKind, Arc<str>),
    Damage(Damage),
    Log(LogFault),
    Said(Arc<str>),
}

impl Failure {
    pub(super) fn new(case: Case, said: impl Into<Arc<str>>) -> Self {
        Self { case, cause: Cause::Said(said.into()), key: None, file: None }
    }

    /// What a panic within redb said.
    pub(super) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new(Case::Damaged, format!("the database stopped at it: {}", text.unwrap_or("without a word")))
    }

    /// The log in this file cannot be used.
    pub(super) fn log(path: &Path, fault: LogFault) -> Self {
        Self { case: Case::LogLost, cause: Cause::Log(fault), key: None, file: None }.of(path)
    }

    /// It is this file's, and not the store's own.
    pub(super) fn of(mut self, path: &Path) -> Self {
        self.file = Some(path.into());
        self
    }

    /// One of the first case, where it means the second.
    pub(super) fn meaning(mut self, case: Case, meant: Case) -> Self {
        if self.case == case {
            self.case = meant;
        }
        self
    }

    /// Damage found at this key.
    pub(super) fn at(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn told(&self, path: &Path) -> StoreError {
        let (store, source) = (path, self.source());
        let path = self.file.as_deref().unwrap_or(store).to_owned();
        match (self.case, &self.key) {
            (Case::LogLost, _) => StoreError::LogLost { path: store.to_owned(), log: path, source },
            (Case::InUse, _) => StoreError::InUse { path },
            (Case::Damaged, Some(key)) => StoreError::Corrupt { key: key.to_string(), source },
            (Case::Damaged, None) => StoreError::Damaged { path, source },
            (Case::Full, _) => StoreError::Full { path, source },
            (Case::NotWritable, _) => StoreError::NotWritable { path, source },
            (Case::Newer { found, known }, _) => StoreError::Newer { path, found, known },
            (Case::Stale | Case::Unavailable, _) => StoreError::Unavailable { store: "file store", source },
        }
    }

    /// What is wrong, by itself.
    pub(super) fn source(&self) -> BoxError {
        match &self.cause {
            Cause::System(number) => io::Error::from_raw_os_error(*number).into(),
            Cause::Kind(kind, said) => io::Error::new(*kind, &**said).into(),
            Cause::Damage(damage) => (*damage).into(),
            Cause::Log(fault) => (*fault).into(),
            Cause::Said(said) => (&**said).into(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use ErrorKind::*;
        let case = match error.kind() {
            // A limit on the size of files, too, is met by removing something.
            StorageFull | QuotaExceeded | FileTooLarge => Case::Full,
            PermissionDenied | ReadOnlyFilesystem => Case::NotWritable,
            InvalidData | UnexpectedEof => Case::Damaged,
            _ => Case::Unavailable,
        };
        let cause = error.raw_os_error().map_or_else(|| Cause::Kind(error.kind(), error.to_string().into()), Cause::System);
        Self { case, cause, key: None, file: None }
    }
}

impl From<Damage> for Failure {
    fn from(damage: Damage) -> Self {
        Self { case: Case::Damaged, cause: Cause::Damage(damage), key: None, file: None }
    }
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Self {
        use redb::Error::*;
        let case = match error {
            Io(error) => return error.into(),
            DatabaseAlreadyOpen | LockProtocolMismatch => Case::InUse,
            Corrupted(_) | UpgradeRequired(_) | RepairAborted => Case::Damaged,
            TableTypeMismatch { .. } | TableIsMultimap(_) | TypeDefinitionChanged { .. } | TableDoesNotExist(_) => Case::Damaged,
            PreviousIo | DatabaseClosed | LockPoisoned(_) => Case::Stale,
            _ => Case::Unavailable,
        };
        Self::new(case, error.to_string())
    }
}

macro_rules! by_way_of_redbs_error {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for Failure {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

by_way_of_redbs_error!(CommitError, DatabaseError, StorageError, TableError, TransactionError);

#[cfg(test)]
mod tests {
    use super::*;

    fn told(failure: impl Into<Failure>) -> StoreError {
        failure.into().told(Path::new("/state/store.redb"))
    }

    #[test]
    fn what_the_system_refuses_is_told_by_what_can_be_done_about_it() {
        let of = |number| told(io::Error::from_raw_os_error(number));
        // ENOSPC, EDQUOT, EFBIG
        for number in [28, 122, 27] {
            assert!(matches!(of(number), StoreError::Full { .. }), "{number}");
        }
        // EACCES, EPERM, EROFS
        for number in [13, 1, 30] {
            assert!(matches!(of(number), StoreError::NotWritable { .. }), "{number}");
        }
        assert!(matches!(of(5), StoreError::Unavailable { .. }));
        let text = of(28).to_string();
        assert!(text.contains("/state/store.redb") && text.contains("No space left"), "{text}");
    }

    #[test]
    fn damage_is_told_with_its_key_where_it_is_known() {
        let corrupt = Failure::from(Damage::Value).at("a").told(Path::new("x"));
        assert_eq!(corrupt.to_string(), "what is stored as \"a\" cannot be read: its value has a wrong checksum");
        let damaged = told(redb::Error::Corrupted("page 7".into())).to_string();
        assert!(damaged.contains("page 7") && damaged.contains("move it away"), "{damaged}");
    }
}
