//! Functions that cannot be guarded.
use std::future::Future;
use std::pin::Pin;
use upright_macros::{with_circuit_breaker, with_retry};

#[with_retry]
const fn constant() -> Result<(), Error> {
    Ok(())
}

#[with_circuit_breaker]
unsafe fn dangerous() -> Result<(), Error> {
    Ok(())
}

#[with_retry]
extern "C" fn foreign() -> Result<(), Error> {
    Ok(())
}

#[with_retry]
fn nothing() {}

#[with_circuit_breaker]
async fn pair() -> (u32, u32) {
    (1, 2)
}

#[with_retry]
fn text() -> &'static str {
    "text"
}

#[with_retry]
fn future() -> impl Future<Output = Result<(), Error>> {
    async { Ok(()) }
}

#[with_retry]
fn boxed() -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
    Box::pin(async { Ok(()) })
}

#[with_retry]
fn conditional(#[cfg(all())] number: u32) -> Result<u32, Error> {
    Ok(number)
}

struct Error;

fn main() {}
