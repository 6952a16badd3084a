//! `upright policy publish`, `fleet`, and `rollback --state`: one policy for many programs.

use super::keys;
use super::running::ShadowFlags;
use crate::commands::address::StateArgument;
use crate::commands::block_on;
use crate::exit::{Exit, Failure};
use crate::output::{BAD, FAINT, Output, one_line, printable, span};
use crate::values;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use upright_operations::PolicyFleet;
use upright_operations::fleet::{HostStatus, Order, PublishOptions};

/// Publish a policy to all hosts that share the state
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A signature in FILE.sig is published too. Each host verifies the policy by its own rules and
swaps it in or refuses it; `upright policy fleet` shows the results.

Example: upright policy publish policy.wasm --state nats://10.0.0.1:4222")]
pub(super) struct PublishArguments {
    /// WebAssembly component
    file: PathBuf,

    #[command(flatten)]
    state: StateArgument,

    #[command(flatten)]
    shadow: ShadowFlags,

    /// Probation of the new policy, seconds; after it the policy counts as good [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = values::span)]
    probation: Option<Duration>,

    /// Publish only if signed by this public key; repeatable
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
}

/// Show which host runs which policy
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The exit code is 1 if a host has refused the policy or is silent.\n\nExample: upright policy fleet --state nats://10.0.0.1:4222"
)]
pub(super) struct FleetArguments {
    #[command(flatten)]
    state: StateArgument,
}

pub(super) fn publish(arguments: &PublishArguments, output: &Output) -> anyhow::Result<ExitCode> {
    block_on(async {
        // Every host refuses a policy that fails the probe.
        let policy = keys::loader(&arguments.trust)?.from_file(&arguments.file).map_err(Failure::bad_input)?;
        let fleet = PolicyFleet::new(arguments.state.open_or_make().await?);
        let options = PublishOptions { shadow: arguments.shadow.request(), probation: arguments.probation };
        let order = fleet.publish(&policy, options).await?;
        tell(order, &fleet, output).await
    })
}

pub(super) fn roll_back(state: &StateArgument, output: &Output) -> anyhow::Result<ExitCode> {
    block_on(async {
        let fleet = PolicyFleet::new(state.open().await?);
        let order = fleet.roll_back().await?;
        tell(order, &fleet, output).await
    })
}

async fn tell(number: u64, fleet: &PolicyFleet, output: &Output) -> anyhow::Result<ExitCode> {
    let order = fleet.order().await?.filter(|order| order.number == number);
    if output.json {
        output.json_line(&json!({ "order": number, "policy": order.as_ref().and_then(|order| order.published.policy.clone()) }))?;
    } else {
        let named = order.as_ref().map_or_else(|| "superseded by a newer order".to_owned(), named);
        output.line(format_args!("order {number}: {named}"))?;
    }
    Ok(Exit::Success.into())
}

fn named(order: &Order) -> String {
    let policy = order.published.policy.as_deref().unwrap_or("the built-in policy");
    format!("{}{}", if order.rolls_back { "back to " } else { "" }, printable(policy))
}

pub(super) fn fleet(arguments: &FleetArguments, output: &Output) -> anyhow::Result<ExitCode> {
    block_on(async {
        let fleet = PolicyFleet::new(arguments.state.open().await?);
        let (order, hosts) = (fleet.order().await?, fleet.hosts().await?);
        let now = u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        if output.json {
            let reported = hosts.iter().map(|host| {
                let mut reported = serde_json::to_value(host)?;
                reported["silent"] = fleet.is_silent(host).into();
                Ok(reported)
            });
            output.json_line(&json!({ "order": order, "hosts": reported.collect::<anyhow::Result<Vec<_>>>()? }))?;
        } else {
            output.line(
                order
                    .as_ref()
                    .map_or_else(|| "nothing is published".to_owned(), |order| format!("order {}: {}", order.number, named(order))),
            )?;
            for host in &hosts {
                output.line(host_text(host, order.as_ref(), fleet.is_silent(host).then(|| age(host, now)), output))?;
            }
        }
        let troubled = hosts.iter().filter(|host| host.refused.is_some() || fleet.is_silent(host)).count();
        if troubled > 0 {
            return Err(Failure::new(Exit::Failed, format!("{troubled} of {} hosts refuse the policy or are silent", hosts.len())).into());
        }
        Ok(Exit::Success.into())
    })
}

fn age(host: &HostStatus, now: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(host.unix_milliseconds))
}

/// `silent` is the time since a silent host's last report.
fn host_text(host: &HostStatus, order: Option<&Order>, silent: Option<Duration>, output: &Output) -> String {
    let (name, active) = (printable(&host.host), printable(&host.active));
    let digest = host.digest.as_deref().and_then(|digest| digest.get(..12)).unwrap_or_default();
    let stands = match (&host.refused, host.stage) {
        _ if silent.is_some() => output.paint(BAD, format_args!("silent for {}", span(silent.unwrap_or_default()))),
        (Some(refused), _) => output.paint(BAD, format_args!("refused: {}", one_line(refused))),
        _ if host.order != order.map(|order| order.number) => "has not handled the order yet".to_owned(),
        (None, Some(stage)) => stage.to_string(),
        (None, None) => String::new(),
    };
    format!("{}  {name:<24}  {active}  {}  {stands}", output.mark(host.refused.is_none() && silent.is_none()), output.paint(FAINT, digest))
}
