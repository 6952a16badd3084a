//! `upright demo`: recovery at work, on real HTTP, in a few seconds.
//!
//! Without `--ollama` a server inside this process plays a flaky Ollama: it replays Ollama's failures over real HTTP and says so. With it, the
//! chats go to that server, and the failures that a healthy server does not have are injected in front of it, which is said too.

mod acts;
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

/// Show recovery at work: retries, a breaker, other models, a cached answer, a policy swap, a checkpoint
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --ollama no Ollama is needed: a simulated flaky one runs inside this process. Ends by itself, unless it is told to --stay.

Example: upright demo --ollama http://127.0.0.1:11434")]
pub(crate) struct DemoArguments {
    /// Use this server instead of a simulated one
    #[arg(long, value_name = "URL", value_parser = values::host)]
    pub(crate) ollama: Option<BaseUrl>,

    /// The policy to swap in, in place of the one that comes with the demo
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Where randomness begins: equal seeds, equal delays
    #[arg(long, value_name = "N", default_value = "7", value_parser = values::seed)]
    pub(crate) seed: u64,

    /// Keep chatting with the flaky server, until interrupted
    #[arg(long, conflicts_with_all = ["ollama", "policy"])]
    pub(crate) stay: bool,

    /// The folder that the policies live in: what `upright policy swap --home` speaks to
    #[arg(long, value_name = "DIR", requires = "stay")]
    pub(crate) home: Option<PathBuf>,

    /// Let in only policies signed by this public key; can be given several times
    #[arg(long, value_name = "FILE", requires = "stay")]
    pub(crate) trust: Vec<PathBuf>,

    /// Keep breakers and checkpoints here, and follow what `upright policy publish --state` puts there: a file, or nats://HOST:PORT
    #[arg(long, value_name = "STATE", requires = "stay")]
    pub(crate) state: Option<String>,

    /// The name under which `upright policy fleet` shows this program [default: host name and process]
    #[arg(long, value_name = "NAME", requires = "state")]
    pub(crate) host_name: Option<String>,
}

/// Runs the demonstration. It is a success if everything that it promises to show was seen.
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
