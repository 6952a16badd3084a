//! The thread on which state is kept while its owner goes on: what is written behind, watched and reconciled.
//!
//! One for the process, with a runtime of its own: what a caller's runtime does, or that it ends, does not hold it up, and it holds up nobody.

use std::io;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Handle};

/// Where the store's tasks are spawned.
///
/// # Errors
/// Where the system gives no thread for it; a later call tries again.
pub(crate) fn runtime() -> io::Result<&'static Handle> {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    // Of several that come here first one stays; the other's thread ends at once.
    let (decided, wait) = std::sync::mpsc::channel::<bool>();
    std::thread::Builder::new().name("upright-state".into()).spawn(move || {
        if wait.recv() == Ok(true) {
            runtime.block_on(std::future::pending::<()>());
        }
    })?;
    let stays = RUNTIME.set(handle).is_ok();
    // The thread waits for it.
    let _ = decided.send(stays);
    RUNTIME.get().ok_or_else(|| io::Error::other("the state's runtime is gone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_and_runs_what_it_is_given_without_any_other_runtime() {
        let (done, result) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let done = done.clone();
                scope.spawn(move || runtime().unwrap().spawn(async move { done.send((number, std::thread::current().id())) }));
            }
        });
        drop(done);
        let mut ran: Vec<_> = result.iter().collect();
        ran.sort_unstable_by_key(|(number, _)| *number);
        assert!(ran.iter().map(|(number, _)| *number).eq(0..8), "{ran:?}");
        assert!(ran.iter().all(|(_, thread)| *thread == ran[0].1), "{ran:?}");
    }
}
