//! Limits concurrent calls, with a bounded queue.
//!
//! Otherwise a local model's surplus waits invisibly until timeout. A [`Bulkhead`] admits some calls, queues some in
//! order, and rejects the rest.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use upright::{Bulkhead, Error};
//!
//! # let ask = || async { Ok::<_, std::io::Error>("an answer") };
//! let bulkhead = Bulkhead::builder("ollama").max_concurrent(4).max_queued(16).max_wait(Duration::from_secs(5)).build()?;
//! match bulkhead.call(ask).await {
//!     Ok(answer) => println!("{answer}"),
//!     Err(Error::BulkheadFull(full)) => println!("not tried: {full}"),
//!     Err(error) => println!("{error}"),
//! }
//! # Ok(()) }
//! ```

use crate::clock::{SharedClock, SystemClock, between};
use crate::configuration;
use crate::error::{BoxError, BulkheadFull, ConfigurationError, Error, Failure};
use crate::fault::{OperationError, fault_of};
use crate::registry::Registry;
use crate::types::Reason;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Limits calls in flight and queued. Clones share it.
#[derive(Clone)]
pub struct Bulkhead {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    terms: Terms,
    clock: SharedClock,
    semaphore: Semaphore,
    queued: AtomicU32,
}

#[derive(Clone, Copy)]
struct Terms {
    max_concurrent: u32,
    max_queued: u32,
    max_wait: Option<Duration>,
}

impl Terms {
    fn check(&self) -> Result<(), ConfigurationError> {
        let fits = (1..=1_000_000).contains(&self.max_concurrent);
        ConfigurationError::unless(fits, "max_concurrent", self.max_concurrent, "expected a whole number from 1 to 1000000")?;
        self.max_wait.map_or(Ok(()), |wait| configuration::limit("max_wait", wait))
    }
}

/// Builds a [`Bulkhead`]. Defaults: 25 calls, no queue (like resilience4j), unlimited wait.
#[derive(Clone)]
#[must_use]
pub struct BulkheadBuilder {
    name: Arc<str>,
    terms: Terms,
    clock: SharedClock,
}

impl BulkheadBuilder {
    /// Maximum number of concurrent calls; 1 to 1,000,000.
    pub fn max_concurrent(mut self, calls: u32) -> Self {
        self.terms.max_concurrent = calls;
        self
    }

    /// Maximum number of queued calls; 0 rejects at once.
    pub fn max_queued(mut self, calls: u32) -> Self {
        self.terms.max_queued = calls;
        self
    }

    /// Maximum wait; more than 0.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.terms.max_wait = Some(wait);
        self
    }

    /// Clock.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn build(self) -> Result<Bulkhead, ConfigurationError> {
        self.terms.check()?;
        Ok(self.build_checked())
    }

    fn build_checked(self) -> Bulkhead {
        let Self { name, terms, clock } = self;
        let semaphore = Semaphore::new(terms.max_concurrent as usize);
        Bulkhead { shared: Arc::new(Shared { name, terms, clock, semaphore, queued: AtomicU32::new(0) }) }
    }
}

/// Permission for one call, until dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the room to the next"]
pub struct BulkheadPermit<'a> {
    _permit: SemaphorePermit<'a>,
}

/// A place in a bulkhead that keeps the bulkhead alive. Dropping it frees the place.
pub(crate) struct OwnedBulkheadPermit {
    bulkhead: Bulkhead,
}

impl Drop for OwnedBulkheadPermit {
    fn drop(&mut self) {
        self.bulkhead.shared.semaphore.add_permits(1);
    }
}

/// Counts as waiting while it lives.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Bulkhead {
    /// Builds a bulkhead. `name` appears in errors, events and the registry.
    pub fn builder(name: impl Into<Arc<str>>) -> BulkheadBuilder {
        let terms = Terms { max_concurrent: 25, max_queued: 0, max_wait: None };
        BulkheadBuilder { name: name.into(), terms, clock: SystemClock::shared() }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// Number of free permits.
    pub fn available(&self) -> u32 {
        u32::try_from(self.shared.semaphore.available_permits()).unwrap_or(u32::MAX)
    }

    /// Number of queued calls.
    pub fn queued(&self) -> u32 {
        self.shared.queued.load(Ordering::Acquire)
    }

    /// A permit, without waiting or overtaking.
    ///
    /// # Errors
    /// [`BulkheadFull`].
    pub fn try_acquire(&self) -> Result<BulkheadPermit<'_>, BulkheadFull> {
        let permit = self.shared.semaphore.try_acquire();
        permit.map(|permit| BulkheadPermit { _permit: permit }).map_err(|_| self.full(Duration::ZERO))
    }

    /// A permit, after queueing in order if needed. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`BulkheadFull`] for a full queue or too long a wait.
    pub async fn acquire(&self) -> Result<BulkheadPermit<'_>, BulkheadFull> {
        self.acquire_within(None).await
    }

    pub(crate) async fn acquire_within(&self, limit: Option<Duration>) -> Result<BulkheadPermit<'_>, BulkheadFull> {
        if let Ok(permit) = self.try_acquire() {
            return Ok(permit);
        }
        let Shared { terms, clock, semaphore, queued, .. } = &*self.shared;
        // Checking and queueing: one step.
        let place = queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, |queued| (queued < terms.max_queued).then(|| queued + 1));
        if place.is_err() {
            return Err(self.full(Duration::ZERO));
        }
        let _waiting = Waiting(queued);
        let turn = semaphore.acquire();
        let permit = match [terms.max_wait, limit].into_iter().flatten().min() {
            None => turn.await.ok(),
            Some(wait) => {
                let began = clock.now();
                match select(pin!(turn), clock.sleep(wait)).await {
                    Either::Left((permit, _)) => permit.ok(),
                    Either::Right(_) => return Err(self.full(between(began, clock.now()))),
                }
            }
        };
        // Never closed.
        permit.map(|permit| BulkheadPermit { _permit: permit }).ok_or_else(|| self.full(Duration::ZERO))
    }

    /// [`Bulkhead::try_acquire`] with a permit that borrows nothing.
    pub(crate) fn try_acquire_owned(&self) -> Result<OwnedBulkheadPermit, BulkheadFull> {
        self.try_acquire().map(|permit| self.own(permit))
    }

    /// [`Bulkhead::acquire_within`] with a permit that borrows nothing.
    pub(crate) async fn acquire_owned_within(&self, limit: Option<Duration>) -> Result<OwnedBulkheadPermit, BulkheadFull> {
        self.acquire_within(limit).await.map(|permit| self.own(permit))
    }

    fn own(&self, permit: BulkheadPermit<'_>) -> OwnedBulkheadPermit {
        // The duty to free the place moves over.
        permit._permit.forget();
        OwnedBulkheadPermit { bulkhead: self.clone() }
    }

    fn full(&self, waited: Duration) -> BulkheadFull {
        let Shared { name, terms: Terms { max_concurrent, max_queued, .. }, .. } = &*self.shared;
        BulkheadFull { bulkhead: Arc::clone(name), max_concurrent: *max_concurrent, max_queued: *max_queued, waited }
    }

    /// Runs `operation` when admitted. Dropping the future ends call or wait.
    ///
    /// # Errors
    /// [`Error::BulkheadFull`] without a call, or [`Error::Failed`].
    pub async fn call<T, E, F>(&self, operation: impl FnOnce() -> F) -> Result<T, Error>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        let _permit = self.acquire().await?;
        operation().await.map_err(|error| failed(error.into_boxed()))
    }

    /// Runs a blocking operation if admitted now; threads do not queue.
    ///
    /// # Errors
    /// [`Error::BulkheadFull`] without a call, or [`Error::Failed`].
    pub fn call_blocking<T, E: OperationError>(&self, operation: impl FnOnce() -> Result<T, E>) -> Result<T, Error> {
        let _permit = self.try_acquire()?;
        operation().map_err(|error| failed(error.into_boxed()))
    }

    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.shared) == 1 && self.available() == self.shared.terms.max_concurrent
    }
}

fn failed(source: BoxError) -> Error {
    let classification = upright_logic::classifier::classify(&fault_of(&*source));
    let reason = if classification.retryable { Reason::AttemptsExhausted } else { Reason::NotRetryable };
    Error::Failed(Box::new(Failure { attempts: 1, reason, classification, elapsed: Duration::ZERO, source }))
}

impl std::fmt::Debug for Bulkhead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shared { name, terms, .. } = &*self.shared;
        write!(formatter, "Bulkhead({name:?}, room for {} of {}, {} queued)", self.available(), terms.max_concurrent, self.queued())
    }
}

/// One bulkhead per name, made on first use. Clones share it.
#[derive(Clone)]
pub struct Bulkheads {
    bulkheads: Registry<Bulkhead>,
    template: BulkheadBuilder,
}

impl Bulkheads {
    /// A registry that builds from `template`.
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn new(template: BulkheadBuilder) -> Result<Self, ConfigurationError> {
        template.terms.check()?;
        Ok(Self { bulkheads: Registry::default(), template })
    }

    /// The bulkhead of this name.
    pub fn get(&self, name: &str) -> Bulkhead {
        let make = |name: &Arc<str>| BulkheadBuilder { name: Arc::clone(name), ..self.template.clone() }.build_checked();
        self.bulkheads.get(name, make, Bulkhead::is_idle)
    }

    /// Replaces a bulkhead; holders keep the old one.
    pub fn insert(&self, bulkhead: Bulkhead) {
        let name = Arc::clone(bulkhead.name());
        self.bulkheads.insert(&name, bulkhead);
    }

    /// The bulkhead, if it exists.
    pub fn find(&self, name: &str) -> Option<Bulkhead> {
        self.bulkheads.find(name)
    }

    /// All bulkheads, by name.
    pub fn all(&self) -> Vec<Bulkhead> {
        self.bulkheads.all()
    }
}
