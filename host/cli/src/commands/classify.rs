//! `upright classify`: classifies a failure natively, which starts faster than WebAssembly.

use crate::exit::Exit;
use crate::output::{BAD, FAINT, GOOD, Output};
use crate::values;
use serde::Serialize;
use std::process::ExitCode;
use std::time::SystemTime;
use upright::PolicySlot;
use upright::types::{Classification, Endpoint, Fault, FaultKind};
use upright_protocol::fault_of_answer;

/// Classify a failure for recovery
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Example: upright classify --status 503 --endpoint chat \"server busy, please try again\""
)]
pub(crate) struct ClassifyArguments {
    /// HTTP status of the answer, 100 to 599; with 200 to 299 the message is an error within the answer
    #[arg(long, value_name = "N", value_parser = values::status)]
    status: Option<u16>,

    /// Header of the answer, such as `retry-after: 2`; repeatable
    #[arg(long, value_name = "NAME: VALUE", value_parser = header, requires = "status")]
    header: Vec<(String, String)>,

    /// Kind of failure [default: http_status or stream_error with --status, else other]
    #[arg(long, value_parser = values::name::<FaultKind>(), hide_possible_values = true)]
    kind: Option<FaultKind>,

    /// Endpoint that was called
    #[arg(long, default_value = "other", value_parser = values::name::<Endpoint>())]
    endpoint: Endpoint,

    /// Error number of the operating system (Linux numbering), 1 to 4095
    #[arg(long, value_name = "N", value_parser = values::errno)]
    errno: Option<i32>,

    /// Delay before a retry that the server asked for, seconds
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds_or_none)]
    retry_after: Option<f64>,

    /// Exit code of a failed command, 1 to 255; the message is its standard error
    #[cfg(unix)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), conflicts_with = "status")]
    exit_code: Option<u8>,

    /// Name of that command, such as curl, for exit codes of its own
    #[cfg(unix)]
    #[arg(long, value_name = "NAME", requires = "exit_code", default_value = "")]
    program: std::ffi::OsString,

    /// Text of the failure; with --status, the body of the answer
    #[arg(required = true)]
    message: Vec<String>,
}

#[derive(Serialize)]
struct Classified {
    #[serde(flatten)]
    classification: Classification,
    action_text: &'static str,
}

pub(crate) fn run(arguments: &ClassifyArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let classification = PolicySlot::native().classify(&fault(arguments));
    let action_text = classification.action.text();
    if output.json {
        output.json_line(&Classified { classification, action_text })?;
    } else {
        output.print(&table(&classification, output))?;
    }
    Ok(Exit::Success.into())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected a name, a colon and a value, such as `retry-after: 2`")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn fault(arguments: &ClassifyArguments) -> Fault {
    let message = arguments.message.join(" ");
    let mut fault = match arguments.status {
        None => without_status(arguments, message),
        Some(status) => {
            let find = |name: &str| arguments.header.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            let kind = if status < 300 { FaultKind::StreamError } else { FaultKind::HttpStatus };
            Fault { kind, ..fault_of_answer(arguments.endpoint, status, find, message.as_bytes(), SystemTime::now()) }
        }
    };
    fault.kind = arguments.kind.unwrap_or(fault.kind);
    fault.endpoint = arguments.endpoint;
    fault.errno = arguments.errno;
    fault.retry_after = arguments.retry_after.or(fault.retry_after);
    fault
}

#[cfg(unix)]
fn without_status(arguments: &ClassifyArguments, message: String) -> Fault {
    match arguments.exit_code {
        Some(code) => super::exec::fault_of_exit(&arguments.program, code, &message),
        None => Fault::new(FaultKind::Other, message),
    }
}

#[cfg(not(unix))]
fn without_status(_: &ClassifyArguments, message: String) -> Fault {
    Fault::new(FaultKind::Other, message)
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
        ("other model", yes(classification.model_specific)),
        ("other host", yes(classification.host_specific)),
        ("action", classification.action.text().to_owned()),
        ("rule", classification.rule.clone()),
    ];
    rows.iter().map(|(name, value)| format!("{}  {value}\n", output.paint(FAINT, format_args!("{name:<11}")))).collect()
}
