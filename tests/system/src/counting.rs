//! Counts in a store that hosts share.

use upright::RecoveryManager;
use upright::store::StateAddress;
use upright::types::BreakerConfig;

/// Checkpoint of the number.
pub const COUNTER: &str = "counter";

/// A manager on the NATS store of this address. Three failures open its breakers for an hour.
pub fn manager(url: &str) -> RecoveryManager {
    let breaker = BreakerConfig { failure_threshold: 3, recovery_timeout: 3600.0, ..BreakerConfig::default() };
    RecoveryManager::builder().breaker(breaker).state(StateAddress::Nats(url.to_owned())).build().unwrap()
}

/// Adds 1 as often as `increments` says. Prints a line `counted NUMBER` after each.
pub fn run(url: &str, increments: &str) {
    let increments: u64 = increments.parse().unwrap();
    crate::block_on(async {
        let manager = manager(url);
        for _ in 0..increments {
            let counted = manager.checkpoints().at(COUNTER).update(|count: Option<u64>| count.unwrap_or(0) + 1).await.unwrap();
            println!("counted {counted}");
        }
    });
}
