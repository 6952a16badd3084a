//! Arguments that cannot be handed out twice.
use upright_macros::{with_circuit_breaker, with_retry};

#[with_retry]
fn append(list: &mut Vec<u32>) -> Result<(), Error> {
    list.push(1);
    Ok(())
}

#[with_circuit_breaker(fallback = nothing)]
async fn appended(number: u32, list: &mut Vec<u32>) -> Result<(), Error> {
    list.push(number);
    Ok(())
}

struct Client;

impl Client {
    #[with_retry(max_retries = 5)]
    async fn send(&mut self) -> Result<(), Error> {
        Ok(())
    }

    #[with_retry]
    fn typed(self: &mut Self) -> Result<(), Error> {
        Ok(())
    }
}

struct Error;

fn main() {}
