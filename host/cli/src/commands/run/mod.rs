//! `upright run`: asks a model until there is a whole answer or nothing more can be done.
//!
//! Half an answer must never pass for a whole one. A terminal shows tokens as they arrive; elsewhere nothing is written
//! before the answer is whole, unless `--stream` is given.

mod attempt;
mod ending;
mod prompts;
mod reporter;
mod screen;

use crate::commands::loading::Loading;
use crate::exit::{Exit, Failure};
use crate::output::{Output, complain};
use crate::values;
use attempt::{Answer, answer};
use prompts::Prompts;
use reporter::Reporter;
use screen::Screen;
use serde_json::Value;
use std::cell::RefCell;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use upright::degradation::cache_key;
use upright::ollama::{BaseUrl, ChatRequest, Message, OllamaClient, Timeouts};
use upright::types::RetryConfig;
use upright::{Error, HealthCheck, PolicyLifecycle, Recovered, RecoveryManager};
use upright_protocol::option_kind;

/// Time limit of a model lookup: a slow server must not delay the question.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Ask a model, with retries, fallback models and a circuit breaker
#[derive(Debug, clap::Args)]
#[command(
    mut_group("loading", |group| group.requires("policy")),
    allow_negative_numbers = true,
    after_help = "\
On a terminal the answer appears as it arrives. Elsewhere nothing is written before it is whole,
unless --stream is given. Without PROMPT, or with -, each line of standard input is one prompt.

Example: upright run qwen3:8b --fallback gemma3:4b \"Why is the sky blue?\""
)]
pub(crate) struct RunArguments {
    /// Model to ask, such as qwen3:8b
    #[arg(value_parser = values::model)]
    model: String,

    /// Prompt; without it, or with -, each line of standard input is one
    prompt: Vec<String>,

    /// Fallback model, best first; repeatable
    #[arg(long = "fallback", value_name = "MODEL", value_parser = values::model)]
    fallbacks: Vec<String>,

    /// System prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// Sampling temperature, 0 to 100 [default: the model's own]
    #[arg(long, value_name = "NUMBER", value_parser = values::temperature)]
    temperature: Option<f64>,

    /// Maximum length of the answer, tokens [default: the model's own]
    #[arg(long, value_name = "N", value_parser = values::tokens)]
    max_tokens: Option<u32>,

    /// Model option such as num_ctx=8192 or seed=1; repeatable
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = values::option)]
    options: Vec<(String, Value)>,

    /// Maximum window for a question that does not fit, tokens [default: the model's own]
    #[arg(long, value_name = "N", value_parser = values::tokens)]
    max_window: Option<u32>,

    /// Number of retries after the first attempt, for each model
    #[arg(long, value_name = "N", default_value = "3", value_parser = values::retries)]
    retries: u32,

    /// Delay before the first retry, seconds; doubles with each further retry
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = values::seconds)]
    base_delay: Duration,

    /// Maximum delay before a retry, seconds; a server that asks for a longer one is not retried
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::seconds)]
    max_delay: Duration,

    /// Time limit for one answer with all attempts and delays, seconds
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    deadline: Option<Duration>,

    /// Maximum silence while the server queues the request and loads the model, seconds [default: 600]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    load_timeout: Option<Duration>,

    /// Maximum time from the answer's headers to its first token, seconds [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    first_token_timeout: Option<Duration>,

    /// Maximum time between two tokens, seconds [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    between_tokens_timeout: Option<Duration>,

    /// Maximum age of a cached answer to the same prompt, seconds; the cache lasts for this command [default: no cache]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    max_age: Option<Duration>,

    /// Print tokens as they arrive, even if standard output is not a terminal
    #[arg(long, conflicts_with = "json")]
    stream: bool,

    /// Hide progress messages; errors are still printed
    #[arg(short, long)]
    quiet: bool,

    /// WebAssembly component that decides [default: the built-in policy]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    loading: Loading,

    /// Server address [default: OLLAMA_HOST, else http://127.0.0.1:11434]
    #[arg(long, value_name = "URL", value_parser = values::host)]
    host: Option<BaseUrl>,
}

pub(crate) async fn run(arguments: RunArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let prompts = Prompts::of(&arguments.prompt)?;
    for (name, _) in arguments.options.iter().filter(|(name, _)| option_kind(name).is_none()) {
        complain(format_args!("unknown Ollama option {name}; sending it anyway"));
    }
    let asking = Asking::new(arguments, output)?;
    tokio::select! {
        outcome = asking.all(prompts) => outcome.map(Into::into),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            asking.screen.end_line();
            Ok(Exit::Interrupted.into())
        }
    }
}

struct Asking<'a> {
    arguments: RunArguments,
    output: &'a Output,
    client: OllamaClient,
    manager: RecoveryManager,
    screen: Screen,
    /// Finds the model's digest for cache keys.
    lookup: Option<HealthCheck>,
    digest: RefCell<Option<String>>,
}

impl<'a> Asking<'a> {
    fn new(arguments: RunArguments, output: &'a Output) -> Result<Self, Failure> {
        let address = super::address(arguments.host.clone())?;
        // The built-in policy decides natively where components cannot run.
        let policy = match &arguments.policy {
            Some(file) => PolicyLifecycle::new(arguments.loading.load(Some(file))?),
            None => PolicyLifecycle::built_in(),
        };
        let retry = RetryConfig {
            max_retries: arguments.retries,
            base_delay: arguments.base_delay.as_secs_f64(),
            max_delay: arguments.max_delay.as_secs_f64(),
            ..RetryConfig::default()
        };
        let mut builder = RecoveryManager::builder().retry(retry).policy(policy).fallback_models(arguments.fallbacks.clone());
        if let Some(deadline) = arguments.deadline {
            builder = builder.deadline(deadline);
        }
        let manager = builder.build().map_err(Failure::bad_input)?;
        let default = Timeouts::default();
        let timeouts = Timeouts {
            load: arguments.load_timeout.unwrap_or(default.load),
            first_token: arguments.first_token_timeout.unwrap_or(default.first_token),
            between_tokens: arguments.between_tokens_timeout.unwrap_or(default.between_tokens),
            ..default
        };
        let client = OllamaClient::builder(address.clone()).timeouts(timeouts).build().map_err(Failure::bad_input)?;
        let look_up = || HealthCheck::builder(address).timeout(LOOKUP_TIMEOUT).build().map_err(Failure::bad_input);
        let lookup = arguments.max_age.map(|_| look_up()).transpose()?;
        let screen = Screen::new(*output, (output.terminal || arguments.stream) && !output.json);
        Ok(Self { arguments, output, client, manager, screen, lookup, digest: RefCell::default() })
    }

    /// A failed prompt does not end the others; the first gives the exit code.
    async fn all(&self, mut prompts: Prompts) -> anyhow::Result<Exit> {
        let (mut asked, mut exit) = (false, Exit::Success);
        while let Some(prompt) = prompts.next().await? {
            asked = true;
            if let Err(failure) = self.one(&prompt).await? {
                complain(&failure);
                exit = if exit == Exit::Success { failure.exit } else { exit };
            }
        }
        if asked { Ok(exit) } else { Err(Failure::bad_input("no prompt on standard input; expected one prompt per line").into()) }
    }

    /// The outer error is a write error.
    async fn one(&self, prompt: &str) -> anyhow::Result<Result<(), Failure>> {
        let Self { arguments, screen, .. } = self;
        let request = self.request(prompt);
        let mut reporter = Reporter::new(&arguments.model, arguments.quiet, screen);
        let mut events = self.manager.subscribe();
        let max_age = arguments.max_age.unwrap_or_default();
        let key = if arguments.max_age.is_some() { Some(self.key(&request).await) } else { None };
        let operation = self.manager.operation("run").model(&arguments.model).cache_if(key).fresh_for(max_age).stale_for(max_age);
        let begun = std::time::Instant::now();
        let mut running = pin!(operation.run(|attempt| {
            let model = attempt.model.as_deref().unwrap_or(&arguments.model).to_owned();
            answer(self.client.clone(), ChatRequest { model, window: attempt.window, ..request.clone() }, screen)
        }));
        let outcome = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => reporter.take(&event),
                error = screen.broken() => return Err(error.into()),
                outcome = &mut running => break outcome,
            }
        };
        while let Some(event) = events.try_recv() {
            reporter.take(&event);
        }
        screen.end_line();
        screen.written()?;
        if self.output.json {
            self.output.json_line(&ending::record(prompt, &arguments.model, begun.elapsed(), &outcome, &reporter, arguments.deadline))?;
        }
        match outcome {
            Ok(recovered) => self.show(&recovered).map(Ok),
            Err(error) => Ok(Err(ending::failure(&error, reporter.model(), arguments.deadline))),
        }
    }

    fn show(&self, recovered: &Recovered<Answer>) -> anyhow::Result<()> {
        let text = &recovered.value.text;
        if !self.output.json && !self.screen.has_shown_all(recovered) {
            self.output.print(&format!("{text}{}", if text.ends_with('\n') { "" } else { "\n" }))?;
        }
        recovered.value.notes().for_each(complain);
        Ok(())
    }

    fn request(&self, prompt: &str) -> ChatRequest {
        let RunArguments { model, system, temperature, max_tokens, max_window, .. } = &self.arguments;
        let system = system.iter().map(|text| Message::new("system", text));
        let mut request = ChatRequest { model: model.clone(), max_window: *max_window, ..ChatRequest::default() };
        request.messages = system.chain([Message::new("user", prompt)]).collect();
        for (name, value) in &self.arguments.options {
            let given = request.options.entry(name).or_insert(Value::Array(Vec::new()));
            match (given, value) {
                // `stop` may be given several times.
                (Value::Array(texts), Value::Array(more)) => texts.extend(more.iter().cloned()),
                (given, value) => *given = value.clone(),
            }
        }
        request.options.extend(temperature.map(|temperature| ("temperature".to_owned(), temperature.into())));
        request.options.extend(max_tokens.map(|tokens| ("num_predict".to_owned(), tokens.into())));
        request
    }

    /// Without a reply, the model counts as unchanged.
    async fn key(&self, request: &ChatRequest) -> String {
        if let Some(lookup) = &self.lookup {
            let status = lookup.check_model_available(&request.model).await;
            if let Some(digest) = status.details.get("digest").and_then(|digest| digest.as_str()) {
                self.digest.replace(Some(digest.to_owned()));
            }
        }
        // A request always has a JSON form.
        let value = serde_json::to_value(request).unwrap_or_default();
        cache_key(&request.model, self.digest.borrow().as_deref(), &value)
    }
}

type Outcome = Result<Recovered<Answer>, Error>;
