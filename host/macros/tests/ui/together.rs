//! Attributes that contradict each other.
use upright_macros::{with_circuit_breaker, with_retry};

#[with_retry]
#[with_retry(max_retries = 5)]
fn twice() -> Result<(), Error> {
    Ok(())
}

#[with_retry]
#[with_circuit_breaker(fallback = other)]
fn fallback_inside() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker]
#[with_retry(use_circuit_breaker = true)]
fn two_breakers() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker(failure_threshold = 0)]
#[upright_macros::with_retry(max_retries = -1)]
fn both_wrong() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker]
#[with_retry(max_retries = 3)]
fn exclusive(list: &mut Vec<u32>) -> Result<(), Error> {
    list.push(1);
    Ok(())
}

struct Error;

fn main() {}
