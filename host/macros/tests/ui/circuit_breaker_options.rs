//! Values that cannot work, and options that do not exist.
use upright_macros::with_circuit_breaker;

#[with_circuit_breaker(failure_threshold = 0, recovery_timeout = 0, success_threshold = 0, half_open_permits = 0)]
fn nothing() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker(threshold = 3)]
fn unknown() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker(max_retries = 3)]
fn of_the_other() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker(breaker = BREAKER, failure_threshold = 3)]
fn breaker_and_settings() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker(breaker = 5)]
fn no_breaker() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker(recovery_timeout = 60.0, recovery_timeout = 30.0)]
fn twice() -> Result<(), Error> {
    Ok(())
}

struct Error;

fn main() {}
