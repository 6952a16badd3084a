//! Serves a real small model over the Ollama protocol, for manual trials and for the test that kills a rig's parent.
//!
//! `cargo run -p upright-system-tests --bin real-model` prints both addresses and runs until its input ends.

use std::io::Read;
use upright_test_kit::rig::{Rig, RigError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RigError> {
    let rig = Rig::start().await?;
    println!("{} {} {}", rig.url(), rig.llama_url(), rig.model());
    // An unreadable input counts as its end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
