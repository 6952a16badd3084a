//! `upright exec`: runs a command, and retries it if its exit code and standard error suggest that this helps.
//!
//! The command must not notice: its streams and its exit code pass unchanged, except when the circuit breaker rejects
//! it or the deadline passes.

mod attempts;
mod becoming;
mod breaker;
mod codes;
mod ending;
mod failure;
mod household;
mod input;
mod listening;
mod meaning;
mod processes;
mod reach;
mod running;
mod signals;
mod stderr;
mod words;

pub(crate) use becoming::serve_another;

use super::address::address;
use crate::exit::Failure;
use crate::output::{Output, complain, span};
use crate::values;
use attempts::{Attempts, Terms};
use breaker::Breaker;
use ending::{Ending, Outcome, Report};
use failure::CommandFailure;
use input::Input;
use signals::Signals;
use std::ffi::OsString;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use upright::events::Events;
use upright::types::{BreakerConfig, RetryConfig};
use upright::{Event, PolicySlot, RetryStrategy};

pub(crate) fn fault_of_exit(program: &std::ffi::OsStr, code: u8, words: &str) -> upright::types::Fault {
    let (says, _) = codes::of_code(program, code);
    meaning::meaning(program, says, words, &PolicySlot::native()).fault
}

/// Run a command, and retry it when that can help
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
The exit code is that of the last attempt, or 128 plus the signal's number if a signal ended it.
124: the attempt exceeded --attempt-timeout. 4: the deadline has passed.
3: the circuit breaker rejected the command. 2: these arguments are wrong.
If the fallback ran, the exit code is the fallback's.

Example: upright exec --retries 5 --deadline 60 -- curl -fsS http://127.0.0.1:8080/health"
)]
pub(crate) struct ExecArguments {
    /// Command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// Number of retries after the first attempt
    #[arg(long, value_name = "N", default_value = "3", value_parser = values::retries)]
    retries: u32,

    /// Delay before the first retry, seconds; doubles with each further retry
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = values::span)]
    base_delay: Duration,

    /// Maximum delay before a retry, seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::span)]
    max_delay: Duration,

    /// Time limit of one attempt, seconds; all that it has started then gets SIGTERM, and SIGKILL two seconds later
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    attempt_timeout: Option<Duration>,

    /// Time limit of all attempts and delays together, seconds
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    deadline: Option<Duration>,

    /// Exit code that is always retried, 1 to 255; repeatable, or separated by commas
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = values::exit_code)]
    retry_on: Vec<u8>,

    /// Name of a circuit breaker shared by all programs on the same state; while it is open the command is not run
    #[arg(long, value_name = "NAME", value_parser = values::breaker)]
    breaker: Option<String>,

    /// Number of consecutive failures that open the circuit breaker
    #[arg(long, value_name = "N", default_value = "5", value_parser = values::failures, requires = "breaker")]
    failure_threshold: u32,

    /// Time the circuit breaker stays open, seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::seconds, requires = "breaker")]
    recovery_timeout: Duration,

    /// State store of the circuit breaker: a file, a folder, or nats://HOST:PORT [default: UPRIGHT_STATE, else this
    /// user's shared state file]
    #[arg(long, value_name = "STATE", requires = "breaker")]
    state: Option<String>,

    /// Command for sh, run after the last failure or a rejection; sees UPRIGHT_EXIT_CODE and UPRIGHT_REASON
    #[arg(long, value_name = "COMMAND", value_parser = values::shell_command)]
    fallback: Option<String>,

    /// Hide progress messages; errors are still printed
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) async fn run(arguments: ExecArguments, output: &Output) -> anyhow::Result<ExitCode> {
    if output.json {
        return Err(Failure::bad_input("--json: standard output belongs to the command; expected no --json").into());
    }
    if arguments.command.first().is_some_and(|program| program.is_empty()) {
        return Err(Failure::bad_input("<COMMAND>: \"\"; expected a command to run").into());
    }
    // Natively: a command that succeeds should not wait for WebAssembly.
    let policy = PolicySlot::native();
    let events = Events::default();
    let strategy = strategy(&arguments, &policy, &events).map_err(Failure::bad_input)?;
    let repeated = arguments.retries > 0;
    let input = Input::new(repeated || arguments.fallback.is_some());
    let terms = Terms {
        command: &arguments.command,
        limit: arguments.attempt_timeout,
        retry_on: &arguments.retry_on,
        breaker: breaker(&arguments, &policy).await?,
        policy,
        repeated,
    };
    let attempts = Attempts::new(terms, input);
    let mut signals = Signals::listen()?;
    let outcome = outcome(&strategy, &attempts, &events, &mut signals, arguments.quiet).await;
    attempts.finish(arguments.deadline).await;
    let mut ending = Ending::of(&outcome, &attempts, arguments.deadline);
    if attempts.is_interrupted() {
        ending.replaceable = false;
    }
    match &arguments.fallback {
        Some(command) if ending.replaceable => fall_back(command, &ending, &attempts, &mut signals, arguments.quiet).await,
        _ => {
            attempts.let_live().await;
            ending.sentence.iter().for_each(complain);
            Ok(ending.code.into())
        }
    }
}

fn strategy(arguments: &ExecArguments, policy: &PolicySlot, events: &Events) -> Result<RetryStrategy, upright::error::ConfigurationError> {
    let config = RetryConfig {
        max_retries: arguments.retries,
        base_delay: arguments.base_delay.as_secs_f64(),
        max_delay: arguments.max_delay.as_secs_f64(),
        ..RetryConfig::default()
    };
    let builder = RetryStrategy::builder()
        .name("exec")
        .config(config)
        // The shared breaker wraps each attempt instead.
        .use_circuit_breaker(false)
        .policy(policy.clone())
        .events(events.clone())
        .fault_reader(|error| error.downcast_ref::<CommandFailure>().map(|failure| failure.fault.clone()));
    // The attempt itself enforces its timeout, to end what it has started.
    arguments.deadline.into_iter().fold(builder, |builder, deadline| builder.deadline(deadline)).build()
}

async fn breaker(arguments: &ExecArguments, policy: &PolicySlot) -> Result<Option<Breaker>, Failure> {
    let Some(name) = &arguments.breaker else { return Ok(None) };
    let config = BreakerConfig {
        failure_threshold: arguments.failure_threshold,
        recovery_timeout: arguments.recovery_timeout.as_secs_f64(),
        ..BreakerConfig::default()
    };
    let address = address(arguments.state.as_deref())?;
    let breaker = Breaker::new(name, address, config, policy.clone(), arguments.quiet);
    if arguments.state.is_some() {
        breaker.open_named().await?;
    }
    Ok(Some(breaker))
}

async fn outcome(strategy: &RetryStrategy, attempts: &Attempts<'_>, events: &Events, signals: &mut Signals, quiet: bool) -> Outcome {
    let mut happened = events.subscribe();
    let mut execution = pin!(strategy.execute_accepting(|attempt| attempts.attempt(attempt.number), |_| true));
    let mut category = None;
    loop {
        tokio::select! {
            biased;
            Some(event) = happened.recv() => match event {
                Event::AttemptFailed { classification, .. } => category = Some(classification.category),
                Event::RetryScheduled { delay, .. } if !quiet => {
                    let report = Report(attempts);
                    let meaning = category.map_or("", |category| category.name());
                    let when = if delay.is_zero() { String::new() } else { format!(" in {}", span(delay)) };
                    complain(format_args!("{} failed ({}; {meaning}); trying again{when}", report.name(), report.last()));
                }
                _ => {}
            },
            received = signals.next() => {
                if let Some(code) = attempts.receive(received) {
                    return Outcome::Interrupted(code);
                }
            }
            ended = &mut execution => return Outcome::Ended(ended),
        }
    }
}

async fn fall_back(
    command: &str,
    ending: &Ending,
    attempts: &Attempts<'_>,
    signals: &mut Signals,
    quiet: bool,
) -> anyhow::Result<ExitCode> {
    if let (Some(sentence), false) = (&ending.sentence, quiet) {
        complain(format_args!("{sentence}; running the fallback"));
    }
    let environment = [("UPRIGHT_EXIT_CODE", ending.code.to_string()), ("UPRIGHT_REASON", ending.reason.to_owned())];
    let words = ["sh", "-c", command].map(OsString::from);
    let mut running = pin!(attempts.fallback(&words, &environment));
    loop {
        tokio::select! {
            received = signals.next() => drop(attempts.receive(received)),
            ended = &mut running => {
                return ended.map(ExitCode::from).map_err(|error| anyhow::Error::new(error).context("the fallback cannot be started"));
            }
        }
    }
}
