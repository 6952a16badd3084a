//! Does on a shared file what its standard input says, until that ends. Prints an answer to each line.

use std::io::{self, Write};
use std::path::Path;
use upright::error::Rejection;
use upright::store::StateAddress;
use upright::types::{BreakerConfig, Phase};
use upright::{CircuitBreaker, RecoveryManager};
use upright_operations::PolicyFleet;
use upright_test_kit::{patient, refused};

/// Recovery timeout of the breakers, seconds.
pub const TIMEOUT: u64 = 60;

/// A manager on the store in this file. Three failures open its breakers.
pub fn manager(file: impl AsRef<Path>) -> RecoveryManager {
    let breaker =
        BreakerConfig { failure_threshold: 3, success_threshold: 1, recovery_timeout: TIMEOUT as f64, ..BreakerConfig::default() };
    RecoveryManager::builder().breaker(breaker).state(StateAddress::File(file.as_ref().into())).build().unwrap()
}

fn answer(text: impl std::fmt::Display) {
    // One write, so that lines of a log do not mix with it.
    io::stdout().write_all(format!("{text}\n").as_bytes()).unwrap();
}

fn line() -> String {
    let mut line = String::new();
    if io::stdin().read_line(&mut line).unwrap() == 0 {
        std::process::exit(0);
    }
    line.trim().to_owned()
}

/// Prints `ready` once the breakers are those of the store, then obeys.
pub fn run(file: &str) {
    crate::block_on(obey(file));
}

async fn obey(file: &str) {
    let manager = manager(file);
    let loader = patient::loader();
    let fleet = PolicyFleet::new(manager.store());
    let _following = fleet.follow(manager.policy(), &loader, &std::process::id().to_string()).unwrap();
    let breaker = manager.breakers().get("ollama");
    manager.breakers_settled().await;
    answer("ready");
    loop {
        match line().split_whitespace().collect::<Vec<_>>().as_slice() {
            ["count", times] => {
                for _ in 0..times.parse().unwrap() {
                    manager.checkpoints().at("counter").update(|count: Option<u64>| count.unwrap_or(0) + 1).await.unwrap();
                }
                answer("counted");
            }
            ["fail"] => {
                (0..3).for_each(|_| drop(breaker.try_acquire().unwrap().failure(&refused())));
                answer(breaker.state());
            }
            ["reset"] => {
                breaker.reset();
                answer(breaker.state());
            }
            ["until", phase] => {
                while breaker.state().to_string() != *phase {
                    tokio::task::yield_now().await;
                }
                answer(phase);
            }
            ["probe"] => probe(&breaker).await,
            ["policy", name] => {
                while manager.policy().description().name != *name {
                    tokio::task::yield_now().await;
                }
                answer(name);
            }
            ["rest"] => {
                manager.save_checkpoint("rest", &1).await.unwrap();
                manager.breakers_settled().await;
                answer("rests");
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn probe(breaker: &CircuitBreaker) {
    let mut before = "";
    loop {
        let met = match breaker.try_acquire() {
            Ok(permit) if breaker.state() == Phase::HalfOpen => {
                answer("probing");
                match line().as_str() {
                    "well" => permit.success(),
                    _ => drop(permit.failure(&refused())),
                }
                "probing"
            }
            Ok(_) => return answer("closed"),
            Err(open) if open.rejection == Rejection::Probing => "rejected",
            Err(_) => "open",
        };
        if met != "probing" && met != before {
            answer(met);
        }
        before = met;
        tokio::task::yield_now().await;
    }
}
