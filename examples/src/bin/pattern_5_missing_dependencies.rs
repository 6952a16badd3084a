//! Pattern 5, missing dependencies: check everything before work, name a remedy for each problem, and go on with less
//! if that suffices.
//!
//! ```console
//! $ cargo run --package upright-examples --bin pattern_5_missing_dependencies -- --model qwen3:8b --model gemma3:4b
//! ```
//!
//! One model suffices. Without any, or without a server, it exits with code 1.

use std::process::ExitCode;
use upright_examples::{Arguments, health};

/// Free memory below which it warns; GiB.
const MEMORY_WANTED: f64 = 4.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::read()?;
    let models = arguments.models_or(&["qwen3:8b", "gemma3:4b"]);
    let names: Vec<&str> = models.iter().map(String::as_str).collect();

    // One request for the server and one for all models, concurrently.
    let report = health(&arguments)?.check_all(&names).await;
    let mut issues: Vec<String> = report.iter().filter(|status| !status.healthy).map(|status| status.message.clone()).collect();
    let free = report.get("resources").and_then(|status| status.details["memory_available_gb"].as_f64());
    if let Some(free) = free.filter(|free| *free < MEMORY_WANTED) {
        issues.push(format!("Low memory: {free:.1} GB available, less than {MEMORY_WANTED} GB"));
    }
    if issues.is_empty() {
        println!("All startup checks passed.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("Startup issues found:");
    for issue in issues {
        println!("  - {issue}");
    }

    let usable = |name: &&&str| report.get(&format!("model:{name}")).is_some_and(|status| status.healthy);
    match names.iter().find(usable) {
        Some(model) => {
            println!("Going on with {model}.");
            Ok(ExitCode::SUCCESS)
        }
        None => {
            println!("There is no model to go on with.");
            Ok(ExitCode::FAILURE)
        }
    }
}
