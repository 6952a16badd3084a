//! A forked child leaves the parent's store connections alone.
//!
//! SQLite's locks belong to a process, and a child inherits its memory: using the file there could damage it
//! (<https://www.sqlite.org/howtocorrupt.html>, 2.6).
//!
//! A binary of its own, because a forked child has only one thread: a lock that another test holds would stay locked.
#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
// `fork` has no safe interface.
#![allow(unsafe_code)]

use futures_util::FutureExt;
use upright::store::{FileStore, Store, StoreError};
use upright_test_kit::folder::Folder;

fn in_a_child(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child calls only this closure and `_exit`. It takes no lock that another thread may hold, except the
    // allocator's, which the C library handles.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = work();
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    // SAFETY: `status` is writable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "the child was ended by a signal: {status}");
    libc::WEXITSTATUS(status)
}

#[tokio::test]
async fn a_forked_child_is_refused_and_the_parents_store_goes_on() {
    let folder = Folder::new("forked");
    let path = folder.path("state.db");
    let store = FileStore::open(&path).unwrap();
    store.put("a", "1".into(), "text/plain").await.unwrap();
    for round in 0..20 {
        let (lent, path) = (store.clone(), folder.path("state.db"));
        let code = in_a_child(move || {
            let forked = |answer: Option<Result<(), StoreError>>| matches!(answer, Some(Err(StoreError::Forked { .. })));
            let found = [
                forked(lent.get("a").now_or_never().map(|got| got.map(drop))),
                forked(lent.put("a", "2".into(), "text/plain").now_or_never().map(|put| put.map(drop))),
                forked(lent.list("").now_or_never().map(|listed| listed.map(drop))),
                forked(lent.watch("").now_or_never().map(|watched| watched.map(drop))),
                forked(Some(FileStore::open(&path).map(drop))),
            ];
            // Drops all clones, the last one here too.
            drop(lent);
            found.iter().position(|found| !found).map_or(42, |position| position as i32)
        });
        assert_eq!(code, 42, "round {round}: which of them was not refused");
        let path = folder.path("state.db");
        store.put("a", round.to_string().into(), "text/plain").await.unwrap();
        let other = FileStore::open(&path).unwrap();
        assert_eq!(other.get("a").await.unwrap().unwrap().value, round.to_string());
    }
    drop(store);
    let path = folder.path("state.db");
    let opened = in_a_child(|| i32::from(FileStore::open(&path).is_ok()));
    assert_eq!(opened, 1);
}
