//! `upright policy swap`, `shadow`, `rollback` and `history`: manage a running program's policies through its home
//! folder.

use crate::commands::address::StateArgument;
use crate::exit::{Exit, Failure};
use crate::output::{BAD, FAINT, Output};
use crate::values;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use upright::policy::{HistoryEntry, Stage};
use upright_operations::PolicyHome;
use upright_operations::home::{Reply, Request, ShadowRequest};

/// Time limit for the running program's reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// Swap a policy into a running program
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The program must keep its policies in a home folder, as `upright demo --stay --home DIR` does.
A signature in FILE.sig is handed over too.

Example: upright policy swap policy.wasm --home ~/.upright --shadow --promote-after 1000")]
pub(super) struct SwapArguments {
    /// WebAssembly component
    file: PathBuf,

    #[command(flatten)]
    home: HomeArgument,

    #[command(flatten)]
    shadow: ShadowFlags,

    /// Probation of the new policy, seconds; after it the policy counts as good [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = values::span)]
    probation: Option<Duration>,

    /// Accept a signed policy with a lower revision than the highest one seen
    #[arg(long)]
    allow_lower_revision: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShadowFlags {
    /// Run it in the shadow of the active policy first, without deciding
    #[arg(long)]
    shadow: bool,

    /// Share of the decisions that the shadow answers, above 0 and at most 1
    #[arg(long, value_name = "SHARE", requires = "shadow", default_value = "1", value_parser = values::share)]
    sample: f64,

    /// Number of decisions after which the shadow becomes active [default: never]
    #[arg(long, value_name = "N", requires = "shadow", value_parser = values::decisions)]
    promote_after: Option<u64>,

    /// Maximum number of differing decisions for --promote-after
    #[arg(long, value_name = "N", requires = "promote_after", default_value_t = 0)]
    disagreements: u64,
}

impl ShadowFlags {
    pub(super) fn request(&self) -> Option<ShadowRequest> {
        self.shadow.then_some(ShadowRequest { sample: self.sample, decisions: self.promote_after, disagreements: self.disagreements })
    }
}

#[derive(Debug, clap::Args)]
struct HomeArgument {
    /// Home folder of the running program's policies
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
}

/// Show the report of a running program's shadow: agreement, an example of each kind of disagreement, and both
/// latencies
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy shadow --home ~/.upright --promote")]
pub(super) struct ShadowArguments {
    #[command(flatten)]
    home: HomeArgument,

    /// Make the shadow the active policy
    #[arg(long, conflicts_with = "end")]
    promote: bool,

    /// End the shadow
    #[arg(long)]
    end: bool,
}

/// Roll back to the last good policy of a running program, or a whole fleet to the previously published policy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --home one program rolls back, without it all programs that follow the same state.

Example: upright policy rollback --state nats://10.0.0.1:4222")]
pub(super) struct RollbackArguments {
    /// Home folder of the running program's policies; without it the fleet on --state rolls back
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,

    #[command(flatten)]
    state: StateArgument,
}

/// Show the history of a program's policies
#[derive(Debug, clap::Args)]
#[command(after_help = "The program need not be running.\n\nExample: upright policy history --home ~/.upright")]
pub(super) struct HistoryArguments {
    #[command(flatten)]
    home: HomeArgument,
}

impl HomeArgument {
    /// Never creates the folder, where no program would answer.
    fn open(&self) -> Result<PolicyHome, Failure> {
        if !self.home.join("requests").is_dir() {
            let what = "not a home of policies; expected the folder that a running program was given as --home";
            return Err(Failure::bad_input(format!("{}: {what}", self.home.display())));
        }
        PolicyHome::open(&self.home).map_err(Failure::bad_input)
    }

    fn ask(&self, request: &Request, candidate: Option<&Path>) -> Result<Reply, Failure> {
        self.open()?.ask(request, candidate, PATIENCE).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
    }
}

pub(super) fn swap(arguments: &SwapArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let shadow = arguments.shadow.request();
    let (probation, allow_lower_revision) = (arguments.probation, arguments.allow_lower_revision);
    let reply = arguments.home.ask(&Request::Swap { shadow, probation, allow_lower_revision }, Some(&arguments.file))?;
    tell(&reply, output)
}

pub(super) fn rollback(arguments: &RollbackArguments, output: &Output) -> anyhow::Result<ExitCode> {
    match &arguments.home {
        Some(home) => tell(&HomeArgument { home: home.clone() }.ask(&Request::RollBack, None)?, output),
        None => super::fleet::roll_back(&arguments.state, output),
    }
}

pub(super) fn shadow(arguments: &ShadowArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let request = match (arguments.promote, arguments.end) {
        (true, _) => Request::Promote,
        (_, true) => Request::EndShadow,
        _ => Request::Status,
    };
    let reply = arguments.home.ask(&request, None)?;
    if let (Some(report), false) = (&reply.shadow, output.json) {
        output.print(&shadow_text(report, output))?;
    } else if reply.shadow.is_none() && reply.error.is_none() {
        return Err(Failure::new(Exit::Failed, "there is no shadow; `upright policy swap --shadow` starts one").into());
    }
    tell(&reply, output)
}

pub(super) fn history(arguments: &HistoryArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let entries = arguments.home.open()?.history().map_err(Failure::bad_input)?;
    for entry in &entries {
        if output.json {
            output.json_line(entry)?;
        } else {
            output.line(entry_text(entry, output))?;
        }
    }
    Ok(Exit::Success.into())
}

fn entry_text(entry: &HistoryEntry, output: &Output) -> String {
    let seconds = entry.unix_milliseconds / 1000;
    let time = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    let digest = entry.digest.as_deref().and_then(|digest| digest.get(..12)).unwrap_or_default();
    let (stage, policy) = (entry.stage.name(), &entry.policy);
    match &entry.refused {
        Some(refused) => {
            format!("{time}  {}  {policy}: {}", output.paint(BAD, format_args!("{:<11}", "refused")), crate::output::one_line(refused))
        }
        None => format!("{time}  {stage:<11}  {policy}  {}", output.paint(FAINT, digest)),
    }
}

fn tell(reply: &Reply, output: &Output) -> anyhow::Result<ExitCode> {
    if output.json {
        output.json_line(reply)?;
    }
    if let Some(error) = &reply.error {
        return Err(Failure::new(Exit::Failed, format!("refused: {error}; {} stays active", reply.active)).into());
    }
    if !output.json {
        let stands = match reply.stage {
            Some(Stage::Shadow) => "the candidate is in the shadow; active stays",
            Some(Stage::RolledBack) => "rolled back; active is",
            Some(Stage::Retired) => "the shadow has ended; active stays",
            _ => "active:",
        };
        output.line(format_args!("{stands} {}", reply.active))?;
    }
    Ok(Exit::Success.into())
}

/// A `upright::policy::ShadowReport` in JSON.
fn shadow_text(report: &Value, output: &Output) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let latency = |value: &Value| {
        let microseconds = |name: &str| number(&value[name]) as f64 / 1e3;
        format!("median {:.2} µs, 99 % within {:.2} µs", microseconds("median_nanoseconds"), microseconds("percentile_99_nanoseconds"))
    };
    let mut lines = vec![
        format!(
            "candidate  {}  {}",
            text(&report["candidate"]),
            output.paint(FAINT, text(&report["digest"]).get(..12).unwrap_or_default())
        ),
        format!(
            "decisions  {}, of which {} differ ({:.2} % agree), {} dropped",
            number(&report["decisions"]),
            number(&report["disagreeing"]),
            report["agreement"].as_f64().unwrap_or_default() * 100.0,
            number(&report["dropped"])
        ),
        format!("active     {}", latency(&report["active"])),
        format!("shadow     {}", latency(&report["shadow"])),
    ];
    for disagreement in report["disagreements"].as_array().into_iter().flatten() {
        let example = &disagreement["example"];
        let candidate = example["candidate"].get("Ok").or_else(|| example["candidate"].get("Err")).unwrap_or(&Value::Null);
        lines.push(format!("{:>9}  {}", number(&disagreement["count"]), text(&disagreement["kind"])));
        lines.push(format!("           of     {}", example["incident"]["failure"]));
        lines.push(format!("           active {}", brief(&example["active"])));
        lines.push(format!("           shadow {}", brief(candidate)));
    }
    lines.iter().map(|line| crate::output::printable(line) + "\n").collect()
}

fn brief(verdict: &Value) -> String {
    match verdict {
        Value::String(error) => error.clone(),
        verdict => {
            let classification = &verdict["classification"];
            format!(
                "{} because {}, {} by rule {}",
                verdict["directive"], verdict["reason"], classification["category"], classification["rule"]
            )
        }
    }
}
