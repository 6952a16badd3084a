//! Keeps state on its own thread: callers' runtimes cannot delay it, nor it them.

use std::io;
use std::sync::OnceLock;
use std::{future::poll_fn, pin::pin};
use tokio::runtime::{Builder, Handle};

/// The runtime, one per process.
///
/// # Errors
/// [`io::Error`] without a thread; later calls retry.
pub fn runtime() -> io::Result<&'static Handle> {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    // Of several first callers' threads one stays.
    let (decided, wait) = std::sync::mpsc::channel::<bool>();
    std::thread::Builder::new().name("upright-state".into()).spawn(move || {
        if wait.recv() == Ok(true) {
            runtime.block_on(std::future::pending::<()>());
        }
    })?;
    let stays = RUNTIME.set(handle).is_ok();
    // The thread waits for this.
    let _ = decided.send(stays);
    RUNTIME.get().ok_or_else(|| io::Error::other("the state's runtime is gone"))
}

/// Drives a future on this runtime's timers, under any runtime or none.
pub async fn with_it<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _on_it = runtime().ok().map(Handle::enter);
        future.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_runtime_is_shared_and_runs_tasks_without_another_runtime() {
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

    #[test]
    fn a_future_on_the_background_runtime_has_timers_inside_and_outside_other_runtimes() {
        use futures_util::FutureExt;
        let timed = || with_it(async { tokio::time::timeout(std::time::Duration::from_secs(60), async {}).await });
        let other = Builder::new_current_thread().build().unwrap();
        other.block_on(timed()).unwrap();
        timed().now_or_never().unwrap().unwrap();
    }
}
