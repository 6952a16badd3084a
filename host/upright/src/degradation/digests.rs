//! Which model stands behind a name, for the keys of its answers.
//!
//! A model that was pulled anew has the same name and answers otherwise, so a cached answer belongs to a digest. Asking the server for it before each call costs a
//! request, and a server that is away tells none, just when an answer from earlier should serve. So digests are cached beside the answers: for a moment while
//! the server can be asked, and for as long as answers are while it cannot.

use super::{ResponseCache, cache_key};
use crate::driving::within;
use crate::ollama::OllamaClient;
use serde_json::{Value, json};
use std::time::Duration;
use upright_logic::degradation::{canonical_model, same_model};

/// The digests of an Ollama's models, and keys with them. Cloning shares the cache.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use upright::RecoveryManager;
/// use upright::clock::SystemClock;
/// use upright::degradation::ModelDigests;
/// use upright::ollama::{BaseUrl, Budgets, ChatRequest, OllamaClient};
///
/// let client = OllamaClient::new(BaseUrl::from_environment()?, Budgets::default(), SystemClock::shared())?;
/// let manager = RecoveryManager::builder().build()?;
/// let digests = ModelDigests::new(client.clone(), manager.degradation().cache().clone());
///
/// let request = ChatRequest::ask("qwen3:8b", "Why is the sky blue?");
/// let key = digests.cache_key(&request.model, &serde_json::to_value(&request)?).await;
/// let operation = manager.operation("chat").model("qwen3:8b").cache(key, Duration::from_secs(60), Duration::from_secs(86_400));
/// let ask = async || Ok::<_, upright::ollama::OllamaError>(client.chat(request.clone()).await?.message.content);
/// let answer = operation.run(|_| ask()).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ModelDigests {
    client: OllamaClient,
    cache: ResponseCache,
    fresh: Duration,
    limit: Duration,
}

impl ModelDigests {
    /// Asks this server, and keeps digests in this cache: best the one that the answers are in.
    pub fn new(client: OllamaClient, cache: ResponseCache) -> Self {
        Self { client, cache, fresh: Duration::from_secs(10), limit: Duration::from_secs(2) }
    }

    /// The server is asked again when it was not asked for so long; 10 s by default. A model that is pulled meanwhile is taken for the one before.
    #[must_use]
    pub fn fresh(mut self, fresh: Duration) -> Self {
        self.fresh = fresh;
        self
    }

    /// The server is given so long; 2 s by default.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The model's digest. Where the server cannot be asked, the one that it told last, in this process or in another that shares the store. None where it does
    /// not have the model, or nothing is known.
    pub async fn digest(&self, model: &str) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let key = format!("digest/{}/{}", self.client.address(), canonical_model(model));
        // What is older is in memory then, too.
        if let Some(known) = self.cache.load_cached_response(&key, self.fresh).await {
            return text(&known.value);
        }
        match within(Some(self.limit), self.cache.clock(), self.client.tags()).await {
            Ok(models) => {
                let digest = models.into_iter().find(|found| same_model(&found.name, model)).map(|found| found.digest);
                let digest = digest.filter(|digest| !digest.is_empty())?;
                self.cache.cache_response(key, json!(digest));
                Some(digest)
            }
            Err(_) => text(&self.cache.get_cached_response(&key, Duration::MAX)?.value),
        }
    }

    /// [`cache_key`] with the model's digest.
    pub async fn cache_key(&self, model: &str, request: &Value) -> String {
        cache_key(model, self.digest(model).await.as_deref(), request)
    }
}
