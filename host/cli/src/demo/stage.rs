//! Sets up the demo: a server, two models, a manager with short delays.

use super::DemoArguments;
use super::screen::Screen;
use super::trouble::Trouble;
use crate::commands::loading::Loading;
use crate::exit::{Exit, Failure};
use anyhow::Context;
use futures_util::StreamExt;
use serde_json::json;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use upright::degradation::cache_key;
use upright::ollama::{BaseUrl, ChatRequest, OllamaClient, OllamaError};
use upright::random::SeededRandom;
use upright::store::StateAddress;
use upright::types::BreakerConfig;
use upright::{Attempt, Error, Policy, Recovered, RecoveryManager, RetryStrategy, Served};
use upright_simulator::{FaultServer, Model, Window};

/// The default policy with delays that do not grow.
static STEADY: &[u8] = include_bytes!("../../embedded/steady.wasm");

const MODELS: [&str; 2] = ["qwen3:8b", "gemma3:4b"];
const STALE: Duration = Duration::from_secs(3600);
/// Limit for a real model's answer, tokens.
const LONGEST_ANSWER: u32 = 12;
const CANDIDATES: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) asked: u32,
    pub(super) live: u32,
    pub(super) by_other_model: u32,
    pub(super) cached: u32,
    pub(super) by_fallback: u32,
    pub(super) failed: u32,
    pub(super) attempts: u32,
    /// Chats through the gateway, and those among them that its other host answered.
    pub(super) by_gateway: u32,
    pub(super) by_other_host: u32,
    /// Answers that were cut in mid-sentence, and finished.
    pub(super) finished: u32,
}

pub(super) struct Stage {
    pub(super) manager: RecoveryManager,
    pub(super) trouble: Arc<Trouble>,
    pub(super) models: Vec<String>,
    pub(super) candidate: Policy,
    pub(super) tally: Mutex<Tally>,
    pub(super) resumed_at: Option<u32>,
    client: OllamaClient,
}

impl Stage {
    pub(super) async fn set(arguments: DemoArguments) -> anyhow::Result<Self> {
        let candidate = match &arguments.policy {
            Some(path) => Loading::default().load(Some(path))?,
            None => Policy::from_bytes(STEADY).context("the demo's second policy cannot be used")?,
        };
        let (trouble, address) = match arguments.ollama {
            Some(address) => (Trouble::Injected(Mutex::new(BTreeMap::new())), address),
            None => {
                let server = FaultServer::start().await.context("the simulated server cannot be started")?;
                server.set_models(MODELS.map(|model| Model::with_window(model, Window { own: 32_768, ..Window::default() })));
                server.set_token_interval(Duration::from_millis(4));
                let address: BaseUrl = server.url().parse()?;
                (Trouble::Replayed(server), address)
            }
        };
        let client = OllamaClient::new(address)?;
        let models = match &trouble {
            Trouble::Replayed(_) => MODELS.map(str::to_owned).into(),
            Trouble::Injected(_) => installed(&client).await?,
        };
        let state: StateAddress = arguments.state.as_deref().unwrap_or(":memory:").parse().map_err(Failure::bad_input)?;
        let manager = RecoveryManager::builder()
            .base_delay(Duration::from_millis(250))
            .max_delay(Duration::from_secs(2))
            .breaker(BreakerConfig { failure_threshold: 3, ..BreakerConfig::default() })
            .recovery_timeout(Duration::from_millis(1500))
            .state(state)
            .random(Arc::new(SeededRandom::new(arguments.seed)))
            .build()?;
        Ok(Self { manager, trouble: Arc::new(trouble), models, candidate, tally: Mutex::default(), resumed_at: None, client })
    }

    pub(super) fn introduce(&self, screen: &mut Screen<'_>) -> anyhow::Result<()> {
        let address = self.client.address();
        screen.say(&match &*self.trouble {
            Trouble::Replayed(_) => format!(
                "No Ollama is used here. A simulated flaky one runs inside this process and replays Ollama's failures over real HTTP, at {address}."
            ),
            Trouble::Injected(_) => format!(
                "The chats go to the Ollama at {address} ({}). Failures that a healthy server lacks are injected in front of it.",
                self.models.join(", ")
            ),
        })?;
        let Some(policy) = self.manager.policy().policy() else {
            return screen.say("No component can run on this machine: the same logic decides natively.");
        };
        let (description, digest) = (policy.description(), policy.digest());
        screen.say(&format!(
            "The WebAssembly component {} {} (sha256 {}, {} KB, imports nothing) decides after each failure.",
            description.name,
            description.version,
            digest.get(..12).unwrap_or(digest),
            policy.bytes().len() / 1000
        ))
    }

    /// `None` with a real server.
    pub(super) fn simulated(&self) -> Option<&FaultServer> {
        match &*self.trouble {
            Trouble::Replayed(server) => Some(server),
            Trouble::Injected(_) => None,
        }
    }

    pub(super) async fn chat(&self, models: &[String], question: &str) -> Result<Recovered<String>, Error> {
        let first = models.first().map(String::as_str).unwrap_or_default();
        let key = cache_key(first, None, &json!({ "question": question }));
        let operation = self.manager.operation("chat").models(models.iter().cloned()).cache(key).fresh_for(Duration::ZERO).stale_for(STALE);
        let attempt = |attempt| self.attempt(attempt, question.to_owned());
        // Without a second model, the demo's own text serves.
        let result = match self.models.len() {
            1 => operation.fallback(|| async { Ok::<_, Error>("(the demo's own fallback)".to_owned()) }).run(attempt).await,
            _ => operation.run(attempt).await,
        };
        self.count(first, &result);
        result
    }

    fn attempt(&self, attempt: Attempt, question: String) -> impl Future<Output = Result<String, OllamaError>> + use<> {
        let (client, trouble) = (self.client.clone(), Arc::clone(&self.trouble));
        async move {
            let model = attempt.model();
            if let Some(error) = trouble.injected(model) {
                return Err(error);
            }
            let mut request = ChatRequest { window: attempt.window, ..ChatRequest::ask(model, question) };
            request.options.insert("num_predict".into(), LONGEST_ANSWER.into());
            let (mut chunks, mut answer) = (pin!(client.chat_stream(request)), String::new());
            while let Some(chunk) = chunks.next().await {
                answer.push_str(&chunk?.message.content);
            }
            Ok(answer)
        }
    }

    fn count(&self, first: &str, result: &Result<Recovered<String>, Error>) {
        let mut tally = self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tally.asked += 1;
        match result {
            Err(error) => {
                tally.failed += 1;
                tally.attempts += error.failure().map_or(0, |failure| failure.attempts);
            }
            Ok(recovered) => {
                tally.attempts += recovered.attempts;
                match recovered.served {
                    Served::Cached { .. } => tally.cached += 1,
                    Served::Fallback => tally.by_fallback += 1,
                    Served::Live => tally.live += 1,
                }
                tally.by_other_model += u32::from(recovered.model.as_deref().is_some_and(|model| model != first));
            }
        }
    }

    pub(super) async fn strike(&self) {
        self.manager.shutdown_gracefully(Duration::from_secs(5)).await;
        if let Some(server) = self.simulated() {
            server.shutdown().await;
        }
    }
}

/// Up to two models that answer; a proxy may list others.
async fn installed(client: &OllamaClient) -> Result<Vec<String>, Failure> {
    let address = client.address();
    let tags = client.tags().await.map_err(|error| {
        Failure::new(Exit::Failed, format!("{address}: {error}; expected an Ollama there, or no --ollama for a simulated one"))
    })?;
    // Embedding models cannot chat; a proxy's local models come before cloud ones.
    let mut names: Vec<_> = tags.into_iter().map(|model| model.name).filter(|name| !name.contains("embed")).collect();
    names.sort_by_key(|name| (!name.starts_with("local/"), name.ends_with("cloud")));
    // The server may be closing an idle connection.
    let retry = RetryStrategy::builder().max_retries(2).base_delay(Duration::from_millis(200)).use_circuit_breaker(false);
    let retry = retry.build().map_err(Failure::bad_input)?;
    let (mut usable, mut why_not) = (Vec::new(), "it has none".to_owned());
    for name in names.into_iter().take(CANDIDATES) {
        let mut request = ChatRequest::ask(name.as_str(), "Hello");
        request.options.insert("num_predict".into(), 1.into());
        match retry.execute(|| client.chat(request.clone())).await {
            Ok(_) => usable.push(name),
            Err(error) => why_not = format!("{name} {error}"),
        }
        if usable.len() == MODELS.len() {
            break;
        }
    }
    if usable.is_empty() {
        let advice = "pull one with: ollama pull gemma3:4b";
        return Err(Failure::new(Exit::Failed, format!("no model of the Ollama at {address} answers ({why_not}); {advice}")));
    }
    Ok(usable)
}
