//! Simulates outages of a store.

use crate::store::{Changes, Entry, Listed, Store, StoreError, StoreFuture};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store that can become unreachable: requests fail with [`StoreError::Unavailable`]. Clones share it.
#[derive(Clone)]
pub struct AwayStore {
    store: Arc<dyn Store>,
    /// Requests still to fail.
    away: Arc<AtomicU64>,
}

impl AwayStore {
    /// Wraps a reachable store.
    pub fn new(store: impl Store + 'static) -> Self {
        Self { store: Arc::new(store), away: Arc::default() }
    }

    /// Makes the store unreachable.
    pub fn go_away(&self) {
        self.go_away_for(u64::MAX);
    }

    /// Fails the next `requests`.
    pub fn go_away_for(&self, requests: u64) {
        self.away.store(requests, Ordering::SeqCst);
    }

    /// Makes the store reachable.
    pub fn come_back(&self) {
        self.go_away_for(0);
    }

    fn ask<'a, T: Send + 'a>(&'a self, request: impl FnOnce(&'a dyn Store) -> StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if self.away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return request(&*self.store);
        }
        let source = io::Error::from(io::ErrorKind::ConnectionRefused).into();
        Box::pin(std::future::ready(Err(StoreError::Unavailable { store: "stand-in for a store", source })))
    }
}

impl Store for AwayStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        self.ask(|store| store.get(key))
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        self.ask(|store| store.put(key, value, content_type))
    }

    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        self.ask(|store| store.compare_and_set(key, expected, value, content_type))
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        self.ask(|store| store.delete(key))
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool> {
        self.ask(|store| store.compare_and_delete(key, expected))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>> {
        self.ask(|store| store.list(prefix))
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes> {
        self.ask(|store| store.watch(prefix))
    }
}
