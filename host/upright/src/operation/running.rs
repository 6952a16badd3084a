//! An operation as it runs: what is looked for before it is called, the call, and what serves in its place.

use crate::checkpoints::Checkpoint;
use crate::degradation::{CachedResponse, Landed, Lead, Turn};
use crate::driving::{Attempt, Ending, Mode, OperationContext, Run, drive, within};
use crate::error::{ConfigurationError, Error};
use crate::types::{CachedAnswer, ResourceSnapshot};
use futures_util::FutureExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use upright_core::breaker::CircuitBreaker;
use upright_core::clock::{Instant, between};
use upright_core::fault::OperationError;

use super::{Alternative, Caching, Described, MayCache, Recovered, Served};

impl<'m> Described<'m> {
    /// Whether what was said can be used; settles how often it is tried.
    fn settle(&mut self) -> Result<(), ConfigurationError> {
        if let Some(attempts) = self.attempts {
            ConfigurationError::unless(attempts >= 1, "attempts", attempts, "expected at least 1")?;
            self.settings.retry.max_retries = attempts - 1;
        }
        self.settings.check()
    }

    /// Runs the operation, and removes its checkpoint where that is asked for.
    pub(super) async fn run<T, E, F, B, K>(
        self,
        operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
        fallback: B,
    ) -> Result<Recovered<T>, Error>
    where
        K: MayCache<T>,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: Alternative<T>,
    {
        let done = self.checkpoint.as_ref().filter(|resumption| resumption.remove_when_done).map(|resumption| Arc::clone(&resumption.key));
        let checkpoints = self.manager.checkpoints();
        let recovered = self.drive::<T, E, F, B, K>(operation, accept, fallback).await?;
        if let Some(key) = done.filter(|_| recovered.served == Served::Live)
            && let Err(error) = checkpoints.at(&*key).remove().await
        {
            // The answer is there all the same; the next run resumes at the end of this one.
            tracing::warn!(target: "upright", key = &*key, %error, "the checkpoint of a finished operation cannot be removed");
        }
        Ok(recovered)
    }

    async fn drive<T, E, F, B, K>(
        mut self,
        operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
        fallback: B,
    ) -> Result<Recovered<T>, Error>
    where
        K: MayCache<T>,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: Alternative<T>,
    {
        let manager = self.manager;
        self.settle()?;
        let _running = manager.enter()?;
        let mut before = Before::default();
        if let Some(caching) = &self.caching {
            let found = match self.cached_value::<T, K>(caching.fresh) {
                Some(found) => Some(found),
                // In a box, as most operations have no use for it.
                None => Box::pin(self.before_calling::<T, K>(caching, &mut before)).await,
            };
            if let Some((value, age)) = found {
                #[cfg(feature = "metrics")]
                crate::metrics::answered_without_a_call(&self.settings.name);
                return Ok(Recovered { value, served: Served::Cached { age }, model: None, attempts: 0 });
            }
        }
        self.extend_models();
        let first = self.models.first().map(|model| Arc::from(model.as_str()));
        let context = Context { operation: &self, fallback: B::IS_THERE };
        let strategy = manager.strategy().shared();
        let breaker = match (&first, &self.breaker) {
            (Some(model), _) => Some(self.model_breaker(model)),
            (None, Some(name)) => Some(manager.breakers().get(name)),
            (None, None) => strategy.breaker.clone(),
        };
        let mut run = Run::with(Arc::clone(&strategy.runtime), self.settings.clone(), context, breaker, first);
        if let Some(began) = before.began {
            run.count_from(began);
        }
        let out_of_time = before.out_of_time.then(|| run.out_of_time());
        let ending = drive(&mut run, out_of_time, operation, accept, Mode::Async).await;
        let as_asked = run.is_as_asked();
        let (model, attempts) = (run.model().cloned(), run.attempts());
        if !matches!(ending, Ending::Live(_)) {
            // Those who wait for the same do not wait for what takes its place.
            before.lead = None;
        }
        match ending {
            Ending::Live(value) => {
                // Another model's answer, or a lighter workflow's, must not pass for this one's later.
                if as_asked {
                    self.remember::<T, K>(&value, before.lead.take());
                }
                Ok(Recovered { value, served: Served::Live, model, attempts })
            }
            Ending::Cached(error) => {
                let stale = self.caching.as_ref().map_or(Duration::ZERO, |caching| caching.stale);
                match self.cached_value::<T, K>(stale) {
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

    fn cached_value<T, K: MayCache<T>>(&self, max_age: Duration) -> Option<(T, Duration)> {
        let caching = self.caching.as_ref()?;
        read::<T, K>(&self.manager.degradation().cache().cached_response(&caching.key, max_age)?)
    }

    /// An answer without a call: that of an operation with the same key, or one in the store. The time for it counts.
    async fn before_calling<T, K: MayCache<T>>(&self, caching: &Caching, before: &mut Before<'m>) -> Option<(T, Duration)> {
        let manager = self.manager;
        let clock = manager.clock();
        let began = *before.began.insert(clock.now());
        let left = || self.settings.deadline.map(|deadline| deadline.saturating_sub(between(began, clock.now())));
        let Caching { key, fresh, stale } = caching;
        let cache = manager.degradation().cache();
        if !fresh.is_zero() {
            let turn = manager.flights().join(key).turn().map(Ok::<_, Infallible>);
            match within(left(), clock, turn).await {
                Ok(Turn::Lead(lead)) => before.lead = Some(lead),
                Ok(Turn::Landed(landed)) => {
                    // One that does not suit is none: it calls by itself.
                    return landed.younger(*fresh, clock.now()).and_then(|cached| read::<T, K>(&cached));
                }
                Ok(Turn::Alone) => {}
                Err(_) => before.out_of_time = true,
            }
        }
        // One that may only be served after a failure is not asked for twice.
        let wanted = if fresh.is_zero() { *stale } else { *fresh };
        let cached = cache.load_within(key, wanted, left().unwrap_or(Duration::MAX)).await?;
        let found = if cached.age <= *fresh { read::<T, K>(&cached) } else { None };
        if found.is_some()
            && let Some(lead) = before.lead.take()
        {
            lead.land(Landed::new(cached, clock.now()));
        }
        found
    }

    /// Caches a live answer, and gives it to those who wait for the same.
    fn remember<T, K: MayCache<T>>(&self, value: &T, lead: Option<Lead<'_>>) {
        let Some(caching) = &self.caching else { return };
        match K::write(value) {
            Ok(value) => {
                let value = Arc::new(value);
                self.manager.degradation().cache().cache_shared(caching.key.clone(), Arc::clone(&value));
                if let Some(lead) = lead {
                    lead.land(Landed::new(CachedResponse { value, age: Duration::ZERO }, self.manager.clock().now()));
                }
            }
            Err(error) => tracing::warn!(key = caching.key, %error, "the answer cannot be cached"),
        }
    }
}

/// State from before the call.
#[derive(Default)]
struct Before<'a> {
    /// When it began, if it may have taken time.
    began: Option<Instant>,
    /// Others wait for what this operation gets.
    lead: Option<Lead<'a>>,
    /// The deadline passed.
    out_of_time: bool,
}

fn read<T, K: MayCache<T>>(cached: &CachedResponse) -> Option<(T, Duration)> {
    Some((K::read(&cached.value)?, cached.age))
}

/// Runs the caller's fallback in place of what failed, if there is one.
async fn fall_back<T>(fallback: impl Alternative<T>, error: Error, attempts: u32) -> Result<Recovered<T>, Error> {
    let Some(fallback) = fallback.begin() else { return Err(error) };
    match fallback.await {
        Ok(value) => Ok(Recovered { value, served: Served::Fallback, model: None, attempts }),
        Err(failed) => Err(Error::FallbackFailed { fallback: failed.into_boxed(), first: Box::new(error) }),
    }
}

/// The context of a manager's operation.
struct Context<'o, 'm> {
    operation: &'o Described<'m>,
    fallback: bool,
}

impl OperationContext for Context<'_, '_> {
    fn models(&self) -> &[String] {
        &self.operation.models
    }

    fn breaker(&self, model: &str) -> Option<CircuitBreaker> {
        Some(self.operation.model_breaker(model))
    }

    fn cached(&self) -> Option<CachedAnswer> {
        let caching = self.operation.caching.as_ref()?;
        let cached = self.operation.manager.degradation().cache().cached_response(&caching.key, caching.stale)?;
        Some(CachedAnswer { age: cached.age.as_secs_f64(), max_age: caching.stale.as_secs_f64() })
    }

    fn has_fallback(&self) -> bool {
        self.fallback
    }

    fn can_simplify(&self) -> bool {
        self.operation.can_simplify
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let resumption = self.operation.checkpoint.as_ref()?;
        Some(
            self.operation
                .manager
                .checkpoints()
                .at(Arc::clone(&resumption.key))
                .schema(resumption.schema)
                .start_over_if_unreadable(resumption.start_over),
        )
    }

    fn resources(&self) -> Option<ResourceSnapshot> {
        self.operation.manager.resources()
    }

    fn is_short_of_memory(&self) -> bool {
        self.operation.manager.is_short_of_memory()
    }
}
