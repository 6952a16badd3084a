//! Several programs on one server.

use super::{TEXT, connect, is_unavailable, put, shared, value};
use futures_util::StreamExt;
use std::collections::HashMap;
use upright::clock::SystemClock;
use upright::store::{ChangeKind, NatsOptions, NatsStore, Store, StoreError};
use upright_test_kit::nats_server::NatsServer;

async fn clients<const COUNT: usize>(url: &str) -> [NatsStore; COUNT] {
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        clients.push(connect(url, SystemClock::shared()).await);
    }
    clients.try_into().unwrap()
}

async fn increment(store: &NatsStore, key: &str) -> bool {
    let entry = store.get(key).await.unwrap();
    let number = entry.as_ref().map_or(0, |entry| String::from_utf8_lossy(&entry.value).parse::<u32>().unwrap());
    let next = (number + 1).to_string().into();
    match store.compare_and_set(key, entry.map(|entry| entry.version), next, TEXT).await {
        Ok(_) => true,
        Err(StoreError::Conflict { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn ten_thousand_increments_by_two_connections_make_ten_thousand() {
    let Some(server) = shared("ten_thousand_increments_by_two_connections_make_ten_thousand") else { return };
    let [one, other] = clients(&server.url("increments")).await;
    let five_thousand = async |store: &NatsStore| {
        for _ in 0..5000 {
            while !increment(store, "n").await {}
        }
    };
    tokio::join!(five_thousand(&one), five_thousand(&other));
    assert_eq!(value(&one, "n").await.as_deref(), Some("10000"));
}

#[tokio::test]
async fn of_three_clients_that_create_the_same_key_one_does() {
    let Some(server) = shared("of_three_clients_that_create_the_same_key_one_does") else { return };
    let [a, b, c] = clients(&server.url("creation")).await;
    for round in 0..50 {
        let key = format!("lock/{}", round % 5);
        let create = |store: &'static str, client: &NatsStore| {
            let (client, key) = (client.clone(), key.clone());
            async move { client.compare_and_set(&key, None, store.into(), TEXT).await }
        };
        let (first, second, third) = tokio::join!(create("a", &a), create("b", &b), create("c", &c));
        let results = [first, second, third];
        let won: Vec<_> = ["a", "b", "c"].into_iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(name, _)| name).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        for result in &results {
            let version = results.iter().find_map(|result| result.as_ref().ok()).copied();
            assert!(result.is_ok() || matches!(result, Err(StoreError::Conflict { found, .. }) if *found == version), "{results:?}");
        }
        assert_eq!(value(&c, &key).await.as_deref(), Some(won[0]));
        assert!(b.delete(&key).await.unwrap());
    }
}

#[tokio::test]
async fn what_one_client_writes_the_others_read_list_and_hear_of() {
    let Some(server) = shared("what_one_client_writes_the_others_read_list_and_hear_of") else { return };
    let [writer, reader, watcher] = clients(&server.url("three")).await;
    let mut changes = watcher.watch("checkpoint/").await.unwrap();
    for number in 0..20 {
        let key = format!("checkpoint/{number}");
        let version = put(&writer, &key, "x").await;
        assert_eq!(reader.get(&key).await.unwrap().unwrap().version, version);
        assert_eq!(reader.list("checkpoint/").await.unwrap().len(), number + 1);
        let change = changes.next().await.unwrap().unwrap();
        assert_eq!((change.key, change.version, change.kind), (key, version, ChangeKind::Put));
    }
}

#[tokio::test]
async fn a_watcher_sees_each_change_to_a_key_or_learns_that_it_missed_some() {
    let Some(server) = shared("a_watcher_sees_each_change_to_a_key_or_learns_that_it_missed_some") else { return };
    let [writer, watcher] = clients(&server.url("silence")).await;
    let mut changes = watcher.watch("").await.unwrap();
    let write = async {
        let mut versions = Vec::new();
        for number in 0..500 {
            versions.push(put(&writer, "k", &number.to_string()).await);
        }
        put(&writer, "end", "").await;
        versions
    };
    let watch = async {
        let mut seen = HashMap::new();
        let (mut last, mut missed) = (None, false);
        loop {
            match changes.next().await.unwrap() {
                Ok(change) if change.key == "end" => return (seen, last),
                Ok(change) => {
                    assert!(last < Some(change.version));
                    seen.insert(change.version, (std::mem::take(&mut missed), last));
                    last = Some(change.version);
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::ChangesMissed { .. }), "{error}");
                    missed = true;
                }
            }
        }
    };
    let (versions, (seen, last)) = tokio::join!(write, watch);
    assert_eq!(last, versions.last().copied(), "the last is always seen");
    for pair in versions.windows(2) {
        if let Some((missed, before)) = seen.get(&pair[1]) {
            assert!(*missed || *before == Some(pair[0]), "{} was passed over", pair[0]);
        }
    }
}

/// Repeats `ask` until the cluster answers; elections take time.
async fn in_time<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(StoreError::Unavailable { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_cluster_that_loses_any_one_of_its_servers_loses_no_value_and_goes_on() {
    let Some(mut servers) = NatsServer::cluster_or_skip("a_cluster_that_loses_any_one_of_its_servers") else { return };
    let places: Vec<_> = servers.iter().map(NatsServer::place).collect();
    let options = NatsOptions { replicas: 3, ..NatsOptions::default() };
    let url = format!("nats://{}/b", places.join(","));
    let store = in_time(async || NatsStore::connect(&url, &options).await).await;
    let large = vec![7; 3 << 20];
    in_time(async || store.put("large", large.clone().into(), TEXT).await).await;
    let mut changes = in_time(async || store.watch("n").await).await;
    let mut before = 0;
    for (lost, server) in servers.iter_mut().enumerate() {
        server.kill();
        let version = in_time(async || store.put("n", lost.to_string().into(), TEXT).await).await;
        assert!(version > before);
        before = version;
        let entry = in_time(async || store.get("n").await).await.unwrap();
        assert_eq!((entry.value.as_ref(), entry.version), (lost.to_string().as_bytes(), version));
        assert!(in_time(async || store.get("large").await).await.unwrap().value == large);
        while !matches!(changes.next().await.unwrap(), Ok(change) if change.version == version) {}
        server.start();
        // It must catch up before another server may stop.
        server.caught_up().await;
    }
}

#[tokio::test]
async fn without_the_majority_of_a_cluster_nothing_is_written_and_calls_end() {
    let Some(mut servers) = NatsServer::cluster_or_skip("without_the_majority_of_a_cluster_nothing_is_written") else { return };
    let options = NatsOptions { replicas: 3, limit: std::time::Duration::from_millis(500), ..NatsOptions::default() };
    let url = servers[0].url("b");
    let store = in_time(async || NatsStore::connect(&url, &options).await).await;
    in_time(async || store.put("a", "1".into(), TEXT).await).await;
    servers[1].kill();
    servers[2].kill();
    for _ in 0..3 {
        assert!(is_unavailable(&store.compare_and_set("b", None, "2".into(), TEXT).await));
    }
    servers[1].start();
    servers[2].start();
    assert_eq!(in_time(async || store.get("a").await).await.unwrap().value, "1");
}
