//! Items that are not functions.
use upright_macros::{with_circuit_breaker, with_retry};

#[with_retry]
struct Client;

#[with_circuit_breaker]
impl Client {
    fn send(&self) {}
}

#[with_retry(max_retries = 3)]
trait Send {
    #[with_circuit_breaker]
    fn send(&self) -> Result<(), Error>;
}

#[with_retry]
mod network {}

#[with_circuit_breaker]
static CLIENT: Client = Client;

struct Error;

fn main() {}
