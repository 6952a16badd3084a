//! Three programs on one NATS server follow a published policy.

use crate::common::{alone, command};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::process::Child;
use upright_test_kit::command::{Ran, finish};
use upright_test_kit::folder::Folder;
use upright_test_kit::nats_server::NatsServer;

const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");
const CAUTIOUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/cautious/cautious.wasm");

async fn policy(state: &str, arguments: &[&str]) -> Ran {
    finish(command(None, &[&["policy"], arguments, &["--state", state, "--json"]].concat()), "").await
}

fn host(state: &str, name: &str, key: &str) -> Child {
    let mut command = command(None, &["demo", "--stay", "--state", state, "--host-name", name, "--trust", key]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.spawn().unwrap()
}

/// Polls until `holds`; returns how long it took.
async fn hosts(state: &str, what: &str, holds: impl Fn(&[Value]) -> bool) -> (Vec<Value>, Duration) {
    let began = Instant::now();
    loop {
        let shown = policy(state, &["fleet"]).await;
        let hosts = shown.json().first().and_then(|shown| shown["hosts"].as_array().cloned()).unwrap_or_default();
        if holds(&hosts) {
            return (hosts, began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{what}: {shown:?}");
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
    let scratch = Folder::new("fleet");
    let path = |name: &str| scratch.text(name);
    let (key, trusted) = (path("key"), path("key.pub"));
    alone(&["policy", "keygen", &key], "").await.ends_with(0);
    let signed = async |component: &str, name: &str, revision: &str| {
        std::fs::copy(component, path(name)).unwrap();
        alone(&["policy", "sign", &path(name), "--key", &key, "--revision", revision], "").await.ends_with(0);
        path(name)
    };
    let (steady, cautious) = (signed(STEADY, "steady.wasm", "1").await, signed(CAUTIOUS, "cautious.wasm", "2").await);
    let host = |state: &str, name: &str| host(state, name, &trusted);
    let mut running = ["a", "b", "c"].map(|name| host(&state, name));
    hosts(&state, "all are there", |hosts| hosts.len() == 3).await;

    let began = Instant::now();
    policy(&state, &["publish", &steady]).await.ends_with(0);
    let (_, took) = hosts(&state, "all run it", |hosts| all(hosts, 3, runs("upright-steady"))).await;
    println!("published in {:?}, and then active on three hosts within {took:?}", began.elapsed() - took);

    // A file that is no policy is not published; an unsigned policy is active nowhere.
    policy(&state, &["publish", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]).await.ends_with(2);
    policy(&state, &["publish", CAUTIOUS]).await.ends_with(0);
    let refused = |host: &Value| runs("upright-steady")(host) && host["refused"].as_str().is_some_and(|why| why.contains("not signed"));
    hosts(&state, "all refuse it", |hosts| all(hosts, 3, refused)).await;

    // Its last report remains after SIGKILL.
    running[2].kill().await.unwrap();
    policy(&state, &["publish", &cautious]).await.ends_with(0);
    let (_, _) = hosts(&state, "the others run it", |hosts| hosts.iter().filter(|host| runs("upright-cautious")(host)).count() == 2).await;
    running[2] = host(&state, "c");
    hosts(&state, "it does, too, when it is started again", |hosts| all(hosts, 3, runs("upright-cautious"))).await;

    server.kill();
    assert!(running.iter_mut().all(|host| host.try_wait().unwrap().is_none()), "a host ended with the server");
    server.start();
    // Past the refused order to the one before.
    policy(&state, &["rollback"]).await.ends_with(0);
    policy(&state, &["rollback"]).await.ends_with(0);
    // The restarted host has never run it, and refuses a lower revision.
    let steady = |hosts: &[Value]| hosts.iter().filter(|host| runs("upright-steady")(host)).count();
    let lower = |host: &Value| host["refused"].as_str().is_some_and(|why| why.contains("revision"));
    let back =
        |hosts: &[Value]| hosts.len() == 3 && steady(hosts) >= 2 && steady(hosts) + hosts.iter().filter(|host| lower(host)).count() == 3;
    hosts(&state, "all went back that had run it", back).await;
    assert!(running.iter_mut().all(|host| host.try_wait().unwrap().is_none()));
}
