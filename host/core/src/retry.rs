//! Retries with exponential backoff, jitter, a circuit breaker inside and limits of time.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::RetryStrategy;
//!
//! let retry = RetryStrategy::builder().max_retries(3).build()?;
//! let page = retry.execute(|| async { Ok::<_, std::io::Error>("page") }).await?;
//! assert_eq!(page, "page");
//! # Ok(()) }
//! ```

mod variants;

use crate::breaker::{CircuitBreaker, CircuitBreakerBuilder};
use crate::budget::RetryBudget;
use crate::bulkhead::Bulkhead;
use crate::classifier::ErrorClassifier;
use crate::clock::{Instant, SharedClock, SystemClock};
use crate::driving::{Alone, Attempt, Ending, Mode, OnUnknown, RetryIf, Run, Runtime, Settings, drive, outcome_error, poll_limit};
use crate::error::{BoxError, CircuitOpen, ConfigurationError, Error, RejectedResult};
use crate::events::{Events, is_watched};
use crate::fault::{DescribesItself, FaultReader, OperationError, find};
use crate::hedge::Hedge;
use crate::policy::PolicySlot;
use crate::random::{SharedRandom, SystemRandom};
use crate::types::{BreakerConfig, Fault, Profile, RetryConfig};
use std::future::{poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A first attempt that failed before there was a run.
struct FirstFailure {
    error: BoxError,
    /// The breaker's generation at the start of the attempt; `None` without a breaker.
    generation: Option<u64>,
    began: Option<Instant>,
}

/// Keeps the failure path, with its large stack, out of the success path.
#[inline(never)]
fn poll_apart<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(context)
}

/// Retries operations. Cloning shares its breaker.
///
/// # The order of guards
///
/// The order of the builder's calls does not matter. The guards of an attempt always stand in this order, outermost
/// first:
///
/// 1. the deadline, over everything;
/// 2. retries;
/// 3. the circuit breaker, which rejects before any wait;
/// 4. the bulkhead, in whose queue the attempt's time limit does not run yet;
/// 5. the time limit of the attempt, shared by its hedge attempts;
/// 6. the operation.
///
/// A fallback comes last and has no limit.
#[derive(Clone)]
pub struct RetryStrategy {
    shared: Arc<Shared>,
}

#[doc(hidden)]
pub struct Shared {
    pub runtime: Arc<Runtime>,
    pub settings: Settings,
    pub breaker: Option<CircuitBreaker>,
    /// Whether an attempt is no more than a call within a time limit.
    simple: bool,
}

impl Shared {
    fn new(runtime: Arc<Runtime>, settings: Settings, breaker: Option<CircuitBreaker>) -> Arc<Self> {
        let simple = settings.bulkhead.is_none() && settings.hedge.is_none();
        Arc::new(Self { runtime, settings, breaker, simple })
    }

    /// Whether an attempt is no more than a call within a time limit.
    pub fn is_simple(&self) -> bool {
        self.simple
    }
}

/// The breaker of a strategy.
#[derive(Clone)]
enum Breaker {
    /// None.
    None,
    /// One of its own.
    Own(BreakerConfig),
    /// This one, perhaps shared with others.
    Given(CircuitBreaker),
}

/// Builds a [`RetryStrategy`]. Defaults: 3 retries, delays from 1 s that double to at most 60 s, jitter from 0.8 to
/// 1.2, a circuit breaker of its own, no time limits.
#[derive(Clone)]
#[must_use]
pub struct RetryStrategyBuilder {
    settings: Settings,
    breaker: Breaker,
    policy: Option<PolicySlot>,
    clock: SharedClock,
    random: SharedRandom,
    events: Events,
    classifier: Option<Arc<ErrorClassifier>>,
    error_readers: Vec<FaultReader>,
    retry_if: Vec<RetryIf>,
    on_unknown: OnUnknown,
}

impl Default for RetryStrategyBuilder {
    fn default() -> Self {
        Self {
            settings: Settings {
                name: "operation".into(),
                retry: RetryConfig::default(),
                attempt_timeout: None,
                deadline: None,
                idempotent: true,
                budget: None,
                bulkhead: None,
                hedge: None,
            },
            breaker: Breaker::Own(BreakerConfig::default()),
            policy: None,
            clock: SystemClock::shared(),
            random: Arc::new(SystemRandom),
            events: Events::default(),
            classifier: None,
            error_readers: Vec::new(),
            retry_if: Vec::new(),
            on_unknown: OnUnknown::default(),
        }
    }
}

impl RetryStrategyBuilder {
    /// The name in events, and of the strategy's own breaker.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// All retry settings at once.
    pub fn config(mut self, config: RetryConfig) -> Self {
        self.settings.retry = config;
        self
    }

    /// Maximum number of retries after the first attempt; 0 for none.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.settings.retry.max_retries = retries;
        self
    }

    /// Delay before the first retry.
    pub fn base_delay(mut self, delay: Duration) -> Self {
        self.settings.retry.base_delay = delay.as_secs_f64();
        self
    }

    /// Maximum delay. The operation gives up where a server asks for a longer wait (`Retry-After`).
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.settings.retry.max_delay = delay.as_secs_f64();
        self
    }

    /// Factor between one delay and the next; at least 1.
    pub fn backoff_factor(mut self, factor: f64) -> Self {
        self.settings.retry.backoff_factor = factor;
        self
    }

    /// Whether delays vary at random.
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.settings.retry.jitter = jitter;
        self
    }

    /// Whether the strategy has a circuit breaker of its own, with default settings. True by default.
    pub fn use_circuit_breaker(mut self, wanted: bool) -> Self {
        self.breaker = if wanted { Breaker::Own(BreakerConfig::default()) } else { Breaker::None };
        self
    }

    /// A circuit breaker of the strategy's own, with these settings.
    pub fn breaker_config(mut self, config: BreakerConfig) -> Self {
        self.breaker = Breaker::Own(config);
        self
    }

    /// Uses this circuit breaker, which others may share. [The breaker's own policy](crate::breaker) decides when it
    /// opens and closes.
    pub fn breaker(mut self, breaker: CircuitBreaker) -> Self {
        self.breaker = Breaker::Given(breaker);
        self
    }

    /// The policy that decides what follows a failure. By default that of a [given breaker](Self::breaker), else the
    /// built-in one.
    pub fn policy(mut self, policy: impl Into<PolicySlot>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// The clock.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// The source of randomness.
    pub fn random(mut self, random: SharedRandom) -> Self {
        self.random = random;
        self
    }

    /// Receives events.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Records every failed attempt, also those that a retry recovered.
    pub fn classifier(mut self, classifier: Arc<ErrorClassifier>) -> Self {
        self.classifier = Some(classifier);
        self
    }

    /// Time limit of one attempt. A blocking attempt cannot be stopped: it finds the limit in [`Attempt::time_left`].
    ///
    /// The breaker counts an attempt that times out as a failure. It does not count a later attempt that the deadline
    /// left less than this limit.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.settings.attempt_timeout = Some(limit);
        self
    }

    /// Time limit of all attempts and the waits between them together. A fallback runs after it, without a limit.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.settings.deadline = Some(limit);
        self
    }

    /// Whether repeating the operation can do no harm (the default). Otherwise only failures that never reached the
    /// service are retried.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.settings.idempotent = idempotent;
        self
    }

    /// Limits retries together with other strategies that have the same budget.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.settings.budget = Some(budget);
        self
    }

    /// Limits concurrent attempts together with other strategies that have the same bulkhead. Waits between attempts
    /// take no place.
    pub fn bulkhead(mut self, bulkhead: Bulkhead) -> Self {
        self.settings.bulkhead = Some(bulkhead);
        self
    }

    /// Sends hedge attempts after slow attempts. They take from the hedge's own budget, else from the strategy's.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.settings.hedge = Some(hedge);
        self
    }

    /// Reads the facts of errors of your own types. Errors that it does not know are read as always. May be called for
    /// several readers: the first that knows the error reads it. See [`FaultReader`].
    pub fn fault_reader(mut self, reader: impl Fn(&(dyn std::error::Error + 'static)) -> Option<Fault> + Send + Sync + 'static) -> Self {
        self.error_readers.push(Arc::new(reader));
        self
    }

    /// Decides by the caller's own error type whether to retry, in place of the classifier. `true` retries within the
    /// limits of attempts and time, unless the call was cancelled or must not be repeated; `false` gives up. The type
    /// is looked for in the whole chain of causes; errors of other types are classified as always. May be called for
    /// several types: the first that matches decides.
    ///
    /// ```
    /// use upright::RetryStrategy;
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("job {state}")]
    /// struct JobError {
    ///     state: &'static str,
    /// }
    ///
    /// let retry = RetryStrategy::builder().retry_if(|error: &JobError| error.state == "pending").build()?;
    /// # Ok::<(), upright::error::ConfigurationError>(())
    /// ```
    pub fn retry_if<E: std::error::Error + 'static>(mut self, retries: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if.push(Arc::new(move |error| find::<E>(error).map(&retries)));
        self
    }

    /// Reads the facts of an error type that describes itself. The type is looked for in the whole chain of causes.
    /// May be called for several types.
    ///
    /// ```
    /// use upright::RetryStrategy;
    /// use upright::fault::DescribesItself;
    /// use upright::types::{Fault, FaultKind};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("row {0} is malformed")]
    /// struct Malformed(u64);
    ///
    /// impl DescribesItself for Malformed {
    ///     fn fault(&self) -> Fault {
    ///         Fault::new(FaultKind::InvalidInput, self.to_string())
    ///     }
    /// }
    ///
    /// let retry = RetryStrategy::builder().describes::<Malformed>().build()?;
    /// # Ok::<(), upright::error::ConfigurationError>(())
    /// ```
    pub fn describes<E: DescribesItself>(mut self) -> Self {
        self.error_readers.push(Arc::new(|error| find::<E>(error).map(DescribesItself::fault)));
        self
    }

    /// Decides what follows an error that no rule of the classifier knows. By default the operation gives up, and the
    /// log says how to retry it.
    pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
        self.on_unknown = on_unknown;
        self
    }

    /// The strategy.
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    pub fn build(self) -> Result<RetryStrategy, ConfigurationError> {
        self.settings.check()?;
        let Self { settings, breaker, policy, clock, random, events, classifier, error_readers, retry_if, on_unknown } = self;
        let policy = policy.unwrap_or_else(|| match &breaker {
            Breaker::Given(breaker) => breaker.policy().clone(),
            _ => PolicySlot::native().connected(Arc::clone(&clock), events.clone()),
        });
        let own = |config| -> Result<CircuitBreaker, ConfigurationError> {
            let builder: CircuitBreakerBuilder = CircuitBreaker::builder(Arc::clone(&settings.name)).config(config);
            builder.policy(policy.clone()).clock(Arc::clone(&clock)).events(events.clone()).build()
        };
        let breaker = match breaker {
            Breaker::None => None,
            Breaker::Own(config) => Some(own(config)?),
            Breaker::Given(breaker) => Some(breaker),
        };
        let runtime = Runtime { policy, clock, random, events, classifier, error_readers, retry_if, on_unknown };
        Ok(RetryStrategy { shared: Shared::new(Arc::new(runtime), settings, breaker) })
    }
}

impl Default for RetryStrategy {
    /// The strategy of the default settings, with a breaker of its own. Keep it for all calls: each default strategy
    /// has another breaker.
    fn default() -> Self {
        let RetryStrategyBuilder { settings, clock, random, events, error_readers, retry_if, on_unknown, .. } =
            RetryStrategyBuilder::default();
        let policy = PolicySlot::default();
        let breaker = CircuitBreaker::builder(Arc::clone(&settings.name)).policy(policy.clone()).build_checked();
        let runtime = Runtime { policy, clock, random, events, classifier: None, error_readers, retry_if, on_unknown };
        Self { shared: Shared::new(Arc::new(runtime), settings, Some(breaker)) }
    }
}

impl From<&RetryStrategy> for RetryStrategy {
    fn from(strategy: &RetryStrategy) -> Self {
        strategy.clone()
    }
}

impl RetryStrategy {
    /// Builds a strategy.
    pub fn builder() -> RetryStrategyBuilder {
        RetryStrategyBuilder::default()
    }

    /// A builder with the settings that the policy recommends for this kind of operation.
    pub fn recommended(profile: Profile, policy: impl Into<PolicySlot>) -> RetryStrategyBuilder {
        let policy = policy.into();
        let recommendation = policy.recommend(profile);
        let limit = |span: Option<f64>| span.map(crate::clock::seconds);
        let default = RetryStrategyBuilder::default();
        RetryStrategyBuilder {
            settings: Settings {
                retry: recommendation.retry,
                attempt_timeout: limit(recommendation.attempt_timeout),
                deadline: limit(recommendation.total_deadline),
                ..default.settings
            },
            breaker: Breaker::Own(recommendation.breaker),
            policy: Some(policy),
            ..default
        }
    }

    /// Its circuit breaker, if it has one.
    pub fn breaker(&self) -> Option<&CircuitBreaker> {
        self.shared.breaker.as_ref()
    }

    /// Its retry settings.
    pub fn config(&self) -> RetryConfig {
        self.shared.settings.retry
    }

    #[doc(hidden)]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The delay after attempt `attempt` (the first is 0) failed, as the policy decides it.
    pub fn delay(&self, attempt: u32) -> Duration {
        let Runtime { policy, random, .. } = &*self.shared.runtime;
        policy.delay(&self.shared.settings.retry, attempt, random.draw())
    }

    /// Runs an operation, with retries as the policy decides.
    ///
    /// # Errors
    /// [`Error::Failed`] with the operation's own last error; [`Error::CircuitOpen`] or [`Error::BulkheadFull`] if it
    /// was not tried.
    pub fn execute<T, E, F>(&self, mut operation: impl FnMut() -> F) -> impl Future<Output = Result<T, Error>>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        self.execute_accepting(move |_| operation(), |_| true)
    }

    /// Runs an operation that gets each [`Attempt`]. An `Ok` result that `accept` rejects counts as a failure.
    ///
    /// # Errors
    /// Those of [`RetryStrategy::execute`]; the last error may be [`crate::error::RejectedResult`].
    pub async fn execute_accepting<T, E, F>(&self, mut operation: impl FnMut(Attempt) -> F, accept: impl Fn(&T) -> bool) -> Result<T, Error>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        let Shared { runtime, settings, breaker, simple } = &*self.shared;
        let mut first = None;
        // Nearly all calls end here: one attempt through a closed breaker, without a run.
        if *simple && !is_watched() {
            let passes = breaker.as_ref().map(CircuitBreaker::passes);
            if let Some(None) = passes {
                if let Some(open) = self.rejected() {
                    return Err(Error::CircuitOpen(open));
                }
            } else {
                let (limit, mut began) = settings.first_limit(&runtime.clock);
                let mut attempt = pin!(operation(Attempt::first(limit)));
                let mut timer = None;
                let outcome = poll_fn(|context| match attempt.as_mut().poll(context) {
                    Poll::Ready(outcome) => Poll::Ready(outcome.map_err(Some)),
                    Poll::Pending => {
                        if began.is_none() {
                            began = Some(runtime.clock.coarse());
                        }
                        poll_limit(limit, &runtime.clock, &mut timer, context).map(|()| Err(None))
                    }
                })
                .await;
                let generation = passes.flatten();
                let error = match outcome {
                    Ok(value) if accept(&value) => {
                        if let (Some(breaker), Some(generation)) = (breaker, generation) {
                            breaker.passed(generation);
                        }
                        return Ok(value);
                    }
                    Ok(_) => RejectedResult.into(),
                    Err(error) => outcome_error(error, limit),
                };
                first = Some(FirstFailure { error, generation, began });
            }
        }
        let mut rest = pin!(self.go_on(first, operation, accept));
        poll_fn(|context| poll_apart(rest.as_mut(), context)).await
    }

    /// Goes on after a failed first attempt. Makes the first attempt itself where the fast path does not apply.
    async fn go_on<T, E, F>(
        &self,
        first: Option<FirstFailure>,
        operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
    ) -> Result<T, Error>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        let (mut run, first) = match first {
            None => (Run::begin(self), None),
            Some(FirstFailure { error, generation, began }) => {
                let mut run = Run::after_first(self, Alone::default(), began, generation);
                let facts = run.facts(&*error);
                let step = run.failed(facts);
                (run, Some((step, error)))
            }
        };
        match drive(&mut run, first, operation, accept, Mode::Async).await {
            Ending::Live(value) => Ok(value),
            Ending::Failed(error) | Ending::Cached(error) | Ending::Fallback(error) => Err(error),
        }
    }

    /// A run without models, cache and checkpoint. `fallback` says whether the caller has one.
    fn run(&self, fallback: bool) -> Run {
        let Shared { runtime, settings, breaker, .. } = &*self.shared;
        Run::with(Arc::clone(runtime), settings.clone(), Alone { fallback }, breaker.clone(), None)
    }

    /// The breaker's rejection of a call. `None` if the breaker admits the call after all: then a run asks it again.
    #[cold]
    fn rejected(&self) -> Option<CircuitOpen> {
        self.shared.breaker.as_ref().and_then(|breaker| breaker.try_acquire().err())
    }

    /// Runs an operation; if it fails for good, or its breaker is open, runs the fallback.
    ///
    /// # Errors
    /// [`Error::FallbackFailed`] holds both errors.
    pub async fn execute_with_fallback<T, E, F, G, H>(
        &self,
        mut operation: impl FnMut() -> F,
        fallback: impl FnOnce() -> H,
    ) -> Result<T, Error>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        match drive(&mut self.run(true), None, move |_| operation(), |_| true, Mode::Async).await {
            Ending::Live(value) => Ok(value),
            Ending::Failed(error) => Err(error),
            Ending::Cached(error) | Ending::Fallback(error) => match fallback().await {
                Ok(value) => Ok(value),
                Err(failed) => Err(Error::FallbackFailed { fallback: failed.into_boxed(), first: Box::new(error) }),
            },
        }
    }

    /// [`RetryStrategy::execute`] for a function that blocks; waits block the thread.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::CircuitOpen`], [`Error::BulkheadFull`].
    pub fn execute_blocking<T, E: OperationError>(&self, mut operation: impl FnMut() -> Result<T, E>) -> Result<T, Error> {
        self.execute_accepting_blocking(move |_| operation(), |_| true)
    }

    /// [`RetryStrategy::execute_accepting`] for a function that blocks.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::CircuitOpen`], [`Error::BulkheadFull`].
    pub fn execute_accepting_blocking<T, E: OperationError>(
        &self,
        operation: impl FnMut(Attempt) -> Result<T, E>,
        accept: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        match drive_blocking(self.run(false), operation, accept) {
            Ending::Live(value) => Ok(value),
            Ending::Failed(error) | Ending::Cached(error) | Ending::Fallback(error) => Err(error),
        }
    }

    /// [`RetryStrategy::execute_with_fallback`] for functions that block.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::CircuitOpen`], [`Error::BulkheadFull`].
    pub fn execute_with_fallback_blocking<T, E: OperationError, G: OperationError>(
        &self,
        mut operation: impl FnMut() -> Result<T, E>,
        fallback: impl FnOnce() -> Result<T, G>,
    ) -> Result<T, Error> {
        match drive_blocking(self.run(true), move |_| operation(), |_| true) {
            Ending::Live(value) => Ok(value),
            Ending::Failed(error) => Err(error),
            Ending::Cached(error) | Ending::Fallback(error) => {
                fallback().map_err(|failed| Error::FallbackFailed { fallback: failed.into_boxed(), first: Box::new(error) })
            }
        }
    }
}

/// Drives a run on this thread. A time limit is in [`Attempt::time_left`]: the attempt cannot be stopped from outside.
fn drive_blocking<T, E: OperationError>(
    mut run: Run,
    mut operation: impl FnMut(Attempt) -> Result<T, E>,
    accept: impl Fn(&T) -> bool,
) -> Ending<T> {
    let driven = pin!(drive(&mut run, None, move |attempt| ready(operation(attempt)), accept, Mode::Blocking));
    match driven.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ending) => ending,
        // All that a blocking drive awaits is ready: `Mode::Blocking` has no timer and no queue.
        Poll::Pending => unreachable!("a blocking drive waits for nothing"),
    }
}
