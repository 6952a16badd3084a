//! `upright classify`: what a failure means. Decided natively, without WebAssembly, so that it answers at once.

use crate::exit::Exit;
use crate::output::{BAD, FAINT, GOOD, Output};
use crate::values;
use serde::Serialize;
use std::process::ExitCode;
use upright::PolicySlot;
use upright::types::{Classification, Endpoint, Fault, FaultKind};

/// Tell what a failure means for recovery
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Example: upright classify --status 503 --endpoint chat \"server busy, please try again\""
)]
pub(crate) struct ClassifyArguments {
    /// The HTTP status that the server answered with, 100 to 599
    #[arg(long, value_name = "N", value_parser = values::status)]
    status: Option<u16>,

    /// What is known of the failure's kind [default: http_status with --status, else other]
    #[arg(long, value_parser = values::name::<FaultKind>(), hide_possible_values = true)]
    kind: Option<FaultKind>,

    /// What was being called
    #[arg(long, default_value = "other", value_parser = values::name::<Endpoint>())]
    endpoint: Endpoint,

    /// The operating system's error number (Linux numbering), 1 to 4095
    #[arg(long, value_name = "N", value_parser = values::errno)]
    errno: Option<i32>,

    /// How long the server asked to be left alone, seconds
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds_or_none)]
    retry_after: Option<f64>,

    /// The failure's text
    #[arg(required = true)]
    message: Vec<String>,
}

/// A classification, with its action as a sentence.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    classification: Classification,
    action_text: &'static str,
}

pub(crate) fn run(arguments: &ClassifyArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let by_status = if arguments.status.is_some() { FaultKind::HttpStatus } else { FaultKind::Other };
    let fault = Fault {
        kind: arguments.kind.unwrap_or(by_status),
        status: arguments.status,
        errno: arguments.errno,
        endpoint: arguments.endpoint,
        message: arguments.message.join(" "),
        retry_after: arguments.retry_after,
    };
    let classification = PolicySlot::native().classify(&fault);
    let action_text = classification.action.text();
    if output.json {
        output.json_line(&Told { classification, action_text })?;
    } else {
        output.print(&table(&classification, output))?;
    }
    Ok(Exit::Success.into())
}

fn table(classification: &Classification, output: &Output) -> String {
    let yes = |holds: bool| if holds { output.paint(GOOD, "yes") } else { output.paint(BAD, "no") };
    let limit = classification.retry_limit.map_or_else(|| "none but the caller's".to_owned(), |limit| limit.to_string());
    let rows = [
        ("category", classification.category.to_string()),
        ("severity", classification.severity.to_string()),
        ("retryable", yes(classification.retryable)),
        ("retry limit", limit),
        ("counted", yes(classification.counted)),
        ("action", classification.action.text().to_owned()),
        ("rule", classification.rule.clone()),
    ];
    rows.iter().map(|(name, value)| format!("{}  {value}\n", output.paint(FAINT, format_args!("{name:<11}")))).collect()
}
