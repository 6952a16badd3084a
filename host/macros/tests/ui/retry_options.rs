//! Values that cannot work, and options that do not exist.
use upright_macros::with_retry;

#[with_retry(max_retries = -1)]
fn negative() -> Result<(), Error> {
    Ok(())
}

#[with_retry(max_retries = 2.5, base_delay = -0.5, max_delay = 1e9, backoff_factor = 0.5)]
fn several() -> Result<(), Error> {
    Ok(())
}

#[with_retry(jitter = 1, deadline = 0, idempotent = "no", name = "")]
fn other_types() -> Result<(), Error> {
    Ok(())
}

#[with_retry(retries = 3)]
fn unknown() -> Result<(), Error> {
    Ok(())
}

#[with_retry(failure_threshold = 3)]
fn of_the_other() -> Result<(), Error> {
    Ok(())
}

#[with_retry(max_retries = 3, base_delay = 1.0, max_retries = 4)]
fn twice() -> Result<(), Error> {
    Ok(())
}

#[with_retry(jitter)]
fn without_value() -> Result<(), Error> {
    Ok(())
}

#[with_retry(max_retries(3))]
fn in_parentheses() -> Result<(), Error> {
    Ok(())
}

#[with_retry("3")]
fn without_name() -> Result<(), Error> {
    Ok(())
}

#[with_retry(strategy = STRATEGY, max_retries = 3, name = "search")]
fn strategy_and_settings() -> Result<(), Error> {
    Ok(())
}

#[with_retry(strategy = "default")]
fn no_strategy() -> Result<(), Error> {
    Ok(())
}

#[with_retry(fallback = || Ok(()))]
fn closure() -> Result<(), Error> {
    Ok(())
}

#[with_retry(crate = "upright")]
fn quoted() -> Result<(), Error> {
    Ok(())
}

#[with_retry(attempt_timeout = 5.0)]
fn cannot_be_stopped() -> Result<(), Error> {
    Ok(())
}

struct Error;

fn main() {}
