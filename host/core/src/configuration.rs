//! Validates settings; errors name setting, value and expected value.

use crate::clock::{self, DURATION_LIMIT};
use crate::error::ConfigurationError;
use crate::types::{BreakerConfig, RetryConfig};
use std::time::Duration;

type Checked = Result<(), ConfigurationError>;

fn span(setting: &'static str, seconds: f64) -> Checked {
    let fits = (0.0..=DURATION_LIMIT.as_secs_f64()).contains(&seconds);
    ConfigurationError::unless(fits, setting, seconds, "expected a number of seconds from 0 to 315360000")
}

/// Validates seconds above 0.
pub fn positive_span(setting: &'static str, seconds: f64) -> Result<Duration, ConfigurationError> {
    let fits = seconds > 0.0 && seconds <= DURATION_LIMIT.as_secs_f64();
    ConfigurationError::unless(fits, setting, seconds, "expected a number of seconds above 0, at most 315360000")?;
    Ok(clock::seconds(seconds))
}

fn at_least_one(setting: &'static str, number: u32) -> Checked {
    ConfigurationError::unless(number >= 1, setting, number, "expected at least 1")
}

/// Validates retry settings.
pub fn retry(config: &RetryConfig) -> Checked {
    span("base_delay", config.base_delay)?;
    span("max_delay", config.max_delay)?;
    let factor = config.backoff_factor;
    ConfigurationError::unless((1.0..=1e6).contains(&factor), "backoff_factor", factor, "expected a number from 1 to 1000000")?;
    let (low, high) = (config.jitter_range.low, config.jitter_range.high);
    let fits = (0.0..=1e6).contains(&low) && (low..=1e6).contains(&high);
    let range = format!("{low} to {high}");
    ConfigurationError::unless(fits, "jitter_range", range, "expected low from 0 up to high, and high at most 1000000")
}

/// Validates breaker settings.
pub fn breaker(config: &BreakerConfig) -> Checked {
    at_least_one("failure_threshold", config.failure_threshold)?;
    positive_span("recovery_timeout", config.recovery_timeout)?;
    at_least_one("success_threshold", config.success_threshold)?;
    at_least_one("half_open_permits", config.half_open_permits)?;
    at_least_one("minimum_calls", config.minimum_calls)?;
    let (window, rate) = (config.failure_window, config.failure_rate_threshold);
    let fits = window > 0.0;
    ConfigurationError::unless(fits, "failure_window", window, "expected a number of seconds above 0, or infinity for no limit")?;
    let share = "expected a share above 0; above 1 turns it off";
    ConfigurationError::unless(rate > 0.0, "failure_rate_threshold", rate, share)?;
    config.slow_call_duration.map(|duration| positive_span("slow_call_duration", duration)).transpose()?;
    let slow = config.slow_call_rate_threshold;
    ConfigurationError::unless(slow > 0.0, "slow_call_rate_threshold", slow, share)
}

/// Validates a time limit.
pub fn limit(setting: &'static str, limit: Duration) -> Checked {
    let fits = !limit.is_zero();
    ConfigurationError::unless(fits, setting, "0 s", "expected more than 0 s; leave it out for no limit")
}
