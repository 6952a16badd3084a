//! One operation under a manager's care, with everything that may serve in its place.

use crate::breaker::CircuitBreaker;
use crate::checkpoints::Checkpoint;
use crate::clock::{Instant, between};
use crate::degradation::{CachedResponse, Landed, Lead, Turn};
use crate::error::{BoxError, ConfigurationError, Error};
use crate::fault::OperationError;
use crate::hedge::Hedge;
use crate::manager::RecoveryManager;
use crate::session::{Attempt, Ending, Session, Surroundings, Terms, within};
use crate::store::StoreError;
use crate::types::{CachedAnswer, ResourceSnapshot};
use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
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

/// No fallback was given.
#[derive(Clone, Copy, Debug)]
pub struct NoFallback;

/// The fallback that was given.
#[derive(Clone, Copy, Debug)]
pub struct Fallback<B>(B);

/// Each attempt is handed the [`Attempt`].
#[derive(Clone, Copy, Debug)]
pub struct NoCheckpoint;

/// Each attempt is handed the state that was saved last, too.
#[derive(Clone, Copy, Debug)]
pub struct Resuming;

/// An operation that is being described; [`Operation::run`] runs it. What is not said of it is as the manager has it. The order in which things are said
/// does not matter.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use upright::RecoveryManager;
///
/// # async fn ask(model: &str) -> Result<String, std::io::Error> { Ok(model.to_owned()) }
/// let manager = RecoveryManager::builder().build()?;
/// let answer = manager
///     .operation("chat")
///     .deadline(Duration::from_secs(60))
///     .attempts(3)
///     .models(["qwen3:8b", "gemma3:4b"])
///     .fallback(|| async { Ok::<_, std::io::Error>("Ask me later.".to_owned()) })
///     .run(|attempt| async move { ask(&attempt.model.unwrap_or_default()).await })
///     .await?;
/// assert_eq!(answer.value, "qwen3:8b");
/// # Ok(()) }
/// ```
#[must_use = "nothing happens until it is run"]
pub struct Operation<'a, B = NoFallback, C = NoCheckpoint> {
    described: Described<'a>,
    fallback: B,
    checkpoint: PhantomData<fn() -> C>,
}

/// What was said of an operation.
struct Described<'a> {
    manager: &'a RecoveryManager,
    terms: Terms,
    attempts: Option<u32>,
    models: Vec<String>,
    caching: Option<Caching>,
    checkpoint: Option<Resumption>,
    can_simplify: bool,
    breaker: Option<String>,
}

/// What was said of an operation's checkpoint.
#[derive(Clone, Debug)]
struct Resumption {
    key: Arc<str>,
    schema: u32,
    remove_when_done: bool,
    start_over: bool,
}

impl<'a> Operation<'a> {
    pub(crate) fn new(manager: &'a RecoveryManager, name: Arc<str>) -> Self {
        let terms = Terms { name, ..manager.strategy().shared().terms.clone() };
        let described = Described {
            manager,
            terms,
            attempts: None,
            models: Vec::new(),
            caching: None,
            checkpoint: None,
            can_simplify: false,
            breaker: None,
        };
        Self { described, fallback: NoFallback, checkpoint: PhantomData }
    }

    /// Each attempt gets this checkpoint in [`Attempt::checkpoint`], and restores from it by itself.
    pub(crate) fn handing_out(mut self, key: &str) -> Self {
        self.described.checkpoint = Some(Resumption { key: key.into(), schema: 0, remove_when_done: false, start_over: false });
        self
    }
}

impl<'a, C> Operation<'a, NoFallback, C> {
    /// What is run if nothing else serves. It has no limit of time.
    pub fn fallback<B, H>(self, fallback: B) -> Operation<'a, Fallback<B>, C>
    where
        B: FnOnce() -> H,
        H: Future,
    {
        Operation { described: self.described, fallback: Fallback(fallback), checkpoint: PhantomData }
    }
}

impl Operation<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::CircuitOpen`], [`Error::BulkheadFull`], [`Error::ShuttingDown`], or [`Error::Configuration`] where what was said
    /// cannot be used. A cached answer of another type counts as none.
    pub async fn run<T, E, F>(self, operation: impl FnMut(Attempt) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        self.run_accepting(operation, |_| true).await
    }

    /// Runs it; live `Ok` results must be accepted too, and one that is not counts as a failure ([`crate::error::RejectedResult`]).
    ///
    /// # Errors
    /// As [`Operation::run`].
    pub async fn run_accepting<T, E, F>(
        self,
        operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
    ) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        self.described.drive(operation, accept, None::<fn() -> std::future::Ready<Result<T, Error>>>).await
    }
}

impl<B> Operation<'_, Fallback<B>> {
    /// Runs it; if nothing else serves, runs the fallback.
    ///
    /// # Errors
    /// [`Error::FallbackFailed`] holds both errors. Otherwise as without a fallback.
    pub async fn run<T, E, F, G, H>(self, operation: impl FnMut(Attempt) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: FnOnce() -> H,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        self.run_accepting(operation, |_| true).await
    }

    /// Runs it; live `Ok` results must be accepted too. What the fallback gives is taken as it is.
    ///
    /// # Errors
    /// As [`Operation::run`].
    pub async fn run_accepting<T, E, F, G, H>(
        self,
        operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
    ) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: FnOnce() -> H,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        self.described.drive(operation, accept, Some(self.fallback.0)).await
    }
}

impl Operation<'_, NoFallback, Resuming> {
    /// Runs it. Each attempt is handed what was saved last, by an earlier attempt or an earlier process: none where nothing was.
    ///
    /// # Errors
    /// As without a checkpoint. State that cannot be restored is a failure of the attempt: [`StoreError::SchemaMismatch`], [`StoreError::Corrupt`], or
    /// whatever keeps the store from answering, which may pass.
    pub async fn run<T, S, E, F>(self, operation: impl FnMut(Option<S>) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        S: DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        let mut operation = operation;
        self.run_attempts(move |_, resume| operation(resume)).await
    }

    /// [`Operation::run`] for operations that look at the attempt, too, and save to [`Attempt::checkpoint`].
    ///
    /// # Errors
    /// As there.
    pub async fn run_attempts<T, S, E, F>(self, operation: impl FnMut(Attempt, Option<S>) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        S: DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        self.described.resume(operation, None::<fn() -> std::future::Ready<Result<T, Error>>>).await
    }
}

impl<B> Operation<'_, Fallback<B>, Resuming> {
    /// Runs it, as without a fallback; if nothing else serves, runs the fallback.
    ///
    /// # Errors
    /// [`Error::FallbackFailed`] holds both errors. Otherwise as without a fallback.
    pub async fn run<T, S, E, F, G, H>(self, operation: impl FnMut(Option<S>) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        S: DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: FnOnce() -> H,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        let mut operation = operation;
        self.run_attempts(move |_, resume| operation(resume)).await
    }

    /// [`Operation::run`] for operations that look at the attempt, too, and save to [`Attempt::checkpoint`].
    ///
    /// # Errors
    /// As there.
    pub async fn run_attempts<T, S, E, F, G, H>(self, operation: impl FnMut(Attempt, Option<S>) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        S: DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: FnOnce() -> H,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        self.described.resume(operation, Some(self.fallback.0)).await
    }
}

impl<B> Operation<'_, B, Resuming> {
    /// The version of the state's type; see [`Checkpoint::schema`].
    pub fn schema(self, schema: u32) -> Self {
        self.resumption(|resumption| resumption.schema = schema)
    }

    /// The checkpoint is removed when the operation has given a live answer. It stays if anything else served, or if nothing did.
    pub fn remove_when_done(self) -> Self {
        self.resumption(|resumption| resumption.remove_when_done = true)
    }

    /// Begins with nothing where what was saved cannot be restored because it is damaged, of another schema or of another type. Without this
    /// the operation fails.
    pub fn start_over_if_unreadable(self) -> Self {
        self.resumption(|resumption| resumption.start_over = true)
    }

    fn resumption(mut self, change: impl FnOnce(&mut Resumption)) -> Self {
        self.described.checkpoint.as_mut().map(change);
        self
    }
}

impl<'a, B, C> Operation<'a, B, C> {
    /// How long everything together may take: attempts, waits, other models. Above 0.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.described.terms.deadline = Some(limit);
        self
    }

    /// How long one attempt may take. Above 0.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.described.terms.attempt_timeout = Some(limit);
        self
    }

    /// How often it is tried with one model: 1 is once, without a retry.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.described.attempts = Some(attempts);
        self
    }

    /// Whether repeating it can do no harm.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.described.terms.idempotent = idempotent;
        self
    }

    /// The model to use first. The manager's fallback models may take its place.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.described.models = vec![model.into()];
        self
    }

    /// The models to use, best first, in place of the manager's chain.
    pub fn models<M: Into<String>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.described.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Serves an answer that is cached under `key` and younger than `fresh` without calling; one younger than `stale` if the call fails. Live answers
    /// are cached. Where memory has none and the manager's cache is [kept in a store](crate::manager::RecoveryManagerBuilder::cache_in_store), that is asked first,
    /// for 50 ms at most.
    ///
    /// Of all who ask for the same key at the same time one calls, and the others are served what it gets ([`Served::Cached`] with an age of about 0). If it
    /// gets nothing for them (it fails or is dropped, or something else serves in the answer's place) the next of them calls, one at a time, each with its own
    /// attempts; a wait ends with the deadline of who waits. An operation waits for others only as long as somebody drives them: do not hold one that has
    /// begun and wait for another with the same key. With a `fresh` of zero nobody waits for anybody.
    pub fn cache(mut self, key: impl Into<String>, fresh: Duration, stale: Duration) -> Self {
        self.described.caching = Some(Caching { key: key.into(), fresh, stale });
        self
    }

    /// Progress is saved under this key: each attempt is handed what was saved last, and saves by [`Attempt::checkpoint`] or
    /// [`RecoveryManager::save_checkpoint`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use upright::{RecoveryManager, store::StateAddress};
    /// let manager = RecoveryManager::builder().state(StateAddress::Memory).build()?;
    /// let import = |resume: Option<u64>| {
    ///     let manager = manager.clone();
    ///     async move {
    ///         for row in resume.unwrap_or(0)..1000 {
    ///             if row % 100 == 0 {
    ///                 manager.save_checkpoint("import_job", &row).await?;
    ///             }
    ///         }
    ///         Ok::<_, upright::store::StoreError>(1000)
    ///     }
    /// };
    /// let imported = manager.operation("import").checkpoint("import_job").remove_when_done().run(import).await?;
    /// assert_eq!(imported.value, 1000);
    /// # Ok(()) }
    /// ```
    pub fn checkpoint(mut self, key: impl Into<Arc<str>>) -> Operation<'a, B, Resuming> {
        self.described.checkpoint = Some(Resumption { key: key.into(), schema: 0, remove_when_done: false, start_over: false });
        Operation { described: self.described, fallback: self.fallback, checkpoint: PhantomData }
    }

    /// The operation looks at [`Attempt::simplified`] and can run a lighter workflow.
    pub fn can_simplify(mut self) -> Self {
        self.described.can_simplify = true;
        self
    }

    /// The name of the breaker that guards it. With a choice of models each model has its own, under this name and the model's.
    pub fn breaker(mut self, name: impl Into<String>) -> Self {
        self.described.breaker = Some(name.into());
        self
    }

    /// The name of the budget that its retries and rivals are taken from; the manager's budget of this name is shared by all that name it.
    pub fn budget(mut self, name: &str) -> Self {
        self.described.terms.budget = Some(self.described.manager.budgets().get(name));
        self
    }

    /// The name of the bulkhead that each attempt must find room in; the manager's bulkhead of this name is shared by all that name it.
    pub fn bulkhead(mut self, name: &str) -> Self {
        self.described.terms.bulkhead = Some(self.described.manager.bulkheads().get(name));
        self
    }

    /// Sends rivals after slow attempts.
    pub fn hedge(mut self, hedge: &Hedge) -> Self {
        self.described.terms.hedge = Some(hedge.clone());
        self
    }
}

impl<'m> Described<'m> {
    /// Whether what was said can be used; settles how often it is tried.
    fn settle(&mut self) -> Result<(), ConfigurationError> {
        if let Some(attempts) = self.attempts {
            ConfigurationError::unless(attempts >= 1, "attempts", attempts, "expected at least 1")?;
            self.terms.retry.max_retries = attempts - 1;
        }
        self.terms.check()
    }

    /// Runs attempts that are handed what was saved last.
    async fn resume<T, S, E, F, G, H>(
        self,
        operation: impl FnMut(Attempt, Option<S>) -> F,
        fallback: Option<impl FnOnce() -> H>,
    ) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        S: DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        let start_over = self.checkpoint.as_ref().is_some_and(|resumption| resumption.start_over);
        let done = self.checkpoint.as_ref().filter(|resumption| resumption.remove_when_done).map(|resumption| Arc::clone(&resumption.key));
        let checkpoints = self.manager.checkpoints();
        // The attempts of a hedged operation overlap, and each begins by waiting for the store.
        let operation = Mutex::new(operation);
        let attempt = |attempt: Attempt| {
            let operation = &operation;
            async move {
                let resume = match &attempt.checkpoint {
                    Some(checkpoint) => restored(checkpoint, start_over).await?,
                    None => None,
                };
                let running = (*operation.lock().unwrap_or_else(PoisonError::into_inner))(attempt, resume);
                running.await.map_err(OperationError::into_boxed)
            }
        };
        let recovered: Recovered<T> = self.drive(attempt, |_| true, fallback).await?;
        if let Some(key) = done.filter(|_| recovered.served == Served::Live)
            && let Err(error) = checkpoints.remove(&key).await
        {
            // The answer is there all the same; the next run begins where this one ended.
            tracing::warn!(target: "upright", key = &*key, %error, "the checkpoint of an operation that is done cannot be removed");
        }
        Ok(recovered)
    }

    async fn drive<T, E, F, G, H>(
        mut self,
        operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
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
        self.settle()?;
        let _running = manager.enter()?;
        let mut before = Before::default();
        if let Some(caching) = &self.caching {
            let found = match self.cached_value(caching.fresh) {
                Some(found) => Some(found),
                // In a box, as most operations have no use for it.
                None => Box::pin(self.before_calling(caching, &mut before)).await,
            };
            if let Some((value, age)) = found {
                #[cfg(feature = "metrics")]
                crate::metrics::answered_without_a_call(&self.terms.name);
                return Ok(Recovered { value, served: Served::Cached { age }, model: None, attempts: 0 });
            }
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
        let mut session = Session::begin(&strategy.guarding, &self.terms, &at_hand, first);
        if let Some(began) = before.began {
            session.count_from(began);
        }
        let next = before.out_of_time.then(|| session.out_of_time());
        let ending = session.run(breaker, operation, accept, next).await;
        let as_asked = session.is_as_asked();
        let (model, attempts) = session.summary();
        if !matches!(ending, Ending::Live(_)) {
            // Those who wait for the same do not wait for what takes its place.
            before.lead = None;
        }
        match ending {
            Ending::Live(value) => {
                // Another model's answer, or a lighter workflow's, must not pass for this one's later.
                if as_asked {
                    self.remember(&value, before.lead.take());
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
        read(&self.manager.degradation().get_cached_response(&caching.key, max_age)?)
    }

    /// What is to be found without calling: what others who ask the same have got, or what the store has. Where that takes time it counts.
    async fn before_calling<T: DeserializeOwned>(&self, caching: &Caching, before: &mut Before<'m>) -> Option<(T, Duration)> {
        let manager = self.manager;
        let clock = manager.clock();
        let began = *before.began.insert(clock.now());
        let left = || self.terms.deadline.map(|deadline| deadline.saturating_sub(between(began, clock.now())));
        let Caching { key, fresh, stale } = caching;
        let cache = manager.degradation().cache();
        if !fresh.is_zero() {
            let turn = manager.flights().join(key).turn().map(Ok::<_, Infallible>);
            match within(left(), clock, turn).await {
                Ok(Turn::Lead(lead)) => before.lead = Some(lead),
                Ok(Turn::Landed(landed)) => {
                    // One that does not suit is none: it calls by itself.
                    return landed.younger(*fresh, clock.now()).and_then(|cached| read(&cached));
                }
                Ok(Turn::Alone) => {}
                Err(_) => before.out_of_time = true,
            }
        }
        // One that may only be served after a failure is not asked for twice.
        let wanted = if fresh.is_zero() { *stale } else { *fresh };
        let cached = cache.load_within(key, wanted, left().unwrap_or(Duration::MAX)).await?;
        let found = if cached.age <= *fresh { read(&cached) } else { None };
        if found.is_some()
            && let Some(lead) = before.lead.take()
        {
            lead.land(Landed::new(cached, clock.now()));
        }
        found
    }

    /// Caches a live answer, and gives it to those who wait for the same.
    fn remember<T: Serialize>(&self, value: &T, lead: Option<Lead<'_>>) {
        let Some(caching) = &self.caching else { return };
        match serde_json::to_value(value) {
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

/// What came before the call.
#[derive(Default)]
struct Before<'a> {
    /// When it began, if it may have taken time.
    began: Option<Instant>,
    /// Others wait for what this operation gets.
    lead: Option<Lead<'a>>,
    /// The deadline passed.
    out_of_time: bool,
}

fn read<T: DeserializeOwned>(cached: &CachedResponse) -> Option<(T, Duration)> {
    Some((T::deserialize(&*cached.value).ok()?, cached.age))
}

async fn restored<S: DeserializeOwned>(checkpoint: &Checkpoint, start_over: bool) -> Result<Option<S>, BoxError> {
    match checkpoint.restore().await {
        Err(error @ (StoreError::Corrupt { .. } | StoreError::SchemaMismatch { .. })) if start_over => {
            tracing::warn!(target: "upright", %error, "beginning with nothing");
            Ok(None)
        }
        restored => Ok(restored?),
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
    operation: &'o Described<'m>,
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
        let resumption = self.operation.checkpoint.as_ref()?;
        Some(self.operation.manager.checkpoints().at(Arc::clone(&resumption.key)).schema(resumption.schema))
    }

    fn resources(&self) -> Option<ResourceSnapshot> {
        self.operation.manager.resources()
    }
}
