//! Describes one operation of a manager, with everything that may serve in its place.

mod running;

use crate::driving::{Attempt, Settings};
use crate::error::Error;
use crate::hedge::Hedge;
use crate::manager::RecoveryManager;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::{Future, Ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use upright_core::fault::OperationError;

/// A value and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered<T> {
    /// The value.
    pub value: T,
    /// Its source.
    pub served: Served,
    /// The model that gave a live value, in an operation with models.
    pub model: Option<Arc<str>>,
    /// Number of attempts made, over all models.
    pub attempts: u32,
}

/// The source of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The operation's own.
    Live,
    /// An earlier answer.
    Cached {
        /// The answer's age.
        age: Duration,
    },
    /// The fallback's.
    Fallback,
}

/// How an operation uses the cache.
#[derive(Clone, Debug)]
struct Caching {
    key: String,
    fresh: Duration,
    stale: Duration,
}

/// Maximum age of a cached answer that is served after a failure, where an operation sets none.
const STALE: Duration = Duration::from_secs(3600);

/// Whether an operation's answers are cached: [`Uncached`], or [`Cached`] where they can be written as JSON.
#[doc(hidden)]
pub trait MayCache<T>: sealed::Sealed {
    /// The answer as JSON.
    ///
    /// # Errors
    /// Those of the answer's `Serialize`.
    #[doc(hidden)]
    fn write(value: &T) -> serde_json::Result<Value>;

    /// The answer from JSON; `None` where it is of another type.
    #[doc(hidden)]
    fn read(json: &Value) -> Option<T>;
}

/// Answers are not cached, and may be of any type.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct Uncached;

/// Answers are cached.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct Cached;

impl<T> MayCache<T> for Uncached {
    fn write(_: &T) -> serde_json::Result<Value> {
        Ok(Value::Null)
    }

    fn read(_: &Value) -> Option<T> {
        None
    }
}

impl<T: Serialize + DeserializeOwned> MayCache<T> for Cached {
    fn write(value: &T) -> serde_json::Result<Value> {
        serde_json::to_value(value)
    }

    fn read(json: &Value) -> Option<T> {
        T::deserialize(json).ok()
    }
}

/// Whether an operation's results are successes.
#[doc(hidden)]
pub trait Accepts<T>: sealed::Sealed {
    /// Whether this result is a success.
    #[doc(hidden)]
    fn accepts(&self, value: &T) -> bool;
}

/// Every `Ok` result is a success.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct AcceptAll;

/// The caller's predicate says whether a result is a success.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct AcceptIf<P>(P);

impl<T> Accepts<T> for AcceptAll {
    fn accepts(&self, _: &T) -> bool {
        true
    }
}

impl<T, P: Fn(&T) -> bool> Accepts<T> for AcceptIf<P> {
    fn accepts(&self, value: &T) -> bool {
        (self.0)(value)
    }
}

/// An operation's fallback: [`NoFallback`], or [`Fallback`].
#[doc(hidden)]
pub trait Alternative<T>: sealed::Sealed {
    /// Whether there is a fallback.
    #[doc(hidden)]
    const IS_THERE: bool;
    /// The fallback's error.
    #[doc(hidden)]
    type Error: OperationError;
    /// The fallback as it runs.
    #[doc(hidden)]
    type Future: Future<Output = Result<T, Self::Error>>;

    /// Begins the fallback, if there is one.
    #[doc(hidden)]
    fn begin(self) -> Option<Self::Future>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::NoFallback {}
    impl<B> Sealed for super::Fallback<B> {}
    impl Sealed for super::Uncached {}
    impl Sealed for super::Cached {}
    impl Sealed for super::AcceptAll {}
    impl<P> Sealed for super::AcceptIf<P> {}
}

impl<T> Alternative<T> for NoFallback {
    const IS_THERE: bool = false;
    type Error = Error;
    type Future = Ready<Result<T, Error>>;

    fn begin(self) -> Option<Self::Future> {
        None
    }
}

impl<T, B, H, G> Alternative<T> for Fallback<B>
where
    B: FnOnce() -> H,
    H: Future<Output = Result<T, G>>,
    G: OperationError,
{
    const IS_THERE: bool = true;
    type Error = G;
    type Future = H;

    fn begin(self) -> Option<H> {
        Some((self.0)())
    }
}

/// The operation has no fallback.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct NoFallback;

/// The operation has a fallback.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct Fallback<B>(B);

/// The operation has no checkpoint.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct NoCheckpoint;

/// The operation has a checkpoint.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct Resuming;

/// Describes an operation; [`Operation::run`] runs it. Unset settings are the manager's. The order of settings does
/// not matter.
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
///     .run(|attempt| async move { ask(attempt.model()).await })
///     .await?;
/// assert_eq!(answer.value, "qwen3:8b");
/// # Ok(()) }
/// ```
#[must_use = "nothing happens until it is run"]
pub struct Operation<'a, B = NoFallback, C = NoCheckpoint, K = Uncached, A = AcceptAll> {
    described: Described<'a>,
    fallback: B,
    accept: A,
    kind: PhantomData<fn() -> (C, K)>,
}

struct Described<'a> {
    manager: &'a RecoveryManager,
    settings: Settings,
    attempts: Option<u32>,
    models: Vec<String>,
    caching: Option<Caching>,
    checkpoint: Option<Resumption>,
    can_simplify: bool,
    breaker: Option<String>,
}

#[derive(Clone, Debug)]
struct Resumption {
    key: Arc<str>,
    schema: u32,
    remove_when_done: bool,
    start_over: bool,
}

impl<'a> Operation<'a> {
    pub(crate) fn new(manager: &'a RecoveryManager, name: Arc<str>) -> Self {
        let settings = Settings { name, ..manager.strategy().shared().settings.clone() };
        let described = Described {
            manager,
            settings,
            attempts: None,
            models: Vec::new(),
            caching: None,
            checkpoint: None,
            can_simplify: false,
            breaker: None,
        };
        Self { described, fallback: NoFallback, accept: AcceptAll, kind: PhantomData }
    }

    /// Attempts get this checkpoint in [`Attempt::checkpoint`].
    pub(crate) fn handing_out(mut self, key: &str) -> Self {
        self.described.checkpoint = Some(Resumption { key: key.into(), schema: 0, remove_when_done: false, start_over: false });
        self
    }
}

impl<'a, C, K, A> Operation<'a, NoFallback, C, K, A> {
    /// Runs this if nothing else can serve. It has no time limit.
    pub fn fallback<B, H>(self, fallback: B) -> Operation<'a, Fallback<B>, C, K, A>
    where
        B: FnOnce() -> H,
        H: Future,
    {
        Operation { described: self.described, fallback: Fallback(fallback), accept: self.accept, kind: PhantomData }
    }
}

impl<'a, B, C, K> Operation<'a, B, C, K, AcceptAll> {
    /// Counts an `Ok` result that the predicate rejects as a failure
    /// ([`RejectedResult`](crate::error::RejectedResult)). The fallback's result is not checked.
    pub fn accept<T, P: Fn(&T) -> bool>(self, predicate: P) -> Operation<'a, B, C, K, AcceptIf<P>> {
        Operation { described: self.described, fallback: self.fallback, accept: AcceptIf(predicate), kind: PhantomData }
    }
}

impl<B, C, K, A> Operation<'_, B, C, K, A> {
    /// Runs the operation; if nothing else can serve, runs the fallback, where there is one.
    ///
    /// With a checkpoint an attempt resumes by [`Attempt::resume`] and saves by [`Attempt::checkpoint`].
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::CircuitOpen`], [`Error::BulkheadFull`], [`Error::ShuttingDown`];
    /// [`Error::Configuration`] for a setting that cannot be used; [`Error::FallbackFailed`] holds both errors.
    pub async fn run<T, E, F>(self, operation: impl FnMut(Attempt) -> F) -> Result<Recovered<T>, Error>
    where
        K: MayCache<T>,
        A: Accepts<T>,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: Alternative<T>,
    {
        let Self { described, fallback, accept, .. } = self;
        described.run::<T, E, F, B, K>(operation, move |value| accept.accepts(value), fallback).await
    }
}

impl<B, K, A> Operation<'_, B, Resuming, K, A> {
    /// The version of the state's type; see [`Checkpoint::schema`](crate::checkpoints::Checkpoint::schema). 0 by default.
    pub fn schema(self, schema: u32) -> Self {
        self.resumption(|resumption| resumption.schema = schema)
    }

    /// Removes the checkpoint after a live answer. It stays if anything else served, or nothing.
    pub fn remove_when_done(self) -> Self {
        self.resumption(|resumption| resumption.remove_when_done = true)
    }

    /// Starts over where the saved state is damaged, of another schema or of another type. Without this the attempt
    /// fails.
    pub fn start_over_if_unreadable(self) -> Self {
        self.resumption(|resumption| resumption.start_over = true)
    }

    fn resumption(mut self, change: impl FnOnce(&mut Resumption)) -> Self {
        self.described.checkpoint.as_mut().map(change);
        self
    }
}

impl<'a, B, C, K, A> Operation<'a, B, C, K, A> {
    /// Time limit of all attempts, waits and models together. Above 0.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.described.settings.deadline = Some(limit);
        self
    }

    /// Time limit of one attempt. Above 0.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.described.settings.attempt_timeout = Some(limit);
        self
    }

    /// Maximum number of attempts with one model: 1 is without a retry.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.described.attempts = Some(attempts);
        self
    }

    /// Whether repeating the operation can do no harm.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.described.settings.idempotent = idempotent;
        self
    }

    /// The model to use first. The manager's fallback models follow it.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.described.models = vec![model.into()];
        self
    }

    /// The models to use, best first, in place of the manager's chain.
    pub fn models<M: Into<String>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.described.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Caches live answers under this key. Set which ones serve by [`fresh_for`](Operation::fresh_for) and
    /// [`stale_for`](Operation::stale_for). A cached answer of another type is ignored.
    ///
    /// Where memory has no answer and the manager's cache is [kept in a store](crate::manager::RecoveryManagerBuilder::cache_in_store), the store is asked first,
    /// for 50 ms at most.
    ///
    /// Of operations with equal keys one calls, and the others wait for its answer ([`Served::Cached`] with an age of
    /// about 0). If it gets none (it fails, is dropped, or something else serves) the next one calls, with attempts
    /// of its own. A wait ends with the waiting operation's deadline. An operation waits only while the calling one
    /// is polled: do not hold a begun operation and wait for another with the same key.
    pub fn cache(self, key: impl Into<String>) -> Operation<'a, B, C, Cached, A> {
        self.cache_if(Some(key))
    }

    /// [`Operation::cache`] where there is a key; without one nothing is cached.
    pub fn cache_if(mut self, key: Option<impl Into<String>>) -> Operation<'a, B, C, Cached, A> {
        self.described.caching = key.map(|key| Caching { key: key.into(), fresh: Duration::ZERO, stale: STALE });
        Operation { described: self.described, fallback: self.fallback, accept: self.accept, kind: PhantomData }
    }

    /// Saves progress under this key.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use upright::{Attempt, RecoveryManager, store::StateAddress};
    /// let manager = RecoveryManager::builder().state(StateAddress::Memory).build()?;
    /// let import = |attempt: Attempt| {
    ///     let manager = manager.clone();
    ///     async move {
    ///         let first: u64 = attempt.resume().await?.unwrap_or(0);
    ///         for row in first..1000 {
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
    pub fn checkpoint(mut self, key: impl Into<Arc<str>>) -> Operation<'a, B, Resuming, K, A> {
        self.described.checkpoint = Some(Resumption { key: key.into(), schema: 0, remove_when_done: false, start_over: false });
        Operation { described: self.described, fallback: self.fallback, accept: self.accept, kind: PhantomData }
    }

    /// Declares that the operation looks at [`Attempt::simplified`] and can run a lighter workflow.
    pub fn can_simplify(mut self) -> Self {
        self.described.can_simplify = true;
        self
    }

    /// The name of the breaker that guards it. With a choice of models each model has its own, under this name and
    /// the model's.
    pub fn breaker(mut self, name: impl Into<String>) -> Self {
        self.described.breaker = Some(name.into());
        self
    }

    /// Takes retries and hedge attempts from the manager's retry budget of this name.
    pub fn budget(mut self, name: &str) -> Self {
        self.described.settings.budget = Some(self.described.manager.budgets().get(name));
        self
    }

    /// Gives each attempt a place in the manager's bulkhead of this name.
    pub fn bulkhead(mut self, name: &str) -> Self {
        self.described.settings.bulkhead = Some(self.described.manager.bulkheads().get(name));
        self
    }

    /// Sends hedge attempts after slow attempts.
    pub fn hedge(mut self, hedge: &Hedge) -> Self {
        self.described.settings.hedge = Some(hedge.clone());
        self
    }
}

impl<B, C, A> Operation<'_, B, C, Cached, A> {
    /// Serves a cached answer younger than this without calling. Zero by default: every operation calls.
    pub fn fresh_for(self, age: Duration) -> Self {
        self.caching(|caching| caching.fresh = age)
    }

    /// Serves a cached answer younger than this if the call fails. An hour by default.
    pub fn stale_for(self, age: Duration) -> Self {
        self.caching(|caching| caching.stale = age)
    }

    fn caching(mut self, change: impl FnOnce(&mut Caching)) -> Self {
        self.described.caching.as_mut().map(change);
        self
    }
}
