//! Log of a cache whose store is away.
//!
//! A binary of its own, because the store's tasks log from another thread, so only a global subscriber sees them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use serde_json::json;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use upright::degradation::{CacheLimits, ResponseCache, StoredCacheOptions};
use upright::store::{Changes, Entry, Listed, Store, StoreError, StoreFuture};
use upright::testing::DrivenClock;

struct Away;

fn away<T: Send + 'static>() -> StoreFuture<'static, T> {
    Box::pin(async { Err(StoreError::Unavailable { store: "stand-in", source: "it is away".into() }) })
}

impl Store for Away {
    fn get<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Option<Entry>> {
        away()
    }
    fn put<'a>(&'a self, _: &'a str, _: Bytes, _: &'a str) -> StoreFuture<'a, u64> {
        away()
    }
    fn compare_and_set<'a>(&'a self, _: &'a str, _: Option<u64>, _: Bytes, _: &'a str) -> StoreFuture<'a, u64> {
        away()
    }
    fn delete<'a>(&'a self, _: &'a str) -> StoreFuture<'a, bool> {
        away()
    }
    fn compare_and_delete<'a>(&'a self, _: &'a str, _: u64) -> StoreFuture<'a, bool> {
        away()
    }
    fn list<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Vec<Listed>> {
        away()
    }
    fn watch<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Changes> {
        away()
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_unavailable_store_is_logged_once_an_hour_and_not_with_each_call() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();
    let clock = DrivenClock::new();
    let cache = ResponseCache::with_clock(CacheLimits::default(), clock.shared()).over(Arc::new(Away), StoredCacheOptions::default());
    let logged = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for round in 0..20 {
        cache.cache_response(round.to_string(), json!(round));
        assert!(cache.load_cached_response("none", Duration::MAX).await.is_none());
        cache.flush().await;
    }
    assert_eq!((cache.counts().failed, logged().lines().count()), (40, 1), "{}", logged());
    assert!(logged().contains("WARN upright: the cache's store does not do its part") && logged().contains("it is away"), "{}", logged());
    clock.advance(Duration::from_secs(3600));
    cache.cache_response("later", json!(1));
    cache.flush().await;
    assert_eq!(logged().lines().count(), 2);
}
