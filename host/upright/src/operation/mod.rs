//! One operation under a manager's care, with everything that may serve in its place.

mod running;

use crate::driving::{Attempt, Settings};
use crate::error::Error;
use crate::fault::OperationError;
use crate::hedge::Hedge;
use crate::manager::RecoveryManager;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::{Future, Ready};
use std::marker::PhantomData;
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

/// What may be run in an operation's place: nothing, or the fallback that was given.
pub trait Alternative<T>: sealed::Sealed {
    /// Whether there is something.
    const IS_THERE: bool;
    /// How it fails.
    type Error: OperationError;
    /// It, as it runs.
    type Future: Future<Output = Result<T, Self::Error>>;

    /// Begins it, if it is there.
    fn begin(self) -> Option<Self::Future>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::NoFallback {}
    impl<B> Sealed for super::Fallback<B> {}
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
    settings: Settings,
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

impl<B> Operation<'_, B> {
    /// Runs it; if nothing else serves, runs the fallback, where there is one.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::CircuitOpen`], [`Error::BulkheadFull`], [`Error::ShuttingDown`], or [`Error::Configuration`] where what was said
    /// cannot be used; [`Error::FallbackFailed`] holds both errors. A cached answer of another type counts as none.
    pub async fn run<T, E, F>(self, operation: impl FnMut(Attempt) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: Alternative<T>,
    {
        self.run_accepting(operation, |_| true).await
    }

    /// Runs it; live `Ok` results must be accepted too, and one that is not counts as a failure ([`crate::error::RejectedResult`]). What the fallback gives
    /// is taken as it is.
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
        B: Alternative<T>,
    {
        self.described.drive(operation, accept, self.fallback).await
    }
}

impl<B> Operation<'_, B, Resuming> {
    /// Runs it, and the fallback as without a checkpoint. Each attempt is handed what was saved last, by an earlier attempt or an earlier process: none where
    /// nothing was.
    ///
    /// # Errors
    /// As without a checkpoint. State that cannot be restored is a failure of the attempt: [`SchemaMismatch`](crate::store::StoreError::SchemaMismatch), [`Corrupt`](crate::store::StoreError::Corrupt), or
    /// whatever keeps the store from answering, which may pass.
    pub async fn run<T, S, E, F>(self, mut operation: impl FnMut(Option<S>) -> F) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        S: DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: Alternative<T>,
    {
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
        B: Alternative<T>,
    {
        self.run_accepting(operation, |_| true).await
    }

    /// [`Operation::run_attempts`]; live `Ok` results must be accepted too, as without a checkpoint.
    ///
    /// # Errors
    /// As there.
    pub async fn run_accepting<T, S, E, F>(
        self,
        operation: impl FnMut(Attempt, Option<S>) -> F,
        accept: impl Fn(&T) -> bool,
    ) -> Result<Recovered<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        S: DeserializeOwned,
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        B: Alternative<T>,
    {
        self.described.resume(operation, accept, self.fallback).await
    }
}

impl<B> Operation<'_, B, Resuming> {
    /// The version of the state's type; see [`Checkpoint::schema`](crate::checkpoints::Checkpoint::schema).
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
        self.described.settings.deadline = Some(limit);
        self
    }

    /// How long one attempt may take. Above 0.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.described.settings.attempt_timeout = Some(limit);
        self
    }

    /// How often it is tried with one model: 1 is once, without a retry.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.described.attempts = Some(attempts);
        self
    }

    /// Whether repeating it can do no harm.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.described.settings.idempotent = idempotent;
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
        self.described.settings.budget = Some(self.described.manager.budgets().get(name));
        self
    }

    /// The name of the bulkhead that each attempt must find room in; the manager's bulkhead of this name is shared by all that name it.
    pub fn bulkhead(mut self, name: &str) -> Self {
        self.described.settings.bulkhead = Some(self.described.manager.bulkheads().get(name));
        self
    }

    /// Sends rivals after slow attempts.
    pub fn hedge(mut self, hedge: &Hedge) -> Self {
        self.described.settings.hedge = Some(hedge.clone());
        self
    }
}
