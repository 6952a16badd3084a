//! `upright serve`: a gateway in front of Ollama.

use crate::exit::{Exit, Failure};
use crate::output::{FAINT, GOOD, Output};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use upright::PolicyLifecycle;
use upright::ollama::ENVIRONMENT_VARIABLE;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};

/// Interval at which the configuration file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Serve a gateway that recovers: clients of Ollama or OpenAI change one address
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright serve --upstream http://127.0.0.1:11434 --upstream http://192.168.1.20:11434")]
pub(crate) struct ServeArguments {
    /// Address to listen on [default: 127.0.0.1:11444]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    listen: Option<String>,

    /// Address of an Ollama; repeatable [default: OLLAMA_HOST, else http://127.0.0.1:11434]
    #[arg(long = "upstream", value_name = "URL", conflicts_with = "config")]
    upstreams: Vec<String>,

    /// Configuration in TOML; read again when it changes, and at SIGHUP
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print every key of the configuration with its default, and end
    #[arg(long)]
    print_config: bool,

    /// Everyone who reaches the address may use it, without a key
    #[arg(long)]
    open_to_everyone: bool,

    /// Number of worker threads [default: one for each processor]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    workers: usize,

    /// Neither recover nor judge, for measurements
    #[arg(long)]
    no_recovery: bool,
}

pub(crate) async fn run(arguments: ServeArguments, output: &Output) -> anyhow::Result<ExitCode> {
    if arguments.print_config {
        output.line(Config::documented().trim_end())?;
        return Ok(Exit::Success.into());
    }
    let mut config = configured(&arguments).map_err(Failure::bad_input)?;
    config.access.open_to_everyone |= arguments.open_to_everyone;
    config.check().map_err(Failure::bad_input)?;
    let policy = PolicyLifecycle::built_in();
    let options = StartOptions { workers: arguments.workers, recovers: !arguments.no_recovery };
    let gateway = Gateway::start(config, policy.slot().clone(), options).map_err(Failure::bad_input)?;
    report(&gateway, output)?;
    let mut seen = arguments.config.as_deref().and_then(modified);
    let mut events = Events::new()?;
    loop {
        let event = events.next().await;
        match (event, &arguments.config) {
            (Event::End, _) => break,
            (Event::Reload, None) | (Event::Tick, None) => {}
            (event, Some(path)) => {
                let now = modified(path);
                if event == Event::Reload || now != seen {
                    seen = now;
                    reload(&gateway, path);
                }
            }
        }
    }
    tokio::task::spawn_blocking(move || gateway.drain()).await?;
    Ok(Exit::Success.into())
}

fn configured(arguments: &ServeArguments) -> Result<Config, upright_gateway::config::ConfigError> {
    match &arguments.config {
        Some(path) => Config::read(path),
        None => Config::of_flags(arguments.listen.as_deref(), &arguments.upstreams, std::env::var(ENVIRONMENT_VARIABLE).ok().as_deref()),
    }
}

/// A bad file keeps the configuration in use.
fn reload(gateway: &Gateway, path: &Path) {
    let reloaded = Config::read(path).map_err(|error| error.to_string());
    match reloaded.and_then(|config| gateway.reload(&config).map_err(|error| error.to_string())) {
        Ok(needed) if needed.is_empty() => tracing::info!(target: "upright", file = %path.display(), "configuration reloaded"),
        Ok(needed) => {
            tracing::warn!(target: "upright", file = %path.display(), settings = ?needed, "configuration reloaded, but for settings that need a restart")
        }
        Err(error) => tracing::error!(target: "upright", %error, "the configuration stays as it was"),
    }
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn report(gateway: &Gateway, output: &Output) -> anyhow::Result<()> {
    let config = gateway.config();
    let upstreams: Vec<String> = config.upstreams.iter().map(|upstream| upstream.url.to_string()).collect();
    let address = format!("http://{}", gateway.address());
    if output.json {
        output.json_line(&json!({ "event": "listening", "address": address, "upstreams": upstreams }))?;
        return Ok(());
    }
    output.line(format!("{} {address}", output.paint(GOOD, "listening on")))?;
    output.line(format!("{} {}", output.paint(FAINT, "hosts"), upstreams.join(", ")))?;
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Reload,
    Tick,
    End,
}

struct Events {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Events {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { hangup: signal(SignalKind::hangup())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Reload,
            _ = self.terminate.recv() => Event::End,
            _ = tokio::signal::ctrl_c() => Event::End,
            () = tokio::time::sleep(LOOK) => Event::Tick,
        }
    }
}

#[cfg(not(unix))]
impl Events {
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Event::End,
            () = tokio::time::sleep(LOOK) => Event::Tick,
        }
    }
}
