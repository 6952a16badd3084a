//! Serves the real small model over the Ollama protocol until it is stopped: to try Upright by hand, and for the test that kills
//! the process that started a rig.
//!
//! `cargo run -p upright-system-tests --bin real-model` prints the two addresses, then waits for the end of its input.

use std::io::Read;
use upright_system_tests::rig::{Rig, RigError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RigError> {
    let rig = Rig::start().await?;
    println!("{} {} {}", rig.url(), rig.llama_url(), rig.model());
    // An unreadable input counts as its end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
