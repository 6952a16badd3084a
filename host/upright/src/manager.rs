//! All strategies together: [`RecoveryManager`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::RecoveryManager;
//!
//! let manager = RecoveryManager::builder().fallback_models(["qwen3:8b", "gemma3:4b"]).build()?;
//! let answer = manager
//!     .execute_with_recovery(|_attempt| async { Ok::<_, std::io::Error>("hello".to_owned()) }, None)
//!     .await?;
//! assert_eq!(answer, "hello");
//! # Ok(()) }
//! ```

use crate::budget::{RetryBudget, RetryBudgetConfig, RetryBudgets};
use crate::bulkhead::{Bulkhead, BulkheadBuilder, Bulkheads};
use crate::checkpoints::{CheckpointLimits, Checkpoints};
use crate::classifier::ErrorClassifier;
use crate::degradation::{CacheLimits, Flights, GracefulDegradation, ResponseCache, StoredCacheOptions};
use crate::driving::{Attempt, OnUnknown};
use crate::error::{ConfigurationError, Error};
use crate::events::{Events, Subscription};
use crate::health::{HealthCheck, HealthReport};
use crate::operation::{Operation, Recovered};
use crate::policy::PolicyLifecycle;
use crate::retry::{RetryStrategy, RetryStrategyBuilder};
use crate::store::{StateAddress, Store, StoreError};
use crate::types::{BreakerConfig, Fault, ResourceSnapshot, RetryConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use upright_core::breaker::{BreakerSharing, CircuitBreaker, CircuitBreakers, Keeping, SharingCounts};
use upright_core::clock::{SharedClock, SystemClock};
use upright_core::fault::{DescribesItself, OperationError};
use upright_core::random::{SharedRandom, SystemRandom};

/// Guards operations with everything there is: retries, breakers, other models, a cache, checkpoints, fallbacks.
/// Cloning shares it.
#[derive(Clone)]
pub struct RecoveryManager {
    shared: Arc<Shared>,
}

struct Shared {
    strategy: RetryStrategy,
    policy: PolicyLifecycle,
    classifier: Arc<ErrorClassifier>,
    degradation: GracefulDegradation,
    health: Option<HealthCheck>,
    breakers: CircuitBreakers,
    /// Breakers are kept in the store.
    keeping: Option<Keeping>,
    budgets: RetryBudgets,
    bulkheads: Bulkheads,
    store: Arc<dyn Store>,
    checkpoints: Checkpoints,
    flights: Flights,
    events: Events,
    clock: SharedClock,
    closing: AtomicBool,
    running: AtomicUsize,
    ended: Notify,
}

/// Where a manager keeps its state.
enum State {
    At(StateAddress),
    In(Arc<dyn Store>),
}

/// Builds a [`RecoveryManager`].
#[must_use]
pub struct RecoveryManagerBuilder {
    retry: RetryStrategyBuilder,
    breaker: BreakerConfig,
    budgets: RetryBudgetConfig,
    bulkheads: BulkheadBuilder,
    fallback_models: Vec<String>,
    policy: Option<PolicyLifecycle>,
    clock: SharedClock,
    random: SharedRandom,
    state: Option<State>,
    keep_breakers: bool,
    checkpoint_limits: CheckpointLimits,
    health: Option<HealthCheck>,
    max_history: usize,
    cache: CacheLimits,
    stored_cache: Option<StoredCacheOptions>,
}

impl RecoveryManagerBuilder {
    /// When and how often to retry.
    pub fn retry(mut self, config: RetryConfig) -> Self {
        self.retry = self.retry.config(config);
        self
    }

    /// Delay before the first retry.
    pub fn base_delay(mut self, delay: Duration) -> Self {
        self.retry = self.retry.base_delay(delay);
        self
    }

    /// Maximum delay. An operation gives up where a server asks for a longer wait (`Retry-After`).
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.retry = self.retry.max_delay(delay);
        self
    }

    /// How long one attempt may take.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.retry = self.retry.attempt_timeout(limit);
        self
    }

    /// How long an operation may take in all.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.retry = self.retry.deadline(limit);
        self
    }

    /// Whether repeating an operation can do no harm (the default).
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.retry = self.retry.idempotent(idempotent);
        self
    }

    /// The budget that all its retries are taken from.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry = self.retry.budget(budget);
        self
    }

    /// Size of each retry budget that an operation names ([`Operation::budget`]). By default 20 tokens, and one
    /// gained per second.
    pub fn budgets(mut self, config: RetryBudgetConfig) -> Self {
        self.budgets = config;
        self
    }

    /// Template of the bulkheads that operations name ([`Operation::bulkhead`]). By default 4 concurrent calls and 64
    /// waiting. The manager's clock replaces the template's.
    pub fn bulkheads(mut self, template: BulkheadBuilder) -> Self {
        self.bulkheads = template;
        self
    }

    /// Reads the facts of errors of your own types. Errors that it does not know are read as always. See
    /// [`upright_core::fault::FaultReader`].
    pub fn fault_reader(mut self, reader: impl Fn(&(dyn std::error::Error + 'static)) -> Option<Fault> + Send + Sync + 'static) -> Self {
        self.retry = self.retry.fault_reader(reader);
        self
    }

    /// Decides by the caller's own error type whether to retry; see
    /// [`retry_if`](crate::retry::RetryStrategyBuilder::retry_if).
    pub fn retry_if<E: std::error::Error + 'static>(mut self, retries: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.retry = self.retry.retry_if(retries);
        self
    }

    /// Reads the facts of an error type that describes itself; see
    /// [`describes`](crate::retry::RetryStrategyBuilder::describes).
    pub fn describes<E: DescribesItself>(mut self) -> Self {
        self.retry = self.retry.describes::<E>();
        self
    }

    /// Decides what follows an error that no rule of the classifier knows; see
    /// [`on_unknown`](crate::retry::RetryStrategyBuilder::on_unknown).
    pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
        self.retry = self.retry.on_unknown(on_unknown);
        self
    }

    /// Settings of all breakers.
    pub fn breaker(mut self, config: BreakerConfig) -> Self {
        self.breaker = config;
        self
    }

    /// Time until an open breaker admits probes; more than 0.
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.breaker.recovery_timeout = timeout.as_secs_f64();
        self
    }

    /// The models that may replace another, best first. Empty by default.
    pub fn fallback_models<M: Into<String>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.fallback_models = models.into_iter().map(Into::into).collect();
        self
    }

    /// The policy that decides; the built-in one by default. Swap it later through [`RecoveryManager::policy`].
    pub fn policy(mut self, policy: impl Into<PolicyLifecycle>) -> Self {
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

    /// Keeps checkpoints, [breakers](Self::keep_breakers) and [cached responses](Self::cache_in_store) at this
    /// address; in memory by default. [`StateAddress::of_this_user`] is the address that the programs of one user
    /// share. Many processes may share one file.
    pub fn state(mut self, address: StateAddress) -> Self {
        self.state = Some(State::At(address));
        self
    }

    /// A store of your own in place of an [address](Self::state).
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.state = Some(State::In(store));
        self
    }

    /// Whether breakers are kept in the [`state`](Self::state): restored when the program restarts, and shared with
    /// all programs that have the same state. True where a state is set. Calls do not wait for the state: while it
    /// cannot be reached, each program decides by itself.
    pub fn keep_breakers(mut self, keep: bool) -> Self {
        self.keep_breakers = keep;
        self
    }

    /// Removes checkpoints above these limits of age and number.
    pub fn checkpoint_limits(mut self, limits: CheckpointLimits) -> Self {
        self.checkpoint_limits = limits;
        self
    }

    /// The health check that [`RecoveryManager::system_health`] runs. Its
    /// [thresholds](crate::health::HealthCheckBuilder::thresholds) also say when memory is too short for a retry.
    pub fn health(mut self, health: HealthCheck) -> Self {
        self.health = Some(health);
        self
    }

    /// Number of recent errors the classifier keeps.
    pub fn max_history(mut self, errors: usize) -> Self {
        self.max_history = errors;
        self
    }

    /// Limits of the response cache in memory.
    pub fn cache(mut self, limits: CacheLimits) -> Self {
        self.cache = limits;
        self
    }

    /// Also keeps cached responses in the store, for the time after a restart and for all who share the store. `None`
    /// turns this off.
    ///
    /// On by default where [`state`](Self::state) or [`store`](Self::store) is set. [`StateAddress::Memory`] would be
    /// a second copy in the same memory, so it counts as unset.
    pub fn cache_in_store(mut self, options: impl Into<Option<StoredCacheOptions>>) -> Self {
        self.stored_cache = options.into();
        self
    }

    /// The manager.
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    pub fn build(self) -> Result<RecoveryManager, ConfigurationError> {
        let events = Events::default();
        let clock = self.clock;
        let lifecycle = self.policy.unwrap_or_default().connected(Arc::clone(&clock), events.clone());
        let policy = lifecycle.slot().clone();
        let classifier = ErrorClassifier::new(self.max_history).with_clock(Arc::clone(&clock)).with_policy(policy.clone());
        let classifier = Arc::new(classifier);
        let template = CircuitBreaker::builder("breaker")
            .config(self.breaker)
            .policy(policy.clone())
            .clock(Arc::clone(&clock))
            .events(events.clone())
            .classifier(Arc::clone(&classifier));
        let is_said = !matches!(self.state, None | Some(State::At(StateAddress::Memory)));
        let store = match self.state.unwrap_or(State::At(StateAddress::Memory)) {
            State::At(address) => address.when_needed(Arc::clone(&clock)),
            State::In(store) => store,
        };
        let sharing = (is_said && self.keep_breakers).then(|| BreakerSharing::new(Arc::clone(&clock)));
        let breakers = CircuitBreakers::new(match &sharing {
            Some(sharing) => template.shared_by(sharing.clone()),
            None => template,
        })?;
        // Before the first breaker comes to be.
        let keeping = sharing.as_ref().map(|sharing| sharing.keep(Arc::clone(&store)));
        let budgets = RetryBudgets::with_clock(self.budgets, Arc::clone(&clock))?;
        let bulkheads = Bulkheads::new(self.bulkheads.clock(Arc::clone(&clock)))?;
        let strategy = self
            .retry
            .breaker(breakers.get("operation"))
            .policy(policy.clone())
            .clock(Arc::clone(&clock))
            .random(self.random)
            .events(events.clone())
            .classifier(Arc::clone(&classifier))
            .build()?;
        let mut cache = ResponseCache::with_clock(self.cache, Arc::clone(&clock));
        if let Some(options) = self.stored_cache.filter(|_| is_said) {
            cache = cache.over(Arc::clone(&store), options);
        }
        let degradation = GracefulDegradation::new(self.fallback_models).with_cache(cache).with_policy(policy.clone());
        let shared = Shared {
            strategy,
            policy: lifecycle,
            classifier,
            degradation,
            health: self.health,
            breakers,
            keeping,
            budgets,
            bulkheads,
            checkpoints: Checkpoints::with_clock(Arc::clone(&store), Arc::clone(&clock)).limited(self.checkpoint_limits),
            store,
            flights: Flights::default(),
            events,
            clock,
            closing: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            ended: Notify::new(),
        };
        Ok(RecoveryManager { shared: Arc::new(shared) })
    }
}

/// How long a shutdown waits for what is cached, and for the last transitions of breakers, to be written down.
const SETTLING: Duration = Duration::from_secs(1);

/// Counts an operation as running while it lives.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.closing.load(Ordering::SeqCst) {
            self.0.ended.notify_waiters();
        }
    }
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Operations that were still running when waiting ended; 0 if all came to their end.
    pub still_running: usize,
}

impl RecoveryManager {
    /// Builds a manager.
    pub fn builder() -> RecoveryManagerBuilder {
        RecoveryManagerBuilder {
            retry: RetryStrategy::builder(),
            breaker: BreakerConfig::default(),
            budgets: RetryBudgetConfig { capacity: 20, per_second: 1.0 },
            bulkheads: Bulkhead::builder("bulkhead").max_concurrent(4).max_queued(64),
            fallback_models: Vec::new(),
            policy: None,
            clock: SystemClock::shared(),
            random: Arc::new(SystemRandom),
            state: None,
            keep_breakers: true,
            checkpoint_limits: CheckpointLimits::default(),
            health: None,
            max_history: 100,
            cache: CacheLimits::default(),
            stored_cache: Some(StoredCacheOptions::default()),
        }
    }

    /// Describes an operation. Its name stands in events, spans and metrics.
    pub fn operation(&self, name: impl Into<Arc<str>>) -> Operation<'_> {
        Operation::new(self, name.into())
    }

    /// Runs an operation with everything that the manager has. With a `checkpoint_key` the policy knows whether there
    /// is state to resume from.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::CircuitOpen`] or [`Error::ShuttingDown`].
    pub async fn execute_with_recovery<T, E, F>(
        &self,
        operation: impl FnMut(Attempt) -> F,
        checkpoint_key: Option<&str>,
    ) -> Result<T, Error>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        self.described(checkpoint_key).run(operation).await.map(|recovered: Recovered<T>| recovered.value)
    }

    /// [`RecoveryManager::execute_with_recovery`] with a fallback that runs if nothing else serves.
    ///
    /// # Errors
    /// Those of [`RecoveryManager::execute_with_recovery`]; [`Error::FallbackFailed`] holds both errors.
    pub async fn execute_with_recovery_or<T, E, F, G, H>(
        &self,
        operation: impl FnMut(Attempt) -> F,
        fallback: impl FnOnce() -> H,
        checkpoint_key: Option<&str>,
    ) -> Result<T, Error>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
        G: OperationError,
        H: Future<Output = Result<T, G>>,
    {
        self.described(checkpoint_key).fallback(fallback).run(operation).await.map(|recovered: Recovered<T>| recovered.value)
    }

    fn described(&self, checkpoint_key: Option<&str>) -> Operation<'_> {
        let operation = self.operation("operation");
        match checkpoint_key {
            Some(key) => operation.handing_out(key),
            None => operation,
        }
    }

    /// Saves state under a key.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn save_checkpoint<T: Serialize + ?Sized>(&self, key: &str, state: &T) -> Result<(), StoreError> {
        self.shared.checkpoints.at(key).save(state).await.map(|_| ())
    }

    /// The state that was saved last under a key, if any.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, or is not of this type.
    pub async fn restore_checkpoint<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        self.shared.checkpoints.at(key).restore().await
    }

    /// Removes all checkpoints.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be removed.
    pub async fn clear_checkpoints(&self) -> Result<(), StoreError> {
        self.shared.checkpoints.clear().await.map(|_| ())
    }

    /// The checkpoints.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.shared.checkpoints
    }

    /// The health of Ollama, of these models and of the machine, by component. Empty where the manager was given no
    /// [`HealthCheck`].
    pub async fn system_health(&self, models: &[&str]) -> HealthReport {
        match &self.shared.health {
            Some(health) => health.check_all(models).await,
            None => HealthReport::default(),
        }
    }

    /// The policies that decide for this manager: swap them here.
    pub fn policy(&self) -> &PolicyLifecycle {
        &self.shared.policy
    }

    /// The classifier with its history.
    pub fn classifier(&self) -> &ErrorClassifier {
        &self.shared.classifier
    }

    /// The fallback models and the cache.
    pub fn degradation(&self) -> &GracefulDegradation {
        &self.shared.degradation
    }

    /// The store that keeps the state: for other values of the program, and to follow a
    /// `PolicyFleet` of the crate `upright-operations`.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.shared.store)
    }

    /// Number of breaker states written and read; `None` where breakers are not kept.
    pub fn breaker_sharing(&self) -> Option<SharingCounts> {
        self.shared.keeping.as_ref().map(Keeping::counts)
    }

    /// Ends when the breakers are as the [`state`](RecoveryManagerBuilder::state) has them, and it has all their
    /// transitions until now. Never, while the state cannot be reached: give it a limit. Only for who must know;
    /// calls need not wait for it.
    pub async fn breakers_settled(&self) {
        if let Some(keeping) = &self.shared.keeping {
            keeping.settled().await;
        }
    }

    /// The breakers: one for each model, and `operation` for operations without a model or a breaker's name of their
    /// own.
    pub fn breakers(&self) -> &CircuitBreakers {
        &self.shared.breakers
    }

    /// The budgets that operations name.
    pub fn budgets(&self) -> &RetryBudgets {
        &self.shared.budgets
    }

    /// The bulkheads that operations name.
    pub fn bulkheads(&self) -> &Bulkheads {
        &self.shared.bulkheads
    }

    /// The breaker that guards operations on this model, in whatever spelling, unless they name one of their own.
    pub fn model_breaker(&self, model: &str) -> CircuitBreaker {
        self.shared.breakers.get(&upright_logic::degradation::canonical_model(model))
    }

    /// The strategy that operations are retried by.
    pub fn strategy(&self) -> &RetryStrategy {
        &self.shared.strategy
    }

    /// Subscribes to events.
    pub fn subscribe(&self) -> Subscription {
        self.shared.events.subscribe()
    }

    pub(crate) fn flights(&self) -> &Flights {
        &self.shared.flights
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.shared.clock
    }

    pub(crate) fn resources(&self) -> Option<ResourceSnapshot> {
        self.shared.health.as_ref().map(HealthCheck::resources)
    }

    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.shared.health.as_ref().is_some_and(HealthCheck::is_short_of_memory)
    }

    /// Counts an operation in.
    pub(crate) fn enter(&self) -> Result<Running<'_>, Error> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(&self.shared);
        // Looked at after counting in, so that a shutdown either sees the operation or is seen by it.
        if self.shared.closing.load(Ordering::SeqCst) { Err(Error::ShuttingDown) } else { Ok(running) }
    }

    /// Takes no new operations and waits until those in flight have ended and what they cached is in the store, at
    /// most so long. Checkpoints stay. Breakers that are kept in the state are written down, and are each alone from
    /// then on; when the manager is dropped after this, its store is free for others.
    pub async fn shutdown_gracefully(&self, patience: Duration) -> Shutdown {
        let shared = &*self.shared;
        shared.closing.store(true, Ordering::SeqCst);
        let drained = async {
            loop {
                let ended = shared.ended.notified();
                tokio::pin!(ended);
                // Listening must begin before looking.
                ended.as_mut().enable();
                if shared.running.load(Ordering::SeqCst) == 0 {
                    return;
                }
                ended.await;
            }
        };
        let written_down = async {
            drained.await;
            let kept = async {
                if let Some(keeping) = &shared.keeping {
                    keeping.end().await;
                }
            };
            let written = futures_util::future::join(shared.degradation.cache().flush(), kept);
            // A store that hangs must not hold up the end for longer.
            futures_util::future::select(std::pin::pin!(written), shared.clock.sleep(SETTLING)).await;
        };
        futures_util::future::select(std::pin::pin!(written_down), shared.clock.sleep(patience)).await;
        Shutdown { still_running: shared.running.load(Ordering::SeqCst) }
    }
}
