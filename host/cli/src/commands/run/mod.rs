//! `upright run`: asks a model, and keeps asking until there is a whole answer or nothing can be done.
//!
//! Half an answer must never pass for a whole one. On a terminal, where somebody watches, tokens appear as they come and a break is told;
//! anywhere else nothing is written before the answer is whole, unless `--stream` asks for it.

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
use upright::clock::SystemClock;
use upright::degradation::cache_key;
use upright::ollama::{BaseUrl, Budgets, ChatRequest, Message, OllamaClient, option_kind};
use upright::types::RetryConfig;
use upright::{Error, HealthCheck, PolicyLifecycle, Recovered, RecoveryManager};

/// Looking a model up may take so long; a slow server shall not hold up the question for it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Ask a model, with retries, other models and a circuit breaker
#[derive(Debug, clap::Args)]
#[command(
    mut_group("loading", |group| group.requires("policy")),
    allow_negative_numbers = true,
    after_help = "\
On a terminal the answer appears as it comes. Elsewhere nothing is written before it is whole, unless --stream is given.
Without PROMPT, or with -, each line of standard input is one prompt.

Example: upright run qwen3:8b --fallback gemma3:4b \"Why is the sky blue?\""
)]
pub(crate) struct RunArguments {
    /// The model to ask, such as qwen3:8b
    #[arg(value_parser = values::model)]
    model: String,

    /// What to ask; - for lines of standard input
    prompt: Vec<String>,

    /// A model that may take its place, best first; may be given several times
    #[arg(long = "fallback", value_name = "MODEL", value_parser = values::model)]
    fallbacks: Vec<String>,

    /// Tells the model how to answer
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// The model's temperature
    #[arg(long, value_name = "NUMBER", value_parser = values::temperature)]
    temperature: Option<f64>,

    /// The longest answer, tokens [default: the model's own]
    #[arg(long, value_name = "N", value_parser = values::tokens)]
    max_tokens: Option<u32>,

    /// An option of the model, such as num_ctx=8192 or seed=1; may be given several times
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = values::option)]
    options: Vec<(String, Value)>,

    /// The largest window to ask for where a question does not fit, tokens [default: the model's own]
    #[arg(long, value_name = "N", value_parser = values::tokens)]
    max_window: Option<u32>,

    /// Retries after the first attempt, for each model
    #[arg(long, value_name = "N", default_value = "3", value_parser = values::retries)]
    retries: u32,

    /// The wait before the first retry, seconds; each further wait is twice as long
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = values::seconds)]
    base_delay: Duration,

    /// No wait is longer, seconds; a server that asks for a longer one is not waited for
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::seconds)]
    max_delay: Duration,

    /// How long an answer may take in all, seconds
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    deadline: Option<Duration>,

    /// How long the server may be silent while it queues the request and loads the model, seconds [default: 600]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    load_timeout: Option<Duration>,

    /// From the headers of an answer to its first token, seconds [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    first_token_timeout: Option<Duration>,

    /// From one token to the next, seconds [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    between_tokens_timeout: Option<Duration>,

    /// Serve the answer to the same prompt again while it is not older, seconds; answers are kept as long as this call runs
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    max_age: Option<Duration>,

    /// Print tokens as they come also where standard output is no terminal
    #[arg(long, conflicts_with = "json")]
    stream: bool,

    /// Say nothing of what happens on the way
    #[arg(short, long)]
    quiet: bool,

    /// A WebAssembly component that decides [default: the built-in policy]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    loading: Loading,

    /// The server's address [default: OLLAMA_HOST, else http://127.0.0.1:11434]
    #[arg(long, value_name = "URL", value_parser = values::host)]
    host: Option<BaseUrl>,
}

pub(crate) async fn run(arguments: RunArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let prompts = Prompts::of(&arguments.prompt)?;
    for (name, _) in arguments.options.iter().filter(|(name, _)| option_kind(name).is_none()) {
        complain(format_args!("the option {name} is not one that Ollama knows; it is sent all the same"));
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

/// All that serves every prompt.
struct Asking<'a> {
    arguments: RunArguments,
    output: &'a Output,
    client: OllamaClient,
    manager: RecoveryManager,
    screen: Screen,
    /// Looks models up for the keys of cached answers; only where answers are cached.
    lookup: Option<HealthCheck>,
    /// The model's digest when it was last looked up.
    digest: RefCell<Option<String>>,
}

impl<'a> Asking<'a> {
    fn new(arguments: RunArguments, output: &'a Output) -> Result<Self, Failure> {
        let address = super::address(arguments.host.clone())?;
        // Where the built-in policy cannot run as a component, its logic decides natively.
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
        let default = Budgets::default();
        let budgets = Budgets {
            load: arguments.load_timeout.unwrap_or(default.load),
            first_token: arguments.first_token_timeout.unwrap_or(default.first_token),
            between_tokens: arguments.between_tokens_timeout.unwrap_or(default.between_tokens),
            ..default
        };
        let client = OllamaClient::new(address.clone(), budgets, SystemClock::shared()).map_err(Failure::bad_input)?;
        let look_up = || HealthCheck::builder(address).timeout(LOOKUP_TIMEOUT).build().map_err(Failure::bad_input);
        let lookup = arguments.max_age.map(|_| look_up()).transpose()?;
        let screen = Screen::new(*output, (output.terminal || arguments.stream) && !output.json);
        Ok(Self { arguments, output, client, manager, screen, lookup, digest: RefCell::default() })
    }

    /// Asks all prompts. One without an answer does not end it; the first such gives the exit code.
    async fn all(&self, mut prompts: Prompts) -> anyhow::Result<Exit> {
        let (mut asked, mut exit) = (false, Exit::Success);
        while let Some(prompt) = prompts.next().await? {
            asked = true;
            if let Err(failure) = self.one(&prompt).await? {
                complain(&failure);
                exit = if exit == Exit::Success { failure.exit } else { exit };
            }
        }
        if asked { Ok(exit) } else { Err(Failure::bad_input("no prompt on standard input; expected one prompt a line").into()) }
    }

    /// Asks one prompt. The outer error is one of writing.
    async fn one(&self, prompt: &str) -> anyhow::Result<Result<(), Failure>> {
        let Self { arguments, screen, .. } = self;
        let request = self.request(prompt);
        let mut reporter = Reporter::new(&arguments.model, arguments.quiet, screen);
        let mut events = self.manager.subscribe();
        let mut operation = self.manager.operation("run").model(&arguments.model);
        if let Some(max_age) = arguments.max_age {
            operation = operation.cache(self.key(&request).await, max_age, max_age);
        }
        let begun = std::time::Instant::now();
        let mut running = pin!(operation.run(|attempt| {
            let model = attempt.model.as_deref().unwrap_or(&arguments.model).to_owned();
            answer(self.client.clone(), ChatRequest { model, window: attempt.window, ..request.clone() }, screen)
        }));
        let outcome = loop {
            tokio::select! {
                // What happened is told before what comes of it is shown.
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

    /// Prints an answer, where that has not been done already.
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
                // Of texts to stop at there may be several.
                (Value::Array(texts), Value::Array(more)) => texts.extend(more.iter().cloned()),
                (given, value) => *given = value.clone(),
            }
        }
        request.options.extend(temperature.map(|temperature| ("temperature".to_owned(), temperature.into())));
        request.options.extend(max_tokens.map(|tokens| ("num_predict".to_owned(), tokens.into())));
        request
    }

    /// The key of a cached answer. Where the server cannot be asked, the model is taken for the one that it was.
    async fn key(&self, request: &ChatRequest) -> String {
        if let Some(lookup) = &self.lookup {
            let status = lookup.check_model_available(&request.model).await;
            if let Some(digest) = status.details.get("digest").and_then(|digest| digest.as_str()) {
                self.digest.replace(Some(digest.to_owned()));
            }
        }
        // A request is texts and numbers: it always has a JSON form.
        let value = serde_json::to_value(request).unwrap_or_default();
        cache_key(&request.model, self.digest.borrow().as_deref(), &value)
    }
}

type Outcome = Result<Recovered<Answer>, Error>;
