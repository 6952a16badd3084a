//! Three programs on one server of NATS that follow what is published to them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "../../upright/tests/nats_server/mod.rs"]
mod nats_server;

use common::{Ran, command, finish};
use nats_server::NatsServer;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::process::Child;

const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");
const CAUTIOUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/cautious/cautious.wasm");

async fn policy(state: &str, arguments: &[&str]) -> Ran {
    finish(command(None, &[&["policy"], arguments, &["--state", state, "--json"]].concat()), "").await
}

/// A program that stays, and that nobody reads.
fn host(state: &str, name: &str) -> Child {
    let mut command = command(None, &["demo", "--stay", "--state", state, "--host-name", name]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.spawn().unwrap()
}

/// The hosts, once what is wanted is true of them; and how long that took.
async fn hosts(state: &str, what: &str, holds: impl Fn(&[Value]) -> bool) -> (Vec<Value>, Duration) {
    let began = Instant::now();
    loop {
        let told = policy(state, &["fleet"]).await;
        let hosts = told.json().first().and_then(|told| told["hosts"].as_array().cloned()).unwrap_or_default();
        if holds(&hosts) {
            return (hosts, began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{what}: {told:?}");
    }
}

fn all(hosts: &[Value], count: usize, holds: impl Fn(&Value) -> bool) -> bool {
    hosts.len() == count && hosts.iter().all(holds)
}

fn runs(name: &str) -> impl Fn(&Value) -> bool {
    move |host| host["active"].as_str().is_some_and(|active| active.starts_with(name))
}

#[tokio::test]
async fn a_published_policy_is_active_on_three_hosts_a_bad_one_on_none_and_killing_a_host_or_the_server_loses_nothing() {
    let Some(mut server) = NatsServer::start_or_skip("a_published_policy_is_active_on_three_hosts") else { return };
    let state = server.url("fleet");
    let mut running = ["a", "b", "c"].map(|name| host(&state, name));
    hosts(&state, "all are there", |hosts| hosts.len() == 3).await;

    let began = Instant::now();
    policy(&state, &["publish", STEADY]).await.ends_with(0);
    let (_, took) = hosts(&state, "all run it", |hosts| all(hosts, 3, runs("upright-steady"))).await;
    println!("published in {:?}, and then active on three hosts within {took:?}", began.elapsed() - took);

    // What no host would let in is not published.
    let refused = policy(&state, &["publish", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]).await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    hosts(&state, "all run the one before", |hosts| all(hosts, 3, runs("upright-steady"))).await;

    // SIGKILL. What it had said of itself stays, and goes silent.
    running[2].kill().await.unwrap();
    policy(&state, &["publish", CAUTIOUS]).await.ends_with(0);
    let (_, _) = hosts(&state, "the others run it", |hosts| hosts.iter().filter(|host| runs("upright-cautious")(host)).count() == 2).await;
    running[2] = host(&state, "c");
    hosts(&state, "it does, too, when it is started again", |hosts| all(hosts, 3, runs("upright-cautious"))).await;

    server.kill();
    assert!(running.iter_mut().all(|host| host.try_wait().unwrap().is_none()), "a host ended with the server");
    server.start();
    policy(&state, &["rollback"]).await.ends_with(0);
    hosts(&state, "all went back", |hosts| all(hosts, 3, runs("upright-steady"))).await;
    assert!(running.iter_mut().all(|host| host.try_wait().unwrap().is_none()));
}
