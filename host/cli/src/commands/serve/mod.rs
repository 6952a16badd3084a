//! `upright serve`: a gateway in front of Ollama.

mod head;
mod service;
mod view;

use super::address::StateArgument;
use super::policy::keys;
use crate::exit::{Exit, Failure};
use crate::logging;
use crate::output::Output;
use service::State;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use upright::clock::SystemClock;
use upright::journal::Journal;
use upright::ollama::ENVIRONMENT_VARIABLE;
use upright::policy::SwapOptions;
use upright::{Policy, PolicyLifecycle};
use upright_core::breaker::BreakerSharing;
use upright_gateway::config::{self, Config, ConfigError, Listen};
use upright_gateway::serve::{Gateway, StartOptions};
use upright_operations::signature::Signature;
use view::Waiting;

/// Interval at which the files of the configuration and of the policy are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Maximum time for the breakers' state to be read at the start, and for its last changes to be written at the end.
const SETTLING: Duration = Duration::from_secs(1);

/// Events that are logged unless others are asked for.
const LOGGED: &str = "upright=info";

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

    /// Keep the breakers in this state store, which other programs share: a file, a folder, or nats://HOST:PORT
    /// [without a value: UPRIGHT_STATE, else this user's shared state file]
    #[arg(long, value_name = "STATE", num_args = 0..=1, conflicts_with = "no_recovery")]
    state: Option<Option<String>>,

    /// Number of worker threads [default: one for each processor]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    workers: usize,

    /// Pass requests and answers unread, for measurements
    #[arg(long)]
    no_recovery: bool,
}

pub(crate) async fn run(arguments: ServeArguments, verbose: bool, output: &Output) -> anyhow::Result<ExitCode> {
    if arguments.print_config {
        output.line(Config::documented().trim_end())?;
        return Ok(Exit::Success.into());
    }
    let view = log(verbose, output)?;
    let mut config = configured(&arguments).map_err(unusable)?;
    config.access.open_to_everyone |= arguments.open_to_everyone;
    config.check().map_err(Failure::bad_input)?;
    let mut source = Source::of(config.policy.clone());
    let (policy, journal) = deciding(&config)?;
    let state = arguments.state.map(|state| StateArgument::of(state).address()).transpose()?;
    let shared = state.map(|address| {
        let sharing = BreakerSharing::new(SystemClock::shared());
        let keeping = sharing.keep(address.when_needed(SystemClock::shared()));
        (sharing, keeping)
    });
    let (sharing, keeping) = shared.unzip();
    if let Some(keeping) = &keeping {
        // So the first request finds the breakers that are open. A store that does not answer is not waited for.
        let _ = tokio::time::timeout(SETTLING, keeping.settled()).await;
    }
    let options = StartOptions { workers: arguments.workers, recovers: !arguments.no_recovery, sharing };
    let gateway = Gateway::start(config, policy.slot().clone(), options).map_err(Failure::bad_input)?;
    let mut events = Events::new()?;
    let config_file = arguments.config.as_deref();
    let mut seen = files(config_file, &gateway.config().listen);
    head::show(&gateway, output)?;
    let printer = view.map(|waiting| waiting.print(*output)).transpose()?;
    service::report(State::Ready);
    loop {
        let event = events.next().await;
        // A terminal that was closed sends the signal that else asks for a reload.
        let is_left = event == Event::Reload && output.terminal && !std::io::stdout().is_terminal();
        if event == Event::End || is_left {
            break;
        }
        let (asked, now) = (event == Event::Reload, files(config_file, &gateway.config().listen));
        let is_read = asked || now != seen;
        if !is_read && Source::of(gateway.config().policy) == source {
            continue;
        }
        service::report(State::Reloading);
        if let Some(path) = config_file.filter(|_| is_read) {
            reload(&gateway, path, arguments.open_to_everyone);
        }
        seen = now;
        let now = Source::of(gateway.config().policy);
        if now != source || asked && now.policy.file.is_some() {
            if let Err(error) = swap(&policy, &now.policy) {
                tracing::error!(target: "upright", %error, "the policy stays as it was");
            }
            source = now;
        }
        service::report(State::Ready);
    }
    service::report(State::Stopping);
    tracing::info!(target: "upright", "draining");
    let drained = tokio::task::spawn_blocking(move || gateway.drain());
    let exit = tokio::select! {
        ended = drained => {
            ended?;
            tracing::info!(target: "upright", "drained");
            Exit::Success
        }
        () = events.end() => {
            tracing::warn!(target: "upright", "ended before the requests in flight");
            Exit::Interrupted
        }
    };
    if let Some(journal) = journal {
        journal.flush();
    }
    if let Some(keeping) = keeping {
        let _ = tokio::time::timeout(SETTLING, keeping.end()).await;
    }
    if let Some(printer) = printer {
        printer.end();
    }
    Ok(exit.into())
}

/// Starts the log. On a terminal people see a view of the events in place of it, unless they ask for both.
fn log(verbose: bool, output: &Output) -> anyhow::Result<Option<Waiting>> {
    if !output.terminal || output.json {
        return logging::start(verbose, Some(LOGGED)).map(|()| None);
    }
    let (view, waiting) = view::view();
    // A log that goes elsewhere stays.
    let usual = (!std::io::stderr().is_terminal()).then_some(LOGGED);
    logging::start_beside(view, verbose, usual).map(|()| Some(waiting))
}

/// The failure for a configuration that cannot be used, with the wrong place of its file.
fn unusable(error: ConfigError) -> Failure {
    match error {
        ConfigError::InFile { place, error, excerpt } => {
            Failure { excerpt: Some(excerpt), ..Failure::bad_input(format_args!("{place}: {error}")) }
        }
        other => Failure::bad_input(other),
    }
}

fn configured(arguments: &ServeArguments) -> Result<Config, ConfigError> {
    match &arguments.config {
        Some(path) => Config::read(path),
        None => Config::of_flags(arguments.listen.as_deref(), &arguments.upstreams, std::env::var(ENVIRONMENT_VARIABLE).ok().as_deref()),
    }
}

/// A bad file keeps the configuration in use.
fn reload(gateway: &Gateway, path: &Path, open_to_everyone: bool) {
    match reloaded(gateway, path, open_to_everyone) {
        Ok((changed, needed)) => {
            let settings = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
            tracing::info!(target: "upright", file = %path.display(), settings, "configuration reloaded");
            if !needed.is_empty() {
                tracing::warn!(target: "upright", settings = needed.join(", "), "settings that need a restart keep their values");
            }
        }
        Err(error) => {
            tracing::error!(target: "upright", %error, excerpt = error.excerpt.as_deref(), "the configuration stays as it was");
        }
    }
}

/// Names of the settings that have changed, and of those among them that need a restart.
fn reloaded(gateway: &Gateway, path: &Path, open_to_everyone: bool) -> Result<(Vec<String>, Vec<&'static str>), Failure> {
    let mut config = Config::read(path).map_err(unusable)?;
    config.access.open_to_everyone |= open_to_everyone;
    let changed = gateway.config().changed(&config);
    let needed = gateway.reload(&config).map_err(Failure::bad_input)?;
    Ok((changed, needed))
}

/// The configured policy, whose decisions the configured journal records.
fn deciding(config: &Config) -> Result<(PolicyLifecycle, Option<Journal>), Failure> {
    let journal = config.journal.file.as_ref().map(|file| Journal::builder().file(file).build());
    let journal = journal.transpose().map_err(Failure::bad_input)?;
    // The default policy decides natively: compiled it would take 20 MB and 60 ms of a gateway that never swaps it.
    let mut policy = PolicyLifecycle::native();
    if let Some(journal) = &journal {
        policy = policy.with_journal(journal.clone());
    }
    if config.policy.file.is_some() {
        swap(&policy, &config.policy)?;
    }
    Ok((policy, journal))
}

/// Makes the configured policy active. The active one stays if it is refused.
fn swap(policy: &PolicyLifecycle, config: &config::Policy) -> Result<(), Failure> {
    let options = SwapOptions::default();
    match &config.file {
        Some(file) => {
            let swapped = policy.swap_file(file, &keys::loader(&config.trusted_keys)?, &options);
            swapped.map_err(|error| Failure::bad_input(format_args!("{}: {error}", file.display())))?;
        }
        None => {
            Policy::built_in().and_then(|built_in| policy.swap(built_in, &options)).map_err(Failure::bad_input)?;
        }
    }
    Ok(())
}

/// Origin of the policy: its settings, and the state of each of its files.
#[derive(PartialEq)]
struct Source {
    policy: config::Policy,
    files: Vec<FileState>,
}

impl Source {
    fn of(policy: config::Policy) -> Self {
        let signature = policy.file.as_deref().map(Signature::path_for);
        let files = policy.file.iter().chain(&signature).chain(&policy.trusted_keys).map(|file| state(file)).collect();
        Self { policy, files }
    }
}

/// Time of the last change, and length.
type FileState = Option<(SystemTime, u64)>;

fn state(path: &Path) -> FileState {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// The states of the configuration's file, and of the files of its TLS.
fn files(config: Option<&Path>, listen: &Listen) -> Vec<FileState> {
    [config, listen.tls_certificate.as_deref(), listen.tls_key.as_deref()].into_iter().flatten().map(state).collect()
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
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Events {
    /// Ends when the program is asked to end.
    async fn end(&mut self) {
        while self.next().await != Event::End {}
    }
}

#[cfg(unix)]
impl Events {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let [hangup, terminate, interrupt] = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        Ok(Self { hangup: hangup?, terminate: terminate?, interrupt: interrupt? })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Reload,
            _ = self.terminate.recv() => Event::End,
            _ = self.interrupt.recv() => Event::End,
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

#[cfg(test)]
mod tests {
    use super::*;
    use upright_core::types::{Fault, FaultKind};
    use upright_operations::replay::{Replay, Replayer};
    use upright_operations::signature::SecretKey;
    use upright_test_kit::folder::Folder;

    const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");

    #[test]
    fn a_configured_policy_is_swapped_in_and_a_refused_one_leaves_the_active_one() {
        let folder = Folder::new("serve-policy");
        let key = SecretKey::generate().unwrap();
        let trusted = folder.write("key.pub", key.public().to_string());
        let unsigned = folder.write("unsigned.wasm", std::fs::read(STEADY).unwrap());
        let broken = folder.write("broken.wasm", "no component");
        let policy = PolicyLifecycle::built_in();
        for (file, trusted_keys, refused, active) in [
            (Some(&broken), vec![], true, "upright-default"),
            (Some(&unsigned), vec![trusted.clone()], true, "upright-default"),
            (Some(&unsigned), vec![folder.path("missing.pub")], true, "upright-default"),
            (Some(&unsigned), vec![], false, "upright-steady"),
            (Some(&broken), vec![], true, "upright-steady"),
            (None, vec![], false, "upright-default"),
        ] {
            let config = config::Policy { file: file.cloned(), trusted_keys };
            assert_eq!(swap(&policy, &config).is_err(), refused, "{config:?}");
            assert_eq!(policy.description().name, active, "{config:?}");
        }
    }

    #[test]
    fn a_change_of_the_policys_file_its_signature_or_a_trusted_key_is_seen() {
        let folder = Folder::new("serve-source");
        let policy = config::Policy { file: Some(folder.path("p.wasm")), trusted_keys: vec![folder.path("key.pub")] };
        let now = || Source::of(policy.clone());
        for file in [folder.path("p.wasm"), Signature::path_for(folder.path("p.wasm").as_path()), folder.path("key.pub")] {
            let before = now();
            assert!(before == now());
            std::fs::write(&file, "changed").unwrap();
            assert!(before != now(), "{}", file.display());
        }
        assert!(now() != Source::of(config::Policy::default()));
    }

    #[test]
    fn a_change_of_the_configuration_or_of_a_file_of_tls_is_seen() {
        let folder = Folder::new("serve-files");
        let config = folder.path("gateway.toml");
        let listen =
            Listen { tls_certificate: Some(folder.path("tls.crt")), tls_key: Some(folder.path("tls.key")), ..Config::default().listen };
        for file in [config.clone(), folder.path("tls.crt"), folder.path("tls.key")] {
            let before = files(Some(&config), &listen);
            assert_eq!(files(Some(&config), &listen), before);
            std::fs::write(&file, "changed").unwrap();
            assert_ne!(files(Some(&config), &listen), before, "{}", file.display());
        }
    }

    #[test]
    fn the_journal_records_decisions_that_replay_reads() {
        let folder = Folder::new("serve-journal");
        let file = folder.path("journal.jsonl");
        let journal = config::Journal { file: Some(file.clone()) };
        let (policy, journal) = deciding(&Config { journal, ..Config::default() }).unwrap();
        policy.slot().classify(&Fault::new(FaultKind::ConnectionRefused, "connection refused"));
        journal.unwrap().flush();
        let mut replay = Replay::new(Replayer::built_in().unwrap(), None);
        std::fs::read(&file).unwrap().split(|byte| *byte == b'\n').for_each(|line| replay.line(line));
        let report = replay.report();
        assert_eq!((report.entries, report.differing, report.unreadable.lines), (1, 0, 0));
    }
}
