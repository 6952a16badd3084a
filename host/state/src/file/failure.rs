//! Sorts failures by their remedy. They can be cloned for each writer of a group; SQLite's errors cannot.

use rusqlite::ErrorCode;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use upright_core::error::BoxError;
use upright_core::store::StoreError;

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) case: Case,
    cause: Cause,
    key: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Damaged,
    NotADatabase,
    NotAStore,
    OldFormat,
    Newer { found: u32, known: u32 },
    Full,
    NotWritable,
    NetworkFileSystem(&'static str),
    Forked,
    Unavailable,
}

#[derive(Clone, Debug)]
enum Cause {
    System(i32),
    Said(Arc<str>),
}

impl Failure {
    pub(super) fn new(case: Case, said: impl Into<Arc<str>>) -> Self {
        Self { case, cause: Cause::Said(said.into()), key: None }
    }

    pub(super) fn at(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn store_error(&self, path: &Path) -> StoreError {
        let (path, source) = (path.to_owned(), self.source());
        match (self.case, &self.key) {
            (Case::Damaged, Some(key)) => StoreError::Corrupt { key: key.to_string(), source },
            (Case::Damaged | Case::NotADatabase, _) => StoreError::Damaged { path, source },
            (Case::NotAStore, _) => StoreError::NotAStore { path, found: source.to_string() },
            (Case::OldFormat, _) => StoreError::OldFormat { path },
            (Case::Newer { found, known }, _) => StoreError::Newer { path, found, known },
            (Case::Full, _) => StoreError::Full { path, source },
            (Case::NotWritable, _) => StoreError::NotWritable { path, source },
            (Case::NetworkFileSystem(file_system), _) => StoreError::NetworkFileSystem { path, file_system },
            (Case::Forked, _) => StoreError::Forked { path },
            (Case::Unavailable, _) => StoreError::Unavailable { store: "file store", source },
        }
    }

    pub(super) fn source(&self) -> BoxError {
        match &self.cause {
            Cause::System(number) => io::Error::from_raw_os_error(*number).into(),
            Cause::Said(said) => (&**said).into(),
        }
    }
}

fn case_of(error: &io::Error) -> Case {
    use ErrorKind::*;
    match error.kind() {
        // Removing data helps here, too.
        StorageFull | QuotaExceeded | FileTooLarge => Case::Full,
        PermissionDenied | ReadOnlyFilesystem => Case::NotWritable,
        _ => Case::Unavailable,
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let cause = error.raw_os_error().map_or_else(|| Cause::Said(error.to_string().into()), Cause::System);
        Self { case: case_of(&error), cause, key: None }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        // First: SQLite says only that I/O failed, the system says why.
        let system = io::Error::last_os_error();
        let case = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Case::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Case::NotWritable,
            Some(ErrorCode::DatabaseCorrupt) => Case::Damaged,
            Some(ErrorCode::NotADatabase) => Case::NotADatabase,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => return Self { key: None, ..Self::of_system(&error, &system) },
            // A wrong column type, or invalid text.
            None => Case::Damaged,
            Some(_) => Case::Unavailable,
        };
        Self::new(case, error.to_string())
    }
}

impl Failure {
    fn of_system(error: &rusqlite::Error, system: &io::Error) -> Self {
        match (case_of(system), system.raw_os_error()) {
            (case, Some(number)) if case != Case::Unavailable => Self { case, cause: Cause::System(number), key: None },
            _ => Self::new(Case::Unavailable, format!("{error} ({system})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn store_error(failure: impl Into<Failure>) -> StoreError {
        failure.into().store_error(Path::new("/state/state.db"))
    }

    #[test]
    fn each_refusal_of_the_system_has_a_case_that_says_how_to_mend_it() {
        let of = |number| store_error(io::Error::from_raw_os_error(number));
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
        assert!(text.contains("/state/state.db") && text.contains("No space left"), "{text}");
    }

    #[test]
    fn each_refusal_of_sqlite_has_a_case_that_says_how_to_mend_it() {
        let of = |code| store_error(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(matches!(of(ffi::SQLITE_FULL), StoreError::Full { .. }));
        assert!(matches!(of(ffi::SQLITE_READONLY), StoreError::NotWritable { .. }));
        assert!(matches!(of(ffi::SQLITE_CORRUPT), StoreError::Damaged { .. }));
        assert!(matches!(of(ffi::SQLITE_NOTADB), StoreError::Damaged { .. }));
        assert!(matches!(of(ffi::SQLITE_BUSY), StoreError::Unavailable { .. }));
    }

    #[test]
    fn damage_is_reported_with_its_key_where_the_key_is_known() {
        let damage = |key: Option<&str>| {
            let failure = Failure::new(Case::Damaged, "page 7");
            store_error(key.into_iter().fold(failure, Failure::at)).to_string()
        };
        assert_eq!(damage(Some("a")), "the value of \"a\" cannot be read: page 7");
        assert!(damage(None).contains("page 7") && damage(None).contains("upright state check"));
    }
}
