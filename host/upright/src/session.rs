//! One guarded operation, from its first attempt to its end.
//!
//! [`Session`] holds what is known so far and turns each failure into the next thing to do. It neither waits nor calls anything, so the
//! asynchronous and the blocking drivers below are the same few lines, and every way of guarding a call shares them.

use crate::breaker::{CircuitBreaker, Permit};
use crate::budget::{RetryBudget, Token};
use crate::checkpoints::Checkpoint;
use crate::classifier::ErrorClassifier;
use crate::clock::{Instant, SharedClock, between, seconds};
use crate::error::{AttemptTimeout, BoxError, CircuitOpen, Error, Failure, RejectedResult};
use crate::events::{Event, Events};
use crate::fault::{OperationError, fault_of};
use crate::policy::PolicySlot;
use crate::random::SharedRandom;
use crate::types::*;
use futures_util::future::{Either, select};
use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use upright_logic::degradation::same_model;

/// What an attempt is told about itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Counted from 1, over all models.
    pub number: u32,
    /// The model to use, where the operation has a choice of models.
    pub model: Option<Arc<str>>,
    /// Whether to run the simplified workflow.
    pub simplified: bool,
    /// How long this attempt may take, where there is a limit.
    pub time_left: Option<Duration>,
    /// Where to save progress and to resume from, if the operation has a checkpoint.
    pub checkpoint: Option<Checkpoint>,
}

/// Everything that guards an operation and does not change while it runs.
#[derive(Clone)]
pub(crate) struct Guarding {
    pub(crate) name: Arc<str>,
    pub(crate) retry: RetryConfig,
    pub(crate) policy: PolicySlot,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) events: Events,
    pub(crate) classifier: Option<Arc<ErrorClassifier>>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) idempotent: bool,
    pub(crate) budget: Option<RetryBudget>,
}

/// What could serve in place of a live answer, looked up only when something has failed.
pub(crate) trait Surroundings: Sync {
    /// The models that may be used, best first.
    fn models(&self) -> &[String] {
        &[]
    }
    /// The breaker for a model, where each has its own.
    fn breaker(&self, _model: &str) -> Option<CircuitBreaker> {
        None
    }
    /// A cached answer to the same request.
    fn cached(&self) -> Option<CachedAnswer> {
        None
    }
    /// Whether the caller gave a fallback.
    fn fallback(&self) -> bool {
        false
    }
    /// Whether the caller can run a simplified workflow.
    fn can_simplify(&self) -> bool {
        false
    }
    /// The checkpoint that progress is saved in.
    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }
    /// What the machine has left.
    fn resources(&self) -> Option<ResourceSnapshot> {
        None
    }
}

/// Nothing at hand but, perhaps, a fallback.
pub(crate) struct Alone {
    pub(crate) fallback: bool,
}

impl Surroundings for Alone {
    fn fallback(&self) -> bool {
        self.fallback
    }
}

/// How an operation ended, short of running what takes its place.
#[derive(Debug)]
pub(crate) enum Ending<T> {
    /// It succeeded.
    Live(T),
    /// A cached answer is to be served.
    Cached(Error),
    /// The fallback is to be run.
    Fallback(Error),
    /// Nothing can be done.
    Failed(Error),
}

/// What to do after a failure.
enum Next {
    /// Try again, after this long.
    Wait(Duration),
    /// Try again at once, with the breaker of another model.
    Switch(Option<CircuitBreaker>),
    /// Try again at once.
    Again,
    /// Stop.
    Cached(Error),
    Fallback(Error),
    Failed(Error),
}

/// What a decision was about.
enum Cause {
    /// The operation failed.
    Failure(BoxError, Classification),
    /// A breaker let it not through.
    Rejection(CircuitOpen),
}

/// One operation in progress.
pub(crate) struct Session<'a> {
    guarding: &'a Guarding,
    surroundings: &'a dyn Surroundings,
    began: Instant,
    /// Attempts made, over all models.
    attempts: u32,
    /// Attempts that failed with the model in use.
    failed_with_model: u32,
    model: Option<Arc<str>>,
    /// Models that were given up.
    given_up: Vec<Arc<str>>,
    simplified: bool,
    /// The last failure of the operation itself, kept in case a breaker is what ends it.
    last: Option<(BoxError, Classification)>,
}

impl<'a> Session<'a> {
    pub(crate) fn begin(guarding: &'a Guarding, surroundings: &'a dyn Surroundings, model: Option<Arc<str>>) -> Self {
        Self {
            guarding,
            surroundings,
            began: guarding.clock.now(),
            attempts: 0,
            failed_with_model: 0,
            model,
            given_up: Vec::new(),
            simplified: false,
            last: None,
        }
    }

    /// The model in use, and how many attempts were made.
    pub(crate) fn summary(&self) -> (Option<Arc<str>>, u32) {
        (self.model.clone(), self.attempts)
    }

    /// Whether the model and the workflow in use are those that were asked for.
    pub(crate) fn is_as_asked(&self) -> bool {
        self.given_up.is_empty() && !self.simplified
    }

    /// How long the next attempt may take.
    fn limit(&self) -> Option<Duration> {
        let Guarding { attempt_timeout, deadline, .. } = self.guarding;
        let left = deadline.map(|deadline| deadline.saturating_sub(self.elapsed()));
        match (*attempt_timeout, left) {
            (Some(timeout), Some(left)) => Some(timeout.min(left)),
            (timeout, left) => timeout.or(left),
        }
    }

    fn elapsed(&self) -> Duration {
        between(self.began, self.guarding.clock.now())
    }

    fn attempt(&mut self, limit: Option<Duration>) -> Attempt {
        self.attempts = self.attempts.saturating_add(1);
        Attempt {
            number: self.attempts,
            model: self.model.clone(),
            simplified: self.simplified,
            time_left: limit,
            checkpoint: self.surroundings.checkpoint(),
        }
    }

    /// Whether an attempt that ran out of time speaks against the service. One that the deadline left less time than it should have had
    /// does not; the first attempt had it all.
    fn had_its_time(&self, error: &BoxError) -> bool {
        let Some(AttemptTimeout { limit }) = error.downcast_ref() else { return true };
        self.attempts <= 1 || self.guarding.attempt_timeout.is_some_and(|timeout| *limit >= timeout)
    }

    /// The one place where a failure is decided upon.
    fn failed(&mut self, error: BoxError, permit: Option<Permit<'_>>) -> Next {
        let permit = permit.filter(|_| self.had_its_time(&error));
        let fault = fault_of(&*error);
        let mut incident = self.incident(fault);
        // Taken before asking: two that look first and take later both find the last token.
        let token = self.guarding.budget.as_ref().map(RetryBudget::take);
        incident.retry_budget = token.as_ref().map(|token| token.as_ref().map_or(0, Token::left));
        let verdict = match permit {
            Some(permit) => permit.decide(&self.guarding.policy, incident.clone()),
            None => self.guarding.policy.decide(&incident),
        };
        let Guarding { name, events, classifier, .. } = self.guarding;
        if let Some(classifier) = classifier {
            classifier.record(&incident.failure, &verdict.classification);
        }
        events.emit(Event::AttemptFailed {
            operation: Arc::clone(name),
            attempt: self.attempts,
            classification: verdict.classification.clone(),
            message: cut(&incident.failure.message, 200),
        });
        let cause = Cause::Failure(error, verdict.classification.clone());
        let verdict = self.without_repeating_models(verdict, &mut incident);
        if matches!(verdict.directive, Directive::RetryAfter(_))
            && let Some(token) = token.flatten()
        {
            token.spend();
        }
        self.follow(&verdict, &incident, cause)
    }

    /// A breaker let nothing through. Where nothing is at hand that could serve, that is the answer, without asking the policy.
    fn rejected(&mut self, open: CircuitOpen) -> Next {
        let Guarding { name, events, policy, .. } = self.guarding;
        events.emit(Event::CallRejected { operation: Arc::clone(name), breaker: Arc::clone(&open.breaker) });
        let fault = fault_of(&open);
        let mut incident = self.incident(fault);
        let tried = |model: &String| self.model.iter().chain(&self.given_up).any(|tried| same_model(tried, model));
        let no_model_left = incident.models.is_none() || self.surroundings.models().iter().all(tried);
        let AtHand { fallback, cached, can_simplify, .. } = incident.at_hand;
        let nothing_at_hand = no_model_left && !fallback && cached.is_none() && !can_simplify;
        if nothing_at_hand {
            return Next::Failed(self.ending(Cause::Rejection(open), Reason::CircuitOpen));
        }
        let verdict = policy.decide(&incident);
        let verdict = self.without_repeating_models(verdict, &mut incident);
        self.follow(&verdict, &incident, Cause::Rejection(open))
    }

    /// The error that an operation ends with. Behind a rejection the operation's own failure, if there was one, stays in sight.
    fn ending(&mut self, cause: Cause, reason: Reason) -> Error {
        let (source, classification) = match (cause, self.last.take()) {
            (Cause::Failure(error, classification), _) | (Cause::Rejection(_), Some((error, classification))) => (error, classification),
            (Cause::Rejection(open), None) => return Error::CircuitOpen(open),
        };
        let (attempts, elapsed) = (self.attempts, self.elapsed());
        Error::Failed(Box::new(Failure { attempts, reason, classification, elapsed, source }))
    }

    fn incident(&self, failure: Fault) -> Incident {
        let Guarding { retry, clock, random, deadline, idempotent, .. } = self.guarding;
        let now = clock.now();
        let models =
            self.model.as_ref().map(|model| ModelChoice { current: model.to_string(), chain: self.surroundings.models().to_vec() });
        Incident {
            failure,
            attempt: self.failed_with_model,
            elapsed: between(self.began, now).as_secs_f64(),
            deadline: deadline.map(|deadline| deadline.as_secs_f64()),
            idempotent: *idempotent,
            retry_budget: None,
            retry: *retry,
            random: random.draw(),
            now,
            guard: None,
            models,
            at_hand: AtHand {
                fallback: self.surroundings.fallback(),
                cached: self.surroundings.cached(),
                checkpoint: self.surroundings.checkpoint().is_some(),
                can_simplify: !self.simplified && self.surroundings.can_simplify(),
            },
            resources: self.surroundings.resources(),
        }
    }

    /// A policy that names a model which was given up already would go in circles: it is asked again without models.
    fn without_repeating_models(&self, verdict: Verdict, incident: &mut Incident) -> Verdict {
        let Directive::SwitchModel(index) = verdict.directive else { return verdict };
        let repeats = |model: &String| self.model.iter().chain(&self.given_up).any(|tried| same_model(tried, model));
        if !self.surroundings.models().get(index as usize).is_none_or(repeats) {
            return verdict;
        }
        incident.models = None;
        self.guarding.policy.decide(incident)
    }

    fn follow(&mut self, verdict: &Verdict, incident: &Incident, cause: Cause) -> Next {
        let Guarding { name, events, .. } = self.guarding;
        let (operation, reason) = (Arc::clone(name), verdict.reason);
        let next = match verdict.directive {
            Directive::RetryAfter(delay) => {
                self.failed_with_model = self.failed_with_model.saturating_add(1);
                let delay = seconds(delay);
                events.emit(Event::RetryScheduled { operation, attempt: self.attempts.saturating_add(1), delay });
                Next::Wait(delay)
            }
            Directive::SwitchModel(index) if let Some(to) = self.surroundings.models().get(index as usize) => {
                let to: Arc<str> = to.as_str().into();
                let from = self.model.replace(Arc::clone(&to));
                events.emit(Event::ModelSwitched {
                    operation,
                    from: from.as_deref().unwrap_or_default().into(),
                    to: to.to_string(),
                    reason,
                });
                self.given_up.extend(from);
                self.failed_with_model = 0;
                Next::Switch(self.surroundings.breaker(&to))
            }
            Directive::Simplify => {
                self.simplified = true;
                self.failed_with_model = 0;
                events.emit(Event::WorkflowSimplified { operation, reason });
                Next::Again
            }
            Directive::ServeCached => {
                let age = incident.at_hand.cached.map_or(Duration::ZERO, |cached| seconds(cached.age));
                events.emit(Event::ServedCached { operation, age });
                return Next::Cached(self.ending(cause, reason));
            }
            Directive::UseFallback => {
                events.emit(Event::FallbackUsed { operation, reason });
                return Next::Fallback(self.ending(cause, reason));
            }
            Directive::GiveUp | Directive::SwitchModel(_) => {
                events.emit(Event::GaveUp { operation, reason });
                return Next::Failed(self.ending(cause, reason));
            }
        };
        if let Cause::Failure(error, classification) = cause {
            self.last = Some((error, classification));
        }
        next
    }

    /// Runs the operation, asynchronously. Dropping the future ends it; nothing stays counted.
    pub(crate) async fn run<T, E, F>(
        &mut self,
        mut breaker: Option<Cow<'_, CircuitBreaker>>,
        mut operation: impl FnMut(Attempt) -> F,
        accept: impl Fn(&T) -> bool,
    ) -> Ending<T>
    where
        E: OperationError,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            let next = match breaker.as_deref().map(CircuitBreaker::try_acquire).transpose() {
                Err(open) => self.rejected(open),
                Ok(permit) => {
                    let limit = self.limit();
                    let attempt = operation(self.attempt(limit));
                    let outcome = match limit {
                        None => attempt.await.map_err(OperationError::into_boxed),
                        Some(limit) => match select(pin!(attempt), self.guarding.clock.sleep(limit)).await {
                            Either::Left((outcome, _)) => outcome.map_err(OperationError::into_boxed),
                            Either::Right(_) => Err(AttemptTimeout { limit }.into()),
                        },
                    };
                    match self.outcome(outcome, permit, &accept) {
                        Ok(value) => return Ending::Live(value),
                        Err(next) => next,
                    }
                }
            };
            match next {
                Next::Wait(delay) => self.guarding.clock.sleep(delay).await,
                Next::Switch(other) => breaker = other.map(Cow::Owned),
                Next::Again => {}
                Next::Cached(error) => return Ending::Cached(error),
                Next::Fallback(error) => return Ending::Fallback(error),
                Next::Failed(error) => return Ending::Failed(error),
            }
        }
    }

    /// Runs the operation on this thread. A limit of time is told to the attempt, which cannot be stopped from outside.
    pub(crate) fn run_blocking<T, E: OperationError>(
        &mut self,
        mut breaker: Option<Cow<'_, CircuitBreaker>>,
        mut operation: impl FnMut(Attempt) -> Result<T, E>,
        accept: impl Fn(&T) -> bool,
    ) -> Ending<T> {
        loop {
            let next = match breaker.as_deref().map(CircuitBreaker::try_acquire).transpose() {
                Err(open) => self.rejected(open),
                Ok(permit) => {
                    let limit = self.limit();
                    let outcome = operation(self.attempt(limit)).map_err(OperationError::into_boxed);
                    match self.outcome(outcome, permit, &accept) {
                        Ok(value) => return Ending::Live(value),
                        Err(next) => next,
                    }
                }
            };
            match next {
                Next::Wait(delay) => self.guarding.clock.sleep_blocking(delay),
                Next::Switch(other) => breaker = other.map(Cow::Owned),
                Next::Again => {}
                Next::Cached(error) => return Ending::Cached(error),
                Next::Fallback(error) => return Ending::Fallback(error),
                Next::Failed(error) => return Ending::Failed(error),
            }
        }
    }

    fn outcome<T>(&mut self, outcome: Result<T, BoxError>, permit: Option<Permit<'_>>, accept: impl Fn(&T) -> bool) -> Result<T, Next> {
        match outcome {
            Ok(value) if accept(&value) => {
                if let Some(permit) = permit {
                    permit.success();
                }
                Ok(value)
            }
            Ok(_) => Err(self.failed(RejectedResult.into(), permit)),
            Err(error) => Err(self.failed(error, permit)),
        }
    }
}

/// At most so many bytes of a text, cut between characters.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    let end = if text.len() <= bytes { text.len() } else { (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0) };
    text[..end].to_owned()
}
