//! Rejects calls to a failing service, which would only time out, and probes whether it works again.
//!
//! The policy decides when a [`CircuitBreaker`] opens, probes and closes; the breaker keeps the state and enforces the
//! last decision.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright::CircuitBreaker;
//!
//! let breaker = CircuitBreaker::builder("ollama").failure_threshold(5).build()?;
//! let answer = breaker.call(|| async { Ok::<_, std::io::Error>("hello") }).await?;
//! assert_eq!(answer, "hello");
//! # Ok(()) }
//! ```
//!
//! # Which policy moves a breaker
//!
//! Its own: the one of [`CircuitBreakerBuilder::policy`], by default the built-in one. Callers that share a breaker may
//! have policies of their own. After a failed call the breaker's policy moves the breaker. Then the caller's policy
//! sees the new state and decides about the call. Where both are one slot, that is one question. A strategy without a
//! policy of its own takes that of the breaker it is given.

mod builder;
mod gate;
mod lease;
mod owned;
mod permit;
mod record;
mod registry;
mod restore;
mod sharing;
mod stored;

pub use builder::CircuitBreakerBuilder;
pub use owned::OwnedPermit;
pub use permit::Permit;
pub use registry::CircuitBreakers;
pub use restore::SavedState;
pub use sharing::SharingCounts;
#[doc(hidden)]
pub use sharing::{BreakerSharing, Keeping};
pub use stored::{StoredBreaker, StoredPermit};

use crate::classifier::ErrorClassifier;
use crate::clock::{SharedClock, nanoseconds, seconds};
use crate::configuration;
use crate::error::{BoxError, CircuitOpen, ConfigurationError, Error, Failure, Rejection};
use crate::events::{Event, Events};
use crate::fault::{OperationError, fault_of};
use crate::policy::PolicySlot;
use crate::types::*;
use gate::{Answer, Gate};
use permit::{Passage, single_attempt};
use sharing::Leave;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum length of the memory that a policy keeps in a breaker's state, bytes.
pub const MEMORY_LIMIT: usize = 4 << 10;

/// Rejects calls to a failing service. Clones share state.
#[derive(Clone)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    gate: Gate,
    kept: Mutex<Kept>,
    policy: PolicySlot,
    clock: SharedClock,
    events: Events,
    classifier: Option<Arc<ErrorClassifier>>,
    sharing: Option<BreakerSharing>,
}

struct Kept {
    config: BreakerConfig,
    state: BreakerState,
    layout: u32,
    isolated: bool,
}

impl CircuitBreaker {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// Its phase. An open breaker turns half-open at the first call after its timeout.
    pub fn state(&self) -> Phase {
        self.kept().state.phase
    }

    /// Its state.
    pub fn snapshot(&self) -> BreakerState {
        self.kept().state.clone()
    }

    /// Its settings.
    pub fn config(&self) -> BreakerConfig {
        self.kept().config
    }

    /// Changes settings, not state. An open breaker keeps its timeout.
    ///
    /// # Errors
    /// [`ConfigurationError`]; nothing changes.
    pub fn reconfigure(&self, config: BreakerConfig) -> Result<(), ConfigurationError> {
        configuration::breaker(&config)?;
        let mut kept = self.kept();
        kept.config = config;
        self.shared.gate.measure(slow_from(&config));
        Ok(())
    }

    pub(crate) fn policy(&self) -> &PolicySlot {
        &self.shared.policy
    }

    /// Whether it was isolated by hand.
    pub fn is_isolated(&self) -> bool {
        self.kept().isolated
    }

    /// Rejects every call until [`CircuitBreaker::reset`].
    pub fn isolate(&self) {
        let mut kept = self.kept();
        kept.isolated = true;
        // A new generation: calls in flight become irrelevant.
        kept.state.generation = kept.state.generation.wrapping_add(1);
        self.shared.gate.isolate(kept.state.generation);
        self.share(&kept);
    }

    /// Closes it in any state and clears counts.
    pub fn reset(&self) {
        let mut kept = self.kept();
        let (mut transition, layout) = self.shared.policy.initial(self.shared.clock.now());
        transition.state.generation = kept.state.generation.wrapping_add(1);
        let from = kept.state.phase;
        kept.isolated = false;
        kept.layout = layout;
        self.shared.gate.set(transition.state.generation, transition.admission);
        kept.state = transition.state;
        let to = kept.state.phase;
        // Even if closed: it may have been isolated.
        self.share(&kept);
        drop(kept);
        self.tell(from, to);
    }

    /// A permit for one call, for callers with their own loop.
    ///
    /// # Errors
    /// [`CircuitOpen`] with name and time left.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, CircuitOpen> {
        match self.shared.gate.passes() {
            Some(generation) => Ok(self.permit(generation)),
            None => self.try_acquire_unless_closed(),
        }
    }

    /// The generation if all calls pass unmeasured.
    #[inline]
    #[doc(hidden)]
    pub fn passes(&self) -> Option<u64> {
        self.shared.gate.passes()
    }

    #[inline]
    #[doc(hidden)]
    pub fn passed(&self, generation: u64) {
        self.shared.gate.succeeded(generation);
    }

    #[inline]
    pub(crate) fn permit(&self, generation: u64) -> Permit<'_> {
        Permit { breaker: self, passage: Passage { generation, began: None }, probe: false }
    }

    fn passage(&self, generation: u64) -> Passage {
        Passage { generation, began: self.shared.gate.is_timed().then(|| self.shared.clock.now()) }
    }

    fn try_acquire_unless_closed(&self) -> Result<Permit<'_>, CircuitOpen> {
        let shared = &*self.shared;
        let mut asked = false;
        loop {
            let rejection = match shared.gate.ask(&*shared.clock) {
                Answer::Pass { generation } => return Ok(Permit { breaker: self, passage: self.passage(generation), probe: false }),
                Answer::Probe { generation } => match self.may_probe(generation) {
                    Leave::Granted => return Ok(Permit { breaker: self, passage: self.passage(generation), probe: true }),
                    // The policy was not asked about it.
                    Leave::Moved => {
                        asked = false;
                        continue;
                    }
                    Leave::Taken => Rejection::Probing,
                },
                Answer::NotFor(left) => Rejection::Open { time_left: Duration::from_nanos(left) },
                Answer::Elapsed if !asked => {
                    asked = true;
                    self.elapsed();
                    continue;
                }
                // The policy chose an instant already past.
                Answer::Elapsed => Rejection::Open { time_left: Duration::ZERO },
                Answer::ProbesTaken { generation } if self.relieved(generation) => continue,
                Answer::ProbesTaken { .. } => Rejection::Probing,
                Answer::Isolated => Rejection::Isolated,
            };
            return Err(CircuitOpen { breaker: Arc::clone(&shared.name), rejection });
        }
    }

    /// Runs `operation` if admitted. Dropping the future counts nothing.
    ///
    /// # Errors
    /// [`Error::CircuitOpen`] without a call, or [`Error::Failed`].
    pub async fn call<T, E, F>(&self, operation: impl FnOnce() -> F) -> Result<T, Error>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        let permit = self.try_acquire()?;
        match operation().await {
            Ok(value) => {
                permit.success();
                Ok(value)
            }
            Err(error) => Err(self.failed(permit, error.into_boxed())),
        }
    }

    /// [`CircuitBreaker::call`] for blocking functions.
    ///
    /// # Errors
    /// [`Error::CircuitOpen`] without a call, or [`Error::Failed`].
    pub fn call_blocking<T, E: OperationError>(&self, operation: impl FnOnce() -> Result<T, E>) -> Result<T, Error> {
        let permit = self.try_acquire()?;
        match operation() {
            Ok(value) => {
                permit.success();
                Ok(value)
            }
            Err(error) => Err(self.failed(permit, error.into_boxed())),
        }
    }

    #[cold]
    fn failed(&self, permit: Permit<'_>, error: BoxError) -> Error {
        let Verdict { classification, reason, .. } = self.judge(permit, &*error);
        Error::Failed(Box::new(Failure { attempts: 1, reason, classification, elapsed: Duration::ZERO, source: error }))
    }

    #[doc(hidden)]
    pub fn observe(&self, permit: Permit<'_>, error: Option<&(dyn std::error::Error + 'static)>) {
        match error {
            None => permit.success(),
            Some(error) => {
                self.judge(permit, error);
            }
        }
    }

    #[cold]
    fn judge(&self, permit: Permit<'_>, error: &(dyn std::error::Error + 'static)) -> Verdict {
        let mut incident = single_attempt(fault_of(error), self.shared.clock.now());
        let verdict = permit.decide(&self.shared.policy, &mut incident);
        if let Some(classifier) = &self.shared.classifier {
            classifier.record(&incident.failure, &verdict.classification);
        }
        verdict
    }

    fn is_idle(&self) -> bool {
        let kept = self.kept();
        Arc::strong_count(&self.shared) == 1 && !kept.isolated && kept.state.phase == Phase::Closed && kept.state.consecutive_failures == 0
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) {
        self.step(|_| true, BreakerEvent::Elapsed, None);
    }

    /// Asks for a lease shared on this machine; without one the permit returns.
    fn may_probe(&self, generation: u64) -> Leave {
        let Some(sharing) = &self.shared.sharing else { return Leave::Granted };
        let gate = &self.shared.gate;
        match sharing.may_probe(&self.shared.name, gate.probes(), self.patience()) {
            // Others' probes may have moved it meanwhile.
            Leave::Granted if !gate.is_probed(generation) => {
                self.probe_ended(generation);
                Leave::Moved
            }
            Leave::Granted => Leave::Granted,
            leave => {
                gate.give_back(generation);
                leave
            }
        }
    }

    /// Call after the state moved.
    fn probe_ended(&self, generation: u64) {
        self.shared.gate.give_back(generation);
        if let Some(sharing) = &self.shared.sharing {
            sharing.probe_ended(&self.shared.name);
        }
    }

    /// Time until a hanging probe is replaced.
    fn patience(&self) -> Duration {
        seconds(self.kept().config.recovery_timeout)
    }

    fn relieved(&self, generation: u64) -> bool {
        let patience = nanoseconds(self.patience());
        self.shared.gate.relieve(generation, self.shared.clock.now(), patience)
    }

    fn report_success(&self, passage: Passage) {
        let Passage { generation, .. } = passage;
        self.step(|kept| kept.state.generation == generation, BreakerEvent::Success(generation), Some(passage));
    }

    fn step(&self, means_something: impl FnOnce(&Kept) -> bool, event: BreakerEvent, call: Option<Passage>) {
        let mut kept = self.kept();
        if kept.isolated || !means_something(&kept) {
            return;
        }
        let now = self.shared.clock.now();
        let took = call.map_or(0.0, |passage| passage.took(now));
        let seen = Observation { event, now, successes: self.shared.gate.take_successes(), took };
        let Kept { config, state, layout, .. } = &mut *kept;
        let transition = self.shared.policy.step(config, state.clone(), layout, &seen);
        self.apply(kept, transition);
    }

    /// Its own policy moves the breaker; the caller's decides about the call.
    fn decide(&self, caller: &PolicySlot, incident: &mut Incident, passage: Passage) -> Verdict {
        let own = &self.shared.policy;
        let generation = passage.generation;
        let mut kept = self.kept();
        // The strategy's clock may differ.
        incident.now = self.shared.clock.now();
        // An older generation must not consume newer successes.
        let successes = if generation == kept.state.generation { self.shared.gate.take_successes() } else { 0 };
        incident.guard =
            Some(Guard { config: kept.config, state: kept.state.clone(), generation, successes, took: passage.took(incident.now) });
        let verdict = own.decide_guarded(incident, &mut kept.layout);
        let mut layout = kept.layout;
        if let Some(transition) = &verdict.breaker
            && !kept.isolated
        {
            self.apply(kept, transition.clone());
        } else {
            drop(kept);
        }
        if caller.is(own) {
            return verdict;
        }
        // The failure is counted, so the caller's policy gets it as one of an older generation, which moves nothing.
        if let (Some(guard), Some(Transition { state, .. })) = (&mut incident.guard, verdict.breaker) {
            *guard = Guard { generation: state.generation.wrapping_sub(1), state, successes: 0, ..*guard };
        }
        caller.decide_guarded(incident, &mut layout)
    }

    fn apply(&self, mut kept: MutexGuard<'_, Kept>, transition: Transition) {
        let (from, to) = (kept.state.phase, transition.state.phase);
        self.shared.gate.set(transition.state.generation, transition.admission);
        kept.state = transition.state;
        // Others need a probe's outcome, not its start.
        if from != to && to != Phase::HalfOpen {
            self.share(&kept);
        }
        drop(kept);
        self.tell(from, to);
    }

    /// Needs the breaker's lock.
    fn share(&self, _: &Kept) {
        if let Some(sharing) = &self.shared.sharing {
            sharing.moved(&self.shared.name);
        }
    }

    fn tell(&self, from: Phase, to: Phase) {
        if from != to {
            self.shared.events.emit(|| Event::BreakerMoved { breaker: Arc::clone(&self.shared.name), from, to });
        }
    }
}

fn slow_from(config: &BreakerConfig) -> Option<u64> {
    config.slow_call_duration.map(|duration| nanoseconds(seconds(duration)))
}

impl std::fmt::Debug for CircuitBreaker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "CircuitBreaker({:?}, {})", self.shared.name, self.state())
    }
}
