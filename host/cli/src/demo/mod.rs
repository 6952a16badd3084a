//! `upright demo`: shows recovery at work over real HTTP.
//!
//! A server in this process replays Ollama's failures. With `--ollama` the demo injects them in front of a real server.

mod acts;
mod gateway;
mod screen;
mod stage;
mod stay;
mod summary;
mod trouble;

use crate::exit::Exit;
use crate::output::Output;
use crate::values;
use screen::Screen;
use stage::Stage;
use std::path::PathBuf;
use std::process::ExitCode;
use upright::ollama::BaseUrl;

/// Show recovery at work: retries, a breaker, fallback models, a policy swap, a gateway, a cached answer, a checkpoint
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --ollama a simulated, flaky Ollama runs inside this process. The demo ends by itself,
unless --stay is given.

Example: upright demo --ollama http://127.0.0.1:11434")]
pub(crate) struct DemoArguments {
    /// Use this server instead of a simulated one
    #[arg(long, value_name = "URL", value_parser = values::host)]
    pub(crate) ollama: Option<BaseUrl>,

    /// Policy to swap in [default: one that comes with the demo]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Seed of the random numbers; the same seed gives the same delays
    #[arg(long, value_name = "N", default_value = "7", value_parser = values::seed)]
    pub(crate) seed: u64,

    /// Keep chatting with the flaky server until interrupted
    #[arg(long, conflicts_with_all = ["ollama", "policy"])]
    pub(crate) stay: bool,

    /// Home folder of the policies, for `upright policy swap --home`
    #[arg(long, value_name = "DIR", requires = "stay")]
    pub(crate) home: Option<PathBuf>,

    /// Accept only policies signed by this public key; repeatable
    #[arg(long, value_name = "FILE", requires = "stay")]
    pub(crate) trust: Vec<PathBuf>,

    /// Store for breakers, checkpoints and policies of `upright policy publish --state`: a file, or nats://HOST:PORT
    #[arg(long, value_name = "STATE", requires = "stay")]
    pub(crate) state: Option<String>,

    /// Name of this program in `upright policy fleet` [default: host name and process id]
    #[arg(long, value_name = "NAME", requires = "state")]
    pub(crate) host_name: Option<String>,
}

pub(crate) async fn run(arguments: DemoArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let stay = arguments.stay.then(|| stay::Stay::of(&arguments)).transpose()?;
    let mut stage = Stage::set(arguments).await?;
    let mut screen = Screen::new(output, stage.manager.subscribe());
    stage.introduce(&mut screen)?;
    if let Some(stay) = stay {
        stay.play(&stage, &mut screen).await?;
        stage.strike().await;
        return Ok(Exit::Success.into());
    }
    acts::play(&mut stage, &mut screen).await?;
    let missing = summary::show(&stage, &screen)?;
    stage.strike().await;
    Ok(if missing.is_empty() { Exit::Success } else { Exit::Failed }.into())
}
