//! Programs that share a NATS server lose no writes, even when one is killed.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use upright::RecoveryManager;
use upright::types::Phase;
use upright_system_tests::counting::{COUNTER, manager};
use upright_test_kit::nats_server::NatsServer;
use upright_test_kit::refused;
use upright_test_kit::wait::until;

fn host(url: &str, increments: u64) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store-program"));
    command.args(["count", url, &increments.to_string()]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn increments_of(host: &mut Child) -> u64 {
    BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok).count() as u64
}

#[tokio::test]
async fn two_hosts_that_count_to_ten_thousand_and_one_that_is_killed_lose_no_increment() {
    let Some(server) = NatsServer::start_or_skip("two_hosts_that_count_to_ten_thousand_and_one_that_is_killed_lose_no_increment") else {
        return;
    };
    let url = server.url("counting");
    let mut hosts = [host(&url, 5_000), host(&url, 5_000)];
    let mut killed = host(&url, u64::MAX);
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut of_the_killed = lines.by_ref().take(200).count() as u64;
    killed.kill().unwrap();
    killed.wait().unwrap();
    of_the_killed += lines.count() as u64;
    assert!(of_the_killed >= 200);
    for host in &mut hosts {
        assert_eq!(increments_of(host), 5_000);
        assert!(host.wait().unwrap().success());
    }
    let counted = manager(&url).restore_checkpoint::<u64>(COUNTER).await.unwrap().unwrap();
    println!("counted to {counted}: 10,000 by two hosts, {of_the_killed} by one that was killed");
    // The killed process may have saved one more without a report.
    assert!((10_000 + of_the_killed..=10_001 + of_the_killed).contains(&counted), "{counted}, {of_the_killed}");
}

fn fail(manager: &RecoveryManager) {
    for _ in 0..3 {
        manager.breakers().get("ollama").try_acquire().unwrap().failure(&refused());
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_pauses_sharing_and_nothing_else() {
    let Some(mut server) = NatsServer::start_or_skip("a_server_that_is_killed_and_started_again_pauses_sharing_and_nothing_else") else {
        return;
    };
    let url = server.url("breakers");
    let hosts = [manager(&url), manager(&url), manager(&url)];
    for host in &hosts {
        host.breakers_settled().await;
        host.breakers().get("ollama");
    }
    let state = |host: &RecoveryManager| host.breakers().get("ollama").state();
    let all_are = |phase| hosts.iter().all(|host| state(host) == phase);
    fail(&hosts[0]);
    until("all are open", async || all_are(Phase::Open)).await;
    hosts[1].breakers().get("ollama").reset();
    until("all are closed", async || all_are(Phase::Closed)).await;

    server.kill();
    fail(&hosts[2]);
    assert_eq!([state(&hosts[0]), state(&hosts[1]), state(&hosts[2])], [Phase::Closed, Phase::Closed, Phase::Open]);
    until("it was noticed", async || hosts[2].breaker_sharing().unwrap().failed > 0).await;
    hosts[0].breakers().get("ollama").try_acquire().unwrap().success();

    server.start();
    until("what happened meanwhile is known to all", async || all_are(Phase::Open)).await;
    let late = manager(&url);
    late.breakers_settled().await;
    assert_eq!(state(&late), Phase::Open);
}
