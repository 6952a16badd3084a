//! The server dies, hangs, comes late, or has lost everything.

use super::{TEXT, connect, connected, disconnected, is_unavailable, keys, put, value};
use futures_util::{FutureExt, StreamExt};
use std::net::TcpListener;
use std::time::Duration;
use upright::clock::SystemClock;
use upright::store::{Change, ChangeKind, Connectivity, NatsStore, Store, StoreError};
use upright::testing::DrivenClock;
use upright_test_kit::nats_server::NatsServer;

async fn all_fail(store: &NatsStore) {
    assert!(is_unavailable(&store.get("a").await));
    assert!(is_unavailable(&store.put("a", "2".into(), TEXT).await));
    assert!(is_unavailable(&store.put("a", vec![0; 2 << 20].into(), TEXT).await));
    assert!(is_unavailable(&store.compare_and_set("a", None, "2".into(), TEXT).await));
    assert!(is_unavailable(&store.delete("a").await));
    assert!(is_unavailable(&store.compare_and_delete("a", 1).await));
    assert!(is_unavailable(&store.list("").await));
    assert!(is_unavailable(&store.watch("").await.map(|_| ())));
    assert!(is_unavailable(&store.clean(Duration::ZERO).await));
}

#[tokio::test]
async fn while_the_server_is_away_each_call_fails_at_once_and_afterwards_nothing_is_lost() {
    let Some(mut server) = NatsServer::start_or_skip("while_the_server_is_away_each_call_fails_at_once") else { return };
    // On a stopped clock a call that waits for its limit never ends.
    let store = connect(&server.url("b"), DrivenClock::new().shared()).await;
    let large = vec![7; 3 << 20];
    store.put("large", large.clone().into(), TEXT).await.unwrap();
    for round in 1..=3 {
        let version = put(&store, "a", &round.to_string()).await;
        server.kill();
        disconnected(&store).await;
        assert!(!store.is_connected());
        all_fail(&store).await;
        server.start();
        connected(&store, round + 1).await;
        assert_eq!(value(&store, "a").await, Some(round.to_string()));
        assert_eq!(store.get("a").await.unwrap().unwrap().version, version);
        assert!(store.get("large").await.unwrap().unwrap().value == large);
        assert_eq!(keys(&store, "").await, ["a", "large"]);
        store.compare_and_set("a", Some(version), "x".into(), TEXT).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_under_way_when_the_server_is_killed_fails_then() {
    let Some(mut server) = NatsServer::start_or_skip("a_call_that_is_under_way_when_the_server_is_killed_fails_then") else { return };
    let store = connect(&server.url("b"), DrivenClock::new().shared()).await;
    server.freeze();
    let mut call = store.get("a");
    assert!((&mut call).now_or_never().is_none());
    server.kill();
    let error = call.await.unwrap_err();
    assert!(error.to_string().contains("was lost"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_costs_a_call_its_limit_and_no_more() {
    let Some(server) = NatsServer::start_or_skip("a_server_that_hangs_costs_a_call_its_limit_and_no_more") else { return };
    let clock = DrivenClock::new();
    let store = connect(&server.url("b"), clock.shared()).await;
    put(&store, "a", "1").await;
    server.freeze();
    for _ in 0..2 {
        let mut call = store.put("a", "2".into(), TEXT);
        assert!((&mut call).now_or_never().is_none());
        clock.advance(Duration::from_millis(1999));
        assert!((&mut call).now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        let error = call.await.unwrap_err();
        assert!(error.to_string().contains("did not answer within 2s"), "{error}");
        assert_eq!(upright::fault::fault_of(&error).kind, upright::types::FaultKind::Timeout);
    }
    server.thaw();
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"), "what was given up had not begun to write");
    put(&store, "a", "3").await;
}

#[tokio::test]
async fn a_server_that_comes_late_is_connected_when_it_comes() {
    let Some(mut server) = NatsServer::start_or_skip("a_server_that_comes_late_is_connected_when_it_comes") else { return };
    server.kill();
    let store = connect(&server.url("b"), DrivenClock::new().shared()).await;
    assert_eq!(store.connectivity(), Connectivity { connected: false, connections: 0 });
    all_fail(&store).await;
    server.start();
    connected(&store, 1).await;
    put(&store, "a", "1").await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_silent_nats_server_delays_a_start_only_up_to_the_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let clock = DrivenClock::new();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let mut start = Box::pin(connect(&url, clock.shared()));
    // A pending wait shows that the client exists.
    while clock.waits().is_empty() {
        assert!((&mut start).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(2));
    assert!(is_unavailable(&start.await.get("a").await));
}

#[tokio::test]
async fn changes_made_while_a_watcher_was_away_reach_it_after_a_restart_of_the_server() {
    let Some(mut server) = NatsServer::start_or_skip("changes_made_while_a_watcher_was_away_reach_it") else { return };
    let store = connect(&server.url("b"), SystemClock::shared()).await;
    put(&store, "policy/before", "1").await;
    let (mut watched, mut idle) = (store.watch("policy/").await.unwrap(), store.watch("policy/idle/").await.unwrap());
    let first = put(&store, "policy/a", "1").await;
    assert_eq!(watched.next().await.unwrap().unwrap(), Change { key: "policy/a".into(), version: first, kind: ChangeKind::Put });
    for round in 2..=4 {
        server.kill();
        disconnected(&store).await;
        server.start();
        server.ask(&format!("$KV.b.policy.by-{round}"), &[], "1").await;
        let change = watched.next().await.unwrap().unwrap();
        assert_eq!((change.key, change.kind), (format!("policy/by-{round}"), ChangeKind::Put));
        connected(&store, round).await;
        store.delete(&format!("policy/by-{round}")).await.unwrap();
        let change = watched.next().await.unwrap().unwrap();
        assert_eq!((change.key, change.kind), (format!("policy/by-{round}"), ChangeKind::Deleted));
    }
    // A watcher without a position sees no earlier changes.
    let version = put(&store, "policy/idle/x", "1").await;
    assert_eq!(idle.next().await.unwrap().unwrap(), Change { key: "policy/idle/x".into(), version, kind: ChangeKind::Put });
}

#[tokio::test]
async fn changes_that_replaced_each_other_while_a_watcher_was_away_are_reported_as_missed_and_the_last_is_seen() {
    let Some(mut server) = NatsServer::start_or_skip("changes_that_replaced_each_other_are_reported_as_missed") else { return };
    let watching = connect(&server.url("b"), SystemClock::shared()).await;
    let mut changes = watching.watch("").await.unwrap();
    put(&watching, "a", "1").await;
    assert!(changes.next().await.unwrap().is_ok());
    server.kill();
    disconnected(&watching).await;
    server.start();
    let writing = connect(&server.url("b"), SystemClock::shared()).await;
    put(&writing, "a", "2").await;
    // `changes` was not polled since, so its watcher is not back yet.
    let last = put(&writing, "a", "3").await;
    assert!(matches!(changes.next().await, Some(Err(StoreError::ChangesMissed { .. }))));
    assert_eq!(changes.next().await.unwrap().unwrap(), Change { key: "a".into(), version: last, kind: ChangeKind::Put });
}

#[tokio::test]
async fn watchers_learn_of_a_server_that_lost_everything_and_it_is_used_again() {
    let Some(mut server) = NatsServer::start_or_skip("a_server_that_has_forgotten_everything") else { return };
    let store = connect(&server.url("b"), SystemClock::shared()).await;
    let mut changes = store.watch("").await.unwrap();
    put(&store, "a", "1").await;
    assert!(changes.next().await.unwrap().is_ok());
    server.kill_and_forget();
    disconnected(&store).await;
    server.start();
    assert!(matches!(changes.next().await, Some(Err(StoreError::ChangesMissed { .. }))));
    connected(&store, 2).await;
    assert_eq!(value(&store, "a").await, None);
    let version = put(&store, "b", "1").await;
    assert_eq!(changes.next().await.unwrap().unwrap(), Change { key: "b".into(), version, kind: ChangeKind::Put });
}

#[tokio::test]
async fn a_bucket_that_was_removed_under_a_store_is_made_again() {
    let Some(server) = NatsServer::start_or_skip("a_bucket_that_was_removed_under_a_store_is_made_again") else { return };
    let clock = DrivenClock::new();
    let store = connect(&server.url("b"), clock.shared()).await;
    put(&store, "a", "1").await;
    server.ask("$JS.API.STREAM.DELETE.KV_b", &[], "").await;
    let mut call = store.get("a");
    assert!((&mut call).now_or_never().is_none());
    clock.advance(Duration::from_secs(2));
    assert!(is_unavailable(&call.await));
    put(&store, "a", "2").await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn listeners_see_each_change_of_the_nats_connection_until_the_store_is_dropped() {
    let Some(mut server) = NatsServer::start_or_skip("what_becomes_of_the_connection_is_reported_to_listeners") else { return };
    let store = connect(&server.url("b"), SystemClock::shared()).await;
    let mut states = store.connectivities();
    assert_eq!(states.next().await, Some(Connectivity { connected: true, connections: 1 }));
    server.kill();
    assert_eq!(states.next().await, Some(Connectivity { connected: false, connections: 1 }));
    server.start();
    assert_eq!(states.next().await, Some(Connectivity { connected: true, connections: 2 }));
    drop(store);
    while let Some(state) = states.next().await {
        assert_eq!(state, Connectivity { connected: false, connections: 2 });
    }
}

#[tokio::test]
async fn a_store_outlives_the_runtime_that_it_was_made_on() {
    let Some(server) = NatsServer::start_or_skip("a_store_outlives_the_runtime_that_it_was_made_on") else { return };
    let url = server.url("b");
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = connect(&url, SystemClock::shared()).await;
            put(&store, "a", "1").await;
            store
        })
    });
    let store = made.join().unwrap();
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
}
