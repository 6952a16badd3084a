//! Upright's peers with its defaults: five failures open the breaker, three retries, one second doubled up to a minute.

use anyhow::{Result, anyhow};
use backon::ExponentialBuilder;
use failsafe::StateMachine;
use failsafe::failure_policy::ConsecutiveFailures;
use recloser::{AsyncRecloser, Recloser};
use std::io;
use std::iter::Repeat;
use std::time::Duration;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use upright::types::BreakerConfig;

pub(super) const OPEN: Duration = Duration::from_secs(3600);
pub(super) const ANSWER: u64 = 42;
pub(super) const FAILURES: u32 = 5;
pub(super) const RETRIES: u32 = 3;
/// Time limit of an attempt.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn operation() -> io::Result<u64> {
    Ok(std::hint::black_box(ANSWER))
}

pub(super) async fn failing() -> io::Result<u64> {
    Err(io::Error::from(io::ErrorKind::ConnectionRefused))
}

pub(super) fn breaker_config() -> BreakerConfig {
    BreakerConfig { failure_threshold: FAILURES, recovery_timeout: OPEN.as_secs_f64(), ..BreakerConfig::default() }
}

pub(super) fn recloser() -> AsyncRecloser {
    Recloser::custom().error_rate(1.0).closed_len(FAILURES as usize).half_open_len(2).open_wait(OPEN).build().into()
}

pub(super) type Failsafe = StateMachine<ConsecutiveFailures<Repeat<Duration>>, ()>;

pub(super) fn failsafe() -> Failsafe {
    let policy = failsafe::failure_policy::consecutive_failures(FAILURES, std::iter::repeat(OPEN));
    failsafe::Config::new().failure_policy(policy).build()
}

pub(super) fn tower_breaker() -> Result<CircuitBreakerLayer> {
    CircuitBreakerLayer::builder()
        .consecutive_failures(FAILURES as usize)
        .permitted_calls_in_half_open(2)
        .wait_duration_in_open(OPEN)
        .build()
        .map_err(|error| anyhow!("{error:?}"))
}

pub(super) fn backon() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(60))
        .with_factor(2.0)
        .with_jitter()
        .with_max_times(RETRIES as usize)
}
