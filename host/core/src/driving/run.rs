//! Keeps the state of one operation and decides its next step.
//!
//! Success is all that most calls ever see, so it costs a few loads and one counter: no allocation, no lock, no
//! policy, and an exact clock reading only where there is a time limit.

use super::context::{Alone, OperationContext};
use super::facts::Facts;
use super::settings::{OnUnknown, Runtime, Settings};
use crate::breaker::{CircuitBreaker, OwnedPermit};
use crate::budget::{RetryBudget, Token};
use crate::bulkhead::{Bulkhead, OwnedBulkheadPermit};
use crate::checkpoints::Checkpoint;
use crate::clock::{Instant, between, seconds};
use crate::error::{AttemptTimeout, BoxError, BulkheadFull, CircuitOpen, Error, Failure, StoreError};
use crate::events::Event;
use crate::fault::fault_of;
use crate::retry::RetryStrategy;
use crate::types::*;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use upright_logic::classifier::classify;
use upright_logic::classifier::rules::UNKNOWN;
use upright_logic::degradation::same_model;

/// Maximum number of larger windows that an operation asks for, over all models. Doubled 16 times, the smallest
/// window is larger than any model's.
const MOST_WINDOWS: u32 = 16;
/// Maximum length of a message in an event, bytes.
const MESSAGE_IN_EVENTS: usize = 200;

/// The attempt that an operation makes now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Number of the attempt, from 1, over all models.
    pub number: u32,
    /// Number of the hedge attempt, from 1; 0 for the attempt itself.
    pub hedge: u32,
    /// The model to use, where the operation has a choice of models.
    pub model: Option<Arc<str>>,
    /// The window to ask the model for, in tokens, where the question did not fit a smaller one.
    pub window: Option<u32>,
    /// Whether to run the simplified workflow.
    pub simplified: bool,
    /// Time limit of this attempt.
    pub time_left: Option<Duration>,
    /// Where to save progress and to resume from, if the operation has a checkpoint.
    pub checkpoint: Option<Checkpoint>,
}

impl Attempt {
    /// The first attempt of an operation that has neither models nor a checkpoint.
    #[inline]
    pub(crate) fn first(time_left: Option<Duration>) -> Self {
        Self { number: 1, hedge: 0, model: None, window: None, simplified: false, time_left, checkpoint: None }
    }

    /// The model to use. Empty for an operation without models.
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    /// The state that an earlier attempt, or an earlier process, saved last. `None` where nothing was saved, or the
    /// operation has no checkpoint.
    ///
    /// # Errors
    /// [`StoreError::SchemaMismatch`] and [`StoreError::Corrupt`] for a state that cannot be restored; else the
    /// store's own.
    pub async fn resume<S: DeserializeOwned>(&self) -> Result<Option<S>, StoreError> {
        match &self.checkpoint {
            Some(checkpoint) => checkpoint.restore().await,
            None => Ok(None),
        }
    }

    pub(crate) fn span(&self) -> tracing::Span {
        tracing::info_span!("attempt", number = self.number, model = self.model.as_deref())
    }
}

/// The next step of a run.
#[derive(Debug)]
#[must_use = "the run goes on only if its steps are taken"]
pub enum Step {
    /// Make this attempt, then call [`Run::succeeded`] or [`Run::failed`].
    Attempt(Attempt),
    /// Wait this long, then call [`Run::admit`].
    Wait(Duration),
    /// Call [`Run::admit`] at once.
    Again,
    /// Serve the cached answer.
    ServeCached(End),
    /// Run the fallback.
    FallBack(End),
    /// Give up.
    Fail(End),
}

/// Why a run ended without a live answer.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Number of attempts made, over all models.
    pub attempts: u32,
    /// Time since the first attempt began.
    pub elapsed: Duration,
    /// Why no other attempt follows.
    pub reason: Reason,
    /// The meaning of the operation's last failure; `None` where no attempt was made.
    pub classification: Option<Classification>,
    /// The guard that rejected the call, where one did.
    pub rejected: Option<Rejected>,
}

/// A guard that rejected a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The circuit breaker.
    CircuitOpen(CircuitOpen),
    /// The bulkhead.
    BulkheadFull(BulkheadFull),
}

impl End {
    /// The error that a caller gets. `last` is the operation's own last error: behind a rejection it stays in sight.
    pub fn into_error(self, last: Option<BoxError>) -> Error {
        let Self { attempts, elapsed, reason, classification, rejected } = self;
        match (classification, last, rejected) {
            (Some(classification), Some(source), _) => {
                Error::Failed(Box::new(Failure { attempts, reason, classification, elapsed, source }))
            }
            (_, _, Some(Rejected::CircuitOpen(open))) => Error::CircuitOpen(open),
            (_, _, Some(Rejected::BulkheadFull(full))) => Error::BulkheadFull(full),
            (classification, last, None) => {
                let classification = classification.unwrap_or_else(|| classify(&Fault::new(FaultKind::Other, "")));
                let source = last.unwrap_or_else(|| classification.rule.clone().into());
                Error::Failed(Box::new(Failure { attempts, reason, classification, elapsed, source }))
            }
        }
    }
}

/// Permits of the attempt in flight.
#[derive(Default)]
struct Admission {
    permit: Option<OwnedPermit>,
    room: Option<OwnedBulkheadPermit>,
}

/// One operation in progress. Dropping it ends the operation: an attempt in flight counts for nothing.
pub struct Run<C: OperationContext = Alone> {
    pub(super) runtime: Arc<Runtime>,
    pub(super) settings: Settings,
    context: C,
    breaker: Option<CircuitBreaker>,
    admission: Admission,
    /// When the first attempt began. Without a time limit the coarse clock is read, and only when the attempt first
    /// waits.
    pub(super) began: Option<Instant>,
    attempts: u32,
    failed_with_model: u32,
    model: Option<Arc<str>>,
    given_up: Vec<Arc<str>>,
    simplified: bool,
    /// The facts of the window, once the model in use was asked for a larger one.
    window: Option<WindowFacts>,
    /// Number of larger windows asked for.
    enlarged: u32,
    /// The meaning of the operation's last failure.
    last: Option<Classification>,
    /// Ways to finish the answer, once the caller has a part of it.
    rescue: Option<Rescue>,
    finish: Finish,
}

/// How the next attempt finishes an answer that the caller has a part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub enum Finish {
    /// The request is repeated. Nothing is left out of the repeat but what the caller has.
    #[default]
    Repeat,
    /// The model goes on after the caller's part.
    GoOn,
    /// The answer begins again.
    Restart,
}

impl<C: OperationContext> std::fmt::Debug for Run<C> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Run({:?}, {} attempts)", self.settings.name, self.attempts)
    }
}

impl Run {
    /// Begins an operation with the strategy's settings and breaker.
    pub fn begin(strategy: &RetryStrategy) -> Self {
        let shared = strategy.shared();
        Self::with(Arc::clone(&shared.runtime), shared.settings.clone(), Alone::default(), shared.breaker.clone(), None)
    }
}

impl<C: OperationContext> Run<C> {
    /// An operation whose first attempt was made, through the breaker in this generation, before there was a run.
    #[cold]
    #[doc(hidden)]
    pub fn after_first(strategy: &RetryStrategy, context: C, began: Option<Instant>, generation: Option<u64>) -> Self {
        let shared = strategy.shared();
        let mut run = Self::with(Arc::clone(&shared.runtime), shared.settings.clone(), context, shared.breaker.clone(), None);
        let permit = shared.breaker.as_ref().zip(generation).map(|(breaker, generation)| breaker.permit(generation).into_owned());
        (run.attempts, run.began, run.admission) = (1, began, Admission { permit, room: None });
        run
    }

    /// Begins an operation with the strategy's settings in this context, whose breakers guard it. `model` is the one to
    /// use first.
    pub fn within(strategy: &RetryStrategy, context: C, model: Option<Arc<str>>) -> Self {
        let shared = strategy.shared();
        let breaker = context.breaker(model.as_deref().unwrap_or_default());
        Self::with(Arc::clone(&shared.runtime), shared.settings.clone(), context, breaker, model)
    }

    /// Begins an operation with these settings. `model` is the one to use first.
    pub fn with(runtime: Arc<Runtime>, settings: Settings, context: C, breaker: Option<CircuitBreaker>, model: Option<Arc<str>>) -> Self {
        let exact = settings.deadline.is_some() || cfg!(feature = "metrics");
        Self {
            began: exact.then(|| runtime.clock.now()),
            runtime,
            settings,
            context,
            breaker,
            admission: Admission::default(),
            attempts: 0,
            failed_with_model: 0,
            model,
            given_up: Vec::new(),
            simplified: false,
            window: None,
            enlarged: 0,
            last: None,
            rescue: None,
            finish: Finish::Repeat,
        }
    }

    /// Counts time from an earlier instant, for an operation that waited for something before it began.
    #[doc(hidden)]
    pub fn count_from(&mut self, began: Instant) {
        self.began = Some(began);
    }

    /// How the next attempt finishes an answer that the caller has a part of.
    #[doc(hidden)]
    pub fn finish(&self) -> Finish {
        self.finish
    }

    /// The context that the run was given.
    pub fn context(&self) -> &C {
        &self.context
    }

    /// The model in use.
    pub fn model(&self) -> Option<&Arc<str>> {
        self.model.as_ref()
    }

    /// Number of attempts made, over all models.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the model and the workflow in use are those that the caller asked for.
    pub fn is_as_asked(&self) -> bool {
        self.given_up.is_empty() && !self.simplified
    }

    /// Time since the first attempt began.
    pub fn elapsed(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| between(began, self.runtime.clock.now()))
    }

    /// Time left until the deadline.
    pub fn time_left(&self) -> Option<Duration> {
        self.settings.deadline.map(|deadline| deadline.saturating_sub(self.elapsed()))
    }

    /// The facts in an error, by the strategy's readers.
    pub fn facts(&self, error: &(dyn std::error::Error + 'static)) -> Facts {
        self.runtime.facts(error)
    }

    /// The next step: an attempt, unless the breaker or the bulkhead rejects it. Does not wait in the bulkhead's queue.
    pub fn admit(&mut self) -> Step {
        let permit = match self.permit() {
            Ok(permit) => permit,
            Err(open) => return self.rejected(open),
        };
        match self.settings.bulkhead.as_ref().map(Bulkhead::try_acquire_owned).transpose() {
            Ok(room) => self.admitted(permit, room),
            Err(full) => {
                drop(permit);
                self.no_room(full)
            }
        }
    }

    /// The next step, after waiting in the bulkhead's queue where there is one: until the deadline at most.
    pub async fn admit_in_turn(&mut self) -> Step {
        let permit = match self.permit() {
            Ok(permit) => permit,
            Err(open) => return self.rejected(open),
        };
        let Some(bulkhead) = &self.settings.bulkhead else { return self.admitted(permit, None) };
        match bulkhead.acquire_owned_within(self.time_left()).await {
            Ok(room) => self.admitted(permit, Some(room)),
            Err(full) => {
                drop(permit);
                self.no_room(full)
            }
        }
    }

    fn permit(&self) -> Result<Option<OwnedPermit>, CircuitOpen> {
        self.breaker.as_ref().map(CircuitBreaker::try_acquire_owned).transpose()
    }

    fn admitted(&mut self, mut permit: Option<OwnedPermit>, room: Option<OwnedBulkheadPermit>) -> Step {
        // The wait for a place is no fault of the service.
        if let (Some(permit), Some(_)) = (&mut permit, &room) {
            permit.begins();
        }
        self.admission = Admission { permit, room };
        self.attempts = self.attempts.saturating_add(1);
        Step::Attempt(Attempt {
            number: self.attempts,
            hedge: 0,
            model: self.model.clone(),
            window: self.window.and_then(|window| window.asked),
            simplified: self.simplified,
            time_left: [self.settings.attempt_timeout, self.time_left()].into_iter().flatten().min(),
            checkpoint: self.context.checkpoint(),
        })
    }

    /// The attempt is under way: time counts from now on at the latest.
    pub fn begun(&mut self) {
        if self.began.is_none() {
            self.began = Some(self.runtime.clock.coarse());
        }
    }

    /// The attempt succeeded.
    pub fn succeeded(&mut self) {
        let Admission { permit, .. } = std::mem::take(&mut self.admission);
        if let Some(permit) = permit {
            permit.success();
        }
    }

    /// The deadline passed before anything was tried.
    #[cold]
    #[doc(hidden)]
    pub fn out_of_time(&mut self) -> (Step, BoxError) {
        let error = AttemptTimeout { limit: self.settings.deadline.unwrap_or_default() };
        let facts = self.facts(&error);
        (self.failed(facts), error.into())
    }

    /// Whether the breaker hears of the failure. It does not hear of the timeout of a later attempt which the deadline
    /// left less than the attempt timeout: that says nothing against the service. The policy judges all other failures.
    /// This is the one place of the rule; `docs/patterns/circuit-breaker.md` states it.
    fn counts_against_service(&self, facts: &Facts) -> bool {
        let Some(limit) = facts.timed_out else { return true };
        self.attempts <= 1 || self.settings.attempt_timeout.is_some_and(|timeout| limit >= timeout)
    }

    /// Advises against a retry where memory is short by the caller's thresholds: the policy does not know them.
    fn judge_memory(&self, fault: &mut Fault) {
        let ran_out = || classify(fault).category == ErrorCategory::Resource;
        if fault.should_retry.is_none() && ran_out() && self.context.is_short_of_memory() {
            fault.should_retry = Some(false);
        }
    }

    /// The attempt failed, and the caller has parts of its answer already: nothing follows. The breaker hears of it.
    #[cold]
    #[doc(hidden)]
    pub fn broken(&mut self, facts: impl Into<Facts>) {
        let (verdict, _) = self.judged(facts.into(), None);
        self.last = Some(verdict.classification);
    }

    /// The caller has a part of the answer, which can be finished in these ways.
    #[doc(hidden)]
    pub fn rescue(&mut self, ways: Rescue) {
        self.rescue = Some(ways);
    }

    /// The attempt answered, and no answer of the same words came of it: that says nothing against the service. Decides
    /// by these facts of the failure before.
    #[cold]
    #[doc(hidden)]
    pub fn differed(&mut self, facts: impl Into<Facts>) -> Step {
        self.admission = Admission::default();
        self.failed(facts)
    }

    /// The attempt failed: the one place where a failure is decided.
    #[cold]
    pub fn failed(&mut self, facts: impl Into<Facts>) -> Step {
        // Taken before asking: two that look first and take later both find the last token.
        let budget = self.settings.budget.clone();
        let token = budget.as_ref().map(RetryBudget::take);
        let left = token.as_ref().map(|token| token.as_ref().map_or(0, Token::left));
        let (verdict, mut incident) = self.judged(facts.into(), left);
        let verdict = self.without_repeating_models(verdict, &mut incident);
        if matches!(verdict.directive, Directive::RetryAfter(_) | Directive::AskAgain)
            && let Some(token) = token.flatten()
        {
            token.spend();
        }
        self.last = Some(verdict.classification.clone());
        self.hint(&verdict, &incident);
        self.follow(&verdict, &incident, None)
    }

    /// The policy's verdict on a failure, with this number of retries left in the budget.
    fn judged(&mut self, mut facts: Facts, retry_budget: Option<u32>) -> (Verdict, Incident) {
        self.judge_memory(&mut facts.fault);
        self.begun();
        let Admission { permit, room } = std::mem::take(&mut self.admission);
        drop(room);
        let permit = permit.filter(|_| self.counts_against_service(&facts));
        let mut incident = self.incident(facts, retry_budget);
        let verdict = match permit {
            Some(permit) => permit.decide(&self.runtime.policy, &mut incident),
            None => self.runtime.policy.decide(&incident),
        };
        let Runtime { events, classifier, .. } = &*self.runtime;
        if let Some(classifier) = classifier {
            classifier.record(&incident.failure, &verdict.classification);
        }
        events.emit(|| Event::AttemptFailed {
            operation: Arc::clone(&self.settings.name),
            attempt: self.attempts,
            classification: verdict.classification.clone(),
            message: cut(&incident.failure.message, MESSAGE_IN_EVENTS),
        });
        (verdict, incident)
    }

    /// Logs how to retry an error that no rule knows.
    fn hint(&self, verdict: &Verdict, incident: &Incident) {
        let gave_up = verdict.reason == Reason::NotRetryable && !verdict.classification.retryable;
        if gave_up
            && self.runtime.on_unknown == OnUnknown::GiveUp
            && self.settings.retry.max_retries > 0
            && verdict.classification.rule == UNKNOWN.name
        {
            tracing::warn!(
                target: "upright",
                operation = &*self.settings.name,
                "not retried, since no rule knows the error {:?}: to retry it, use retry_if(|error: &MyError| true) or on_unknown(OnUnknown::Retry)",
                cut(&incident.failure.message, MESSAGE_IN_EVENTS)
            );
        }
    }

    /// Circumstances with hosts, request and the window in use. Without facts of the window where the operation does
    /// not ask for the window that it is handed, and after too many windows.
    fn circumstances(&self, mut known: Option<Circumstances>) -> Option<Circumstances> {
        if let Some(hosts) = self.context.hosts() {
            known.get_or_insert_default().hosts = Some(hosts);
        }
        if let Some(request) = self.context.request() {
            known.get_or_insert_default().request = Some(request);
        }
        if self.rescue.is_some() {
            known.get_or_insert_default().rescue = self.rescue;
        }
        let Some(mine) = self.window else { return known };
        let window = &mut known.get_or_insert_default().window;
        let is_followed = window.is_none_or(|window| window.asked >= mine.asked);
        // After a failed load the client knows less.
        let known_better = window.filter(|window| window.needed.is_some());
        *window = if is_followed && self.enlarged < MOST_WINDOWS { known_better.or(Some(mine)) } else { None };
        known
    }

    /// The breaker rejected the call. Where nothing could serve, that is the answer, without asking the policy.
    #[cold]
    fn rejected(&mut self, open: CircuitOpen) -> Step {
        let Runtime { events, policy, .. } = &*self.runtime;
        events.emit(|| Event::CallRejected {
            operation: Arc::clone(&self.settings.name),
            attempt: self.attempts,
            breaker: Arc::clone(&open.breaker),
        });
        let context = &self.context;
        let no_model_left = self.model.is_none() || context.models().iter().all(|model| self.was_tried(model));
        let can_simplify = !self.simplified && context.can_simplify();
        let one_host = context.hosts().is_none_or(|hosts| hosts.hosts.len() < 2);
        if no_model_left && one_host && !can_simplify && !context.has_fallback() && context.cached().is_none() {
            return Step::Fail(self.end(Reason::CircuitOpen, Some(Rejected::CircuitOpen(open))));
        }
        let mut incident = self.incident(fault_of(&open).into(), None);
        let verdict = policy.decide(&incident);
        let verdict = self.without_repeating_models(verdict, &mut incident);
        self.follow(&verdict, &incident, Some(Rejected::CircuitOpen(open)))
    }

    /// The bulkhead was full. Nothing was tried, so it counts for no breaker and costs no budget.
    #[cold]
    fn no_room(&mut self, full: BulkheadFull) -> Step {
        self.runtime.events.emit(|| Event::BulkheadRejected {
            operation: Arc::clone(&self.settings.name),
            attempt: self.attempts,
            bulkhead: Arc::clone(&full.bulkhead),
        });
        let mut incident = self.incident(fault_of(&full).into(), None);
        let verdict = self.runtime.policy.decide(&incident);
        let verdict = self.without_repeating_models(verdict, &mut incident);
        self.follow(&verdict, &incident, Some(Rejected::BulkheadFull(full)))
    }

    fn end(&mut self, reason: Reason, rejected: Option<Rejected>) -> End {
        End { attempts: self.attempts, elapsed: self.elapsed(), reason, classification: self.last.take(), rejected }
    }

    fn was_tried(&self, model: &str) -> bool {
        self.model.iter().chain(&self.given_up).any(|tried| same_model(tried, model))
    }

    /// The failure with everything that bears on the decision, but for a breaker's state, which the breaker adds
    /// under its lock.
    fn incident(&self, facts: Facts, retry_budget: Option<u32>) -> Incident {
        let Facts { fault, circumstances, models, .. } = facts;
        let Runtime { clock, random, .. } = &*self.runtime;
        let Settings { retry, deadline, idempotent, .. } = &self.settings;
        let context = &self.context;
        let now = clock.now();
        Incident {
            attempt: self.failed_with_model,
            elapsed: self.began.map_or(0.0, |began| between(began, now).as_secs_f64()),
            deadline: deadline.map(|deadline| deadline.as_secs_f64()),
            idempotent: *idempotent,
            retry_budget,
            retry: *retry,
            random: random.draw(),
            now,
            models: self.model.as_ref().map(|model| {
                let chain = context.models().to_vec();
                ModelChoice { current: model.to_string(), known: known_of(&chain, &models), chain }
            }),
            at_hand: Alternatives {
                fallback: context.has_fallback(),
                cached: context.cached(),
                checkpoint: context.checkpoint().is_some(),
                can_simplify: !self.simplified && context.can_simplify(),
            },
            resources: context.resources(),
            circumstances: self.circumstances(circumstances),
            ..Incident::of(fault)
        }
    }

    /// A policy that names a model which was tried already would go in circles: it is asked again without models.
    fn without_repeating_models(&self, verdict: Verdict, incident: &mut Incident) -> Verdict {
        let Directive::SwitchModel(index) = verdict.directive else { return verdict };
        if self.context.models().get(index as usize).is_some_and(|model| !self.was_tried(model)) {
            return verdict;
        }
        incident.models = None;
        self.runtime.policy.decide(incident)
    }

    /// Does what the verdict says, and sends the events.
    fn follow(&mut self, verdict: &Verdict, incident: &Incident, rejected: Option<Rejected>) -> Step {
        let runtime = Arc::clone(&self.runtime);
        let events = &runtime.events;
        let (name, attempt, reason) = (Arc::clone(&self.settings.name), self.attempts, verdict.reason);
        let operation = || Arc::clone(&name);
        self.finish = match verdict.directive {
            Directive::ContinueAnswer(_) => Finish::GoOn,
            Directive::RestartAnswer(_) => Finish::Restart,
            _ => Finish::Repeat,
        };
        match verdict.directive {
            Directive::RetryAfter(_) | Directive::AskAgain => {
                self.failed_with_model = self.failed_with_model.saturating_add(1);
                let delay = if let Directive::RetryAfter(delay) = verdict.directive { seconds(delay) } else { Duration::ZERO };
                events.emit(|| Event::RetryScheduled { operation: operation(), attempt: attempt.saturating_add(1), delay });
                Step::Wait(delay)
            }
            Directive::SwitchModel(index) if let Some(to) = self.context.models().get(index as usize) => {
                let to: Arc<str> = to.as_str().into();
                let from = self.model.replace(Arc::clone(&to));
                events.emit(|| Event::ModelSwitched {
                    operation: operation(),
                    attempt,
                    from: from.as_deref().unwrap_or_default().into(),
                    to: to.to_string(),
                    reason,
                });
                self.given_up.extend(from);
                self.window = None;
                self.failed_with_model = 0;
                self.context.switch_model(&to);
                self.breaker = self.context.breaker(&to);
                Step::Again
            }
            Directive::SwitchHost(index)
            | Directive::Replay(index)
            | Directive::ContinueAnswer(index)
            | Directive::RestartAnswer(index) => {
                let from = self.context.host_name();
                // Unlike a switch, these may stay on one host.
                let is_rescue = !matches!(verdict.directive, Directive::SwitchHost(_));
                self.failed_with_model = self.failed_with_model.saturating_add(is_rescue.into());
                self.context.switch_host(index);
                self.breaker = self.context.breaker(self.model.as_deref().unwrap_or_default());
                events.emit(|| Event::HostSwitched { operation: operation(), attempt, from, to: self.context.host_name(), reason });
                Step::Again
            }
            Directive::EnlargeWindow(tokens) => {
                let known = incident.circumstances.as_ref().and_then(|known| known.window);
                events.emit(|| Event::WindowEnlarged {
                    operation: operation(),
                    attempt,
                    from: known.and_then(|known| known.loaded.max(known.asked)),
                    to: tokens,
                    needed: known.and_then(|known| known.needed),
                    expected: known.and_then(|known| expected(&known)),
                });
                self.enlarged = self.enlarged.saturating_add(1);
                self.window = known.map(|known| WindowFacts { asked: Some(tokens), ..known });
                Step::Again
            }
            Directive::Simplify => {
                self.simplified = true;
                self.window = None;
                self.failed_with_model = 0;
                events.emit(|| Event::WorkflowSimplified { operation: operation(), attempt, reason });
                Step::Again
            }
            Directive::ServeCached => {
                let age = incident.at_hand.cached.map_or(Duration::ZERO, |cached| seconds(cached.age));
                events.emit(|| Event::ServedCached { operation: operation(), attempt, age });
                Step::ServeCached(self.end(reason, rejected))
            }
            Directive::UseFallback => {
                events.emit(|| Event::FallbackUsed { operation: operation(), attempt, reason });
                Step::FallBack(self.end(reason, rejected))
            }
            // The rest is checked against the incident, which offers nothing else.
            _ => {
                events.emit(|| Event::GaveUp { operation: operation(), attempt, reason });
                Step::Fail(self.end(reason, rejected))
            }
        }
    }
}

/// Time to load a model again and to read the question; `None` where the model's reading speed is not known.
fn expected(window: &WindowFacts) -> Option<Duration> {
    let reading = f64::from(window.needed?) / window.reading_speed.filter(|speed| *speed > 0.0)?;
    Some(seconds(window.load_time.unwrap_or(0.0) + reading))
}

/// The facts of the models of a chain, in its order; `None` where nothing is known.
fn known_of(chain: &[String], known: &[(String, ModelFacts)]) -> Option<Vec<ModelFacts>> {
    let facts = |model: &String| known.iter().find(|(name, _)| same_model(name, model)).map(|(_, facts)| *facts).unwrap_or_default();
    (!known.is_empty()).then(|| chain.iter().map(facts).collect())
}

/// The beginning of a text, at most this many bytes of it, cut between characters.
fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}
