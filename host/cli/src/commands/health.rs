//! `upright health`: checks the server, its models and this machine.

use crate::exit::{Exit, Failure};
use crate::output::{FAINT, Output};
use crate::values;
use serde_json::json;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use upright::HealthCheck;
use upright::health::HealthReport;
use upright::ollama::BaseUrl;

/// Time limit for the first processor load sample, which takes 200 ms.
const PATIENCE_FOR_LOAD: Duration = Duration::from_millis(400);
const LOOK: Duration = Duration::from_millis(20);
/// Clears the screen from the upper left corner.
const REDRAW: &str = "\u{1b}[H\u{1b}[J";
const WIPE: &str = "\u{1b}[2J";

/// Check the server, its models and this machine
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true, after_help = "Example: upright health --model qwen3:8b --load")]
pub(crate) struct HealthArguments {
    /// Model that must be available; repeatable
    #[arg(long = "model", value_name = "MODEL", value_parser = values::model)]
    models: Vec<String>,

    /// Load each model too, which alone reveals a damaged model file or a broken installation
    #[arg(long, requires = "models")]
    load: bool,

    /// Time limit for loading a model, seconds [default: 600]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds, requires = "load")]
    load_timeout: Option<Duration>,

    /// Repeat the checks until Ctrl-C
    #[arg(long)]
    watch: bool,

    /// Interval between checks, seconds [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds, requires = "watch")]
    interval: Option<Duration>,

    /// Time limit of one check, seconds [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    timeout: Option<Duration>,

    /// Server address [default: OLLAMA_HOST, else http://127.0.0.1:11434]
    #[arg(long, value_name = "URL", value_parser = values::host)]
    host: Option<BaseUrl>,
}

pub(crate) async fn run(arguments: HealthArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let mut builder = HealthCheck::builder(super::address(arguments.host)?);
    if let Some(timeout) = arguments.timeout {
        builder = builder.timeout(timeout);
    }
    if let Some(timeout) = arguments.load_timeout {
        builder = builder.load_timeout(timeout);
    }
    let health = builder.build().map_err(Failure::bad_input)?;
    let models: Vec<&str> = arguments.models.iter().map(String::as_str).collect();
    if !arguments.watch {
        let report = checked(&health, &models, arguments.load).await;
        show(&report, output)?;
        return Ok(if report.is_healthy() { Exit::Success } else { Exit::Failed }.into());
    }
    let interval = arguments.interval.unwrap_or(Duration::from_secs(2));
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        outcome = watch(&health, &models, arguments.load, interval, output) => outcome.map(|never| match never {}).map_err(Into::into),
        outcome = interrupted => {
            outcome?;
            Ok(Exit::Success.into())
        }
    }
}

async fn checked(health: &HealthCheck, models: &[&str], loads: bool) -> HealthReport {
    let load = async {
        while health.resources().cpu_percent.is_none() {
            tokio::time::sleep(LOOK).await;
        }
    };
    // The check reports a missing sample.
    let (report, _) = tokio::join!(health.check_all(models), tokio::time::timeout(PATIENCE_FOR_LOAD, load));
    let resources = health.check_system_resources();
    let mut statuses: Vec<_> = report.into_iter().filter(|status| status.component != resources.component).collect();
    // In turn: two models might not fit into memory.
    for model in models.iter().filter(|_| loads) {
        statuses.push(health.check_model_loads(model).await);
    }
    statuses.into_iter().chain([resources]).collect()
}

/// Only a write error ends it.
async fn watch(
    health: &HealthCheck,
    models: &[&str],
    loads: bool,
    interval: Duration,
    output: &Output,
) -> io::Result<std::convert::Infallible> {
    let redraws = output.terminal && !output.json;
    if redraws {
        output.print(WIPE)?;
    }
    loop {
        let report = checked(health, models, loads).await;
        if redraws {
            output.print(REDRAW)?;
        }
        show(&report, output)?;
        if !output.json {
            let until = if redraws { format!("every {} s, until Ctrl-C\n", interval.as_secs_f64()) } else { "\n".to_owned() };
            output.print(&output.paint(FAINT, until))?;
        }
        tokio::time::sleep(interval).await;
    }
}

fn show(report: &HealthReport, output: &Output) -> io::Result<()> {
    if output.json {
        return output.json_line(&json!({ "healthy": report.is_healthy(), "components": report }));
    }
    let width = report.iter().map(|status| status.component.chars().count()).max().unwrap_or_default();
    let rows = report.iter().map(|status| {
        let message = crate::output::one_line(&status.message);
        format!("{}  {:<width$}  {message}\n", output.mark(status.healthy), status.component)
    });
    output.print(&rows.collect::<String>())
}
