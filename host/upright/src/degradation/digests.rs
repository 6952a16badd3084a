//! Finds the digest behind a model's name, since a model pulled again answers differently under its name. Digests are
//! cached: a request before each call is slow, and fails when a cached answer should serve.

use super::{ResponseCache, cache_key};
use crate::driving::within;
use crate::ollama::OllamaClient;
use serde_json::{Value, json};
use std::time::Duration;
use upright_logic::degradation::{canonical_model, same_model};

/// Digests of an Ollama server's models, and keys made with them. Clones share the cache.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use upright::RecoveryManager;
/// use upright::degradation::ModelDigests;
/// use upright::ollama::{BaseUrl, ChatRequest, OllamaClient};
///
/// let client = OllamaClient::new(BaseUrl::from_environment()?)?;
/// let manager = RecoveryManager::builder().build()?;
/// let digests = ModelDigests::new(client.clone(), manager.degradation().cache().clone());
///
/// let request = ChatRequest::ask("qwen3:8b", "Why is the sky blue?");
/// let key = digests.cache_key(&request.model, &serde_json::to_value(&request)?).await;
/// let operation = manager.operation("chat").model("qwen3:8b").cache(key).fresh_for(Duration::from_secs(60)).stale_for(Duration::from_secs(86_400));
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
    /// Keeps digests in this cache, best the answers' own.
    pub fn new(client: OllamaClient, cache: ResponseCache) -> Self {
        Self { client, cache, fresh: Duration::from_secs(10), limit: Duration::from_secs(2) }
    }

    /// Time before the server is asked again; 10 s by default. A model pulled within it goes unnoticed.
    #[must_use]
    pub fn fresh(mut self, fresh: Duration) -> Self {
        self.fresh = fresh;
        self
    }

    /// Maximum time to wait for the server; 2 s by default.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The model's digest; while the server is away, the last one known here or in the store. `None` for an unknown
    /// model or digest.
    pub async fn digest(&self, model: &str) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let key = format!("digest/{}/{}", self.client.address(), canonical_model(model));
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
            Err(_) => text(&self.cache.cached_response(&key, Duration::MAX)?.value),
        }
    }

    /// [`cache_key`] with the model's digest.
    pub async fn cache_key(&self, model: &str, request: &Value) -> String {
        cache_key(model, self.digest(model).await.as_deref(), request)
    }
}
