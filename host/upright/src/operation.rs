//! One operation under a manager's care, with everything that may serve in its place.

use crate::breaker::CircuitBreaker;
use crate::checkpoints::Checkpoint;

use crate::error::Error;
use crate::fault::OperationError;
use crate::manager::RecoveryManager;
use crate::session::{Attempt, Ending, Session, Surroundings};
use crate::types::{CachedAnswer, ResourceSnapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A value and, honestly, where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub served: Served,
    /// The model that gave a live value, where there was a choice of models.
    pub model: Option<Arc<str>>,
    /// Attempts that were made, over all models.
    pub attempts: u32,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The operation gave it.
    Live,
    /// It was given before, this long ago.
    Cached {
        /// The answer's age.
        age: Duration,
    },
    /// The fallback gave it.
    Fallback,
}

/// How an operation uses the cache.
#[derive(Clone, Debug)]
struct Caching {
    key: String,
    fresh: Duration,
    stale: Duration,
}

/// An operation that is being described. [`Operation::run`] runs it.
#[must_use = "nothing happens until it is run"]
pub struct Operation<'a> {
    manager: &'a RecoveryManager,
    models: Vec<String>,
    caching: Option<Caching>,
    checkpoint: Option<String>,
    can_simplify: bool,
    breaker: Option<String>,
}

impl<'a> Operation<'a> {
    pub(crate) fn new(manager: &'a RecoveryManager) -> Self {
        Self { manager, models: Vec::new(), caching: None, checkpoint: None, can_simplify: false, breaker: None }
    }

    /// The model to use first. The manager's fallback models may take its place.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.models = vec![model.into()];
        self
    }

    /// The models to use, best first, in place of the manager's chain.
    pub fn models<M: Into<String>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Serves an answer that is cached under `key` and younger than `fresh` without calling; one younger than `stale` if the call fails. Live answers
    /// are cached.
    pub fn cache(mut self, key: impl Into<String>, fresh: Duration, stale: Duration) -> Self {
        self.caching = Some(Caching { key: key.into(), fresh, stale });
        self
    }

    /// Each attempt gets this checkpoint ([`Attempt::checkpoint`]), to save its progress in and to resume from what an earlier one saved.
    pub fn checkpoint(mut self, key: impl Into<String>) -> Self {
        self.checkpoint = Some(key.into());
        self
    }

    /// The operation looks at [`Attempt::simplified`] and can run a lighter workflow.
    pub fn can_simplify(mut self) -> Self {
        self.can_simplify = true;
        self
    }

    /// The name of the breaker that guards it. With a choice of models each model has its own, under this name and the model's.
    pub fn breaker(mut self, name: impl Into<String>) -> Self {
        self.breaker = Some(name.into());
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::CircuitOpen`] or [`Error::ShuttingDown`]. A cached answer of another type counts as none.
    pub async fn run<T, E, F>(self, operation: impl FnMut(Attempt) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        self.drive(operation, None::<fn() -> std::future::Ready<Result<T, Error>>>).await
    }

    /// Runs it; if nothing else serves, runs the fallback.
    ///
    /// # Errors
    /// [`Error::FallbackFailed`] holds both errors.
    pub async fn run_or<T, E, F, G, H>(
        self,
        operation: impl FnMut(Attempt) -> F,
        fallback: impl FnOnce() -> H,
    ) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        self.drive(operation, Some(fallback)).await
    }

    async fn drive<T, E, F, G, H>(
        mut self,
        operation: impl FnMut(Attempt) -> F,
        fallback: Option<impl FnOnce() -> H>,
    ) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        let manager = self.manager;
        let _running = manager.enter()?;
        if let Some(fresh) = self.caching.as_ref().map(|caching| caching.fresh)
            && let Some((value, age)) = self.cached_value(fresh)
        {
            return Ok(Recovered { value, served: Served::Cached { age }, model: None, attempts: 0 });
        }
        self.extend_models();
        let first = self.models.first().map(|model| Arc::from(model.as_str()));
        let at_hand = AtHandHere { operation: &self, fallback: fallback.is_some() };
        let strategy = manager.strategy().shared();
        let breaker = match (&first, &self.breaker) {
            (Some(model), _) => Some(Cow::Owned(self.model_breaker(model))),
            (None, Some(name)) => Some(Cow::Owned(manager.breakers().get(name))),
            (None, None) => strategy.breaker.as_ref().map(Cow::Borrowed),
        };
        let mut session = Session::begin(&strategy.guarding, &at_hand, first);
        let ending = session.run(breaker, operation, |_| true).await;
        let as_asked = session.is_as_asked();
        let (model, attempts) = session.summary();
        match ending {
            Ending::Live(value) => {
                // Another model's answer, or a lighter workflow's, must not pass for this one's later.
                if as_asked {
                    self.remember(&value);
                }
                Ok(Recovered { value, served: Served::Live, model, attempts })
            }
            Ending::Cached(error) => {
                let stale = self.caching.as_ref().map_or(Duration::ZERO, |caching| caching.stale);
                match self.cached_value(stale) {
                    Some((value, age)) => Ok(Recovered { value, served: Served::Cached { age }, model: None, attempts }),
                    // It may have been evicted since it was found, or be of another type.
                    None => fall_back(fallback, error, attempts).await,
                }
            }
            Ending::Fallback(error) => fall_back(fallback, error, attempts).await,
            Ending::Failed(error) => Err(error),
        }
    }

    /// A single model is followed by the manager's chain; a list of models is the chain.
    fn extend_models(&mut self) {
        if self.models.len() == 1 {
            self.models.extend(self.manager.degradation().fallback_models().iter().cloned());
        }
    }

    fn model_breaker(&self, model: &str) -> CircuitBreaker {
        match &self.breaker {
            None => self.manager.model_breaker(model),
            Some(name) => self.manager.breakers().get(&format!("{name}/{}", upright_logic::degradation::canonical_model(model))),
        }
    }

    fn cached_value<T: DeserializeOwned>(&self, max_age: Duration) -> Option<(T, Duration)> {
        let caching = self.caching.as_ref()?;
        let cached = self.manager.degradation().get_cached_response(&caching.key, max_age)?;
        Some((T::deserialize(&*cached.value).ok()?, cached.age))
    }

    fn remember<T: Serialize>(&self, value: &T) {
        let Some(caching) = &self.caching else { return };
        match serde_json::to_value(value) {
            Ok(value) => self.manager.degradation().cache_response(&caching.key, value),
            Err(error) => tracing::warn!(key = caching.key, %error, "the answer cannot be cached"),
        }
    }
}

/// Runs the caller's fallback in place of what failed, if there is one.
async fn fall_back<T, G, H>(fallback: Option<impl FnOnce() -> H>, error: Error, attempts: u32) -> Result<Recovered<T>, Error>
where
    G: OperationError,
    H: Future<Output = Result<T, G>>,
{
    let Some(fallback) = fallback else { return Err(error) };
    match fallback().await {
        Ok(value) => Ok(Recovered { value, served: Served::Fallback, model: None, attempts }),
        Err(failed) => Err(Error::FallbackFailed { fallback: failed.into_boxed(), first: Box::new(error) }),
    }
}

/// What an operation has at hand.
struct AtHandHere<'o, 'm> {
    operation: &'o Operation<'m>,
    fallback: bool,
}

impl Surroundings for AtHandHere<'_, '_> {
    fn models(&self) -> &[String] {
        &self.operation.models
    }

    fn breaker(&self, model: &str) -> Option<CircuitBreaker> {
        Some(self.operation.model_breaker(model))
    }

    fn cached(&self) -> Option<CachedAnswer> {
        let caching = self.operation.caching.as_ref()?;
        let cached = self.operation.manager.degradation().get_cached_response(&caching.key, caching.stale)?;
        Some(CachedAnswer { age: cached.age.as_secs_f64(), max_age: caching.stale.as_secs_f64() })
    }

    fn fallback(&self) -> bool {
        self.fallback
    }

    fn can_simplify(&self) -> bool {
        self.operation.can_simplify
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.operation.checkpoint.as_deref().map(|key| self.operation.manager.checkpoints().at(key))
    }

    fn resources(&self) -> Option<ResourceSnapshot> {
        self.operation.manager.resources()
    }
}
