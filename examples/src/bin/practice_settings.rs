//! Best practices 1 to 3: settings by kind of operation, and the reason for jitter.
//!
//! ```console
//! $ cargo run --package upright-examples --bin practice_settings
//! ```
//!
//! Calls nothing: it asks the policy for recommendations, and for the delays of clients that failed together.

use upright::types::Profile;
use upright::{PolicyLifecycle, RetryStrategy};

fn main() -> anyhow::Result<()> {
    let policy = PolicyLifecycle::default();
    println!("{:14}{:>8}{:>14}{:>14}", "operation", "retries", "first delay", "last delay");
    for profile in Profile::ALL {
        let retry = RetryStrategy::recommended(*profile, policy.clone()).jitter(false).build()?;
        let retries = retry.config().max_retries;
        let seconds = |attempt| retry.delay(attempt).as_secs_f64();
        println!("{:14}{retries:>8}{:>12.1} s{:>12.1} s", profile.name(), seconds(0), seconds(retries - 1));
    }

    for jitter in [false, true] {
        let retry = RetryStrategy::recommended(Profile::Network, policy.clone()).jitter(jitter).build()?;
        let delays: Vec<_> = (0..5).map(|_| format!("{:.2}", retry.delay(2).as_secs_f64())).collect();
        let meaning = if jitter { "they return one by one" } else { "they return all at once" };
        println!("Third delay of five clients with jitter {}: {} s; {meaning}.", if jitter { "on" } else { "off" }, delays.join(", "));
    }
    Ok(())
}
