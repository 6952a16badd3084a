//! The store in a real NATS server: guarantees while it runs, dies, hangs or forgets.

mod access;
mod failures;
mod fleet;
#[path = "nats/keys.rs"]
mod keys_of_all_kinds;
mod values;

use futures_util::StreamExt;
use upright::clock::{SharedClock, SystemClock};
use upright::store::{NatsOptions, NatsStore, Store, StoreError};
use upright_test_kit::nats_server::NatsServer;

const TEXT: &str = "text/plain";

async fn bucket(test: &str) -> Option<NatsStore> {
    Some(connect(&shared(test)?.url(test), SystemClock::shared()).await)
}

fn shared(test: &str) -> Option<&'static NatsServer> {
    NatsServer::shared(test)
}

async fn connect(url: &str, clock: SharedClock) -> NatsStore {
    NatsStore::connect_with_clock(url, &NatsOptions::default(), clock).await.unwrap()
}

async fn connected(store: &NatsStore, connections: u64) {
    let mut states = store.connectivities();
    while !states.next().await.is_some_and(|now| now.connected && now.connections >= connections) {}
}

async fn disconnected(store: &NatsStore) {
    let mut states = store.connectivities();
    while states.next().await.unwrap().connected {}
}

async fn put(store: &dyn Store, key: &str, value: &str) -> u64 {
    store.put(key, value.to_owned().into(), TEXT).await.unwrap()
}

async fn value(store: &dyn Store, key: &str) -> Option<String> {
    let entry = store.get(key).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|listed| listed.key).collect()
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable { store: "NATS server", .. }))
}
