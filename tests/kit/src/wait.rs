//! Waits for an event. Their limits only end a hanging test.

use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `holds`, which it asks every 5 ms. Fails with `what` after a minute.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        let mut looks = tokio::time::interval(LOOK);
        while !holds().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("{what}: not within a minute"));
}

/// Waits on this thread until `holds`. Fails with `what` after a minute.
pub fn until_blocking(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LIMIT, "{what}: not within a minute");
        std::thread::yield_now();
    }
}

/// Waits for the outcome of `work`. Fails after a minute.
pub async fn within<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(LIMIT, work).await.expect("not within a minute")
}
