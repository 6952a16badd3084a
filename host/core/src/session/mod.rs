//! One guarded operation, from its first attempt to its end.
//!
//! [`Session`] holds what is known so far and turns each failure into the next thing to do. It neither waits nor calls anything, so the
//! asynchronous and the blocking drivers (`drive`) are the same few lines, and every way of guarding a call shares them.
//!
//! What happens on success is all that most calls ever see, so it is kept to a few loads and one counter: no allocation, no lock, no policy, and the time only
//! as a coarse clock tells it unless there is a limit of time.

mod drive;
mod terms;

pub use drive::{outcome_error, poll_limit, within};
pub use terms::{Guarding, Terms};

use crate::breaker::{CircuitBreaker, Permit};
use crate::budget::{RetryBudget, Token};
use crate::checkpoints::Checkpoint;
use crate::clock::{Instant, between, seconds};
use crate::error::{AttemptTimeout, BoxError, BulkheadFull, CircuitOpen, Error, Failure};
use crate::events::Event;
use crate::fault::{circumstances_of, fault_of, models_of, read_by};
use crate::types::*;
use std::sync::Arc;
use std::time::Duration;
use upright_logic::degradation::same_model;

/// An operation asks for larger windows at most this often, over all models. Doubled 16 times, the smallest window is larger than any model's.
const MOST_WINDOWS: u32 = 16;

/// What an attempt is told about itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Counted from 1, over all models.
    pub number: u32,
    /// 0 for the attempt itself; its rivals, where it is hedged, are counted from 1.
    pub hedge: u32,
    /// The model to use, where the operation has a choice of models.
    pub model: Option<Arc<str>>,
    /// The window to ask the model for, where the question did not fit a smaller one; tokens.
    pub window: Option<u32>,
    /// Whether to run the simplified workflow.
    pub simplified: bool,
    /// How long this attempt may take, where there is a limit.
    pub time_left: Option<Duration>,
    /// Where to save progress and to resume from, if the operation has a checkpoint.
    pub checkpoint: Option<Checkpoint>,
}

impl Attempt {
    /// The first attempt of an operation that has neither models nor a checkpoint.
    #[inline]
    pub fn first(time_left: Option<Duration>) -> Self {
        Self { number: 1, hedge: 0, model: None, window: None, simplified: false, time_left, checkpoint: None }
    }

    /// What happens in an attempt is traced within this.
    fn span(&self) -> tracing::Span {
        tracing::info_span!("attempt", number = self.number, model = self.model.as_deref())
    }
}

/// What could serve in place of a live answer, looked up only when something has failed.
pub trait Surroundings: Sync {
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
pub struct Alone {
    pub fallback: bool,
}

impl Surroundings for Alone {
    fn fallback(&self) -> bool {
        self.fallback
    }
}

/// How an operation ended, short of running what takes its place.
#[derive(Debug)]
pub enum Ending<T> {
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
pub enum Next {
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
    /// A bulkhead had no room for it.
    Full(BulkheadFull),
}

/// One operation in progress.
pub struct Session<'a> {
    guarding: &'a Guarding,
    terms: &'a Terms,
    surroundings: &'a dyn Surroundings,
    /// When the first attempt began. Where no limit of time depends on it, it is looked at only when the attempt has to wait for something, and by the coarse
    /// clock: an operation that succeeds at once needs no clock.
    began: Option<Instant>,
    /// Attempts made, over all models.
    attempts: u32,
    /// Attempts that failed with the model in use.
    failed_with_model: u32,
    model: Option<Arc<str>>,
    /// Models that were given up.
    given_up: Vec<Arc<str>>,
    simplified: bool,
    /// The facts of the window, once the model in use was asked for a larger one.
    window: Option<WindowFacts>,
    /// How often a larger window was asked for.
    enlarged: u32,
    /// The last failure of the operation itself, kept in case a breaker is what ends it.
    last: Option<(BoxError, Classification)>,
}

impl<'a> Session<'a> {
    pub fn begin(guarding: &'a Guarding, terms: &'a Terms, surroundings: &'a dyn Surroundings, model: Option<Arc<str>>) -> Self {
        let exact = terms.deadline.is_some() || cfg!(feature = "metrics");
        Self {
            guarding,
            terms,
            surroundings,
            began: exact.then(|| guarding.clock.now()),
            attempts: 0,
            failed_with_model: 0,
            model,
            given_up: Vec::new(),
            simplified: false,
            window: None,
            enlarged: 0,
            last: None,
        }
    }

    /// A session whose first attempt was made before it was known that there must be one. Gives what to do after that attempt's failure.
    #[cold]
    pub fn after_failure(
        guarding: &'a Guarding,
        terms: &'a Terms,
        surroundings: &'a dyn Surroundings,
        began: Option<Instant>,
        error: BoxError,
        permit: Option<Permit<'_>>,
    ) -> (Self, Next) {
        let mut session = Self { attempts: 1, began, ..Self::begin(guarding, terms, surroundings, None) };
        let next = session.failed(error, permit);
        (session, next)
    }

    /// Time counts from then on: something was waited for before the session began.
    pub fn count_from(&mut self, began: Instant) {
        self.began = Some(began);
    }

    /// What to do where the deadline passed before anything was tried.
    #[cold]
    pub fn out_of_time(&mut self) -> Next {
        self.failed(AttemptTimeout { limit: self.terms.deadline.unwrap_or_default() }.into(), None)
    }

    /// The model in use, and how many attempts were made.
    pub fn summary(&self) -> (Option<Arc<str>>, u32) {
        (self.model.clone(), self.attempts)
    }

    /// Whether the model and the workflow in use are those that were asked for.
    pub fn is_as_asked(&self) -> bool {
        self.given_up.is_empty() && !self.simplified
    }

    /// How long the next attempt may take.
    fn limit(&self) -> Option<Duration> {
        [self.terms.attempt_timeout, self.time_left()].into_iter().flatten().min()
    }

    /// What is left until the deadline.
    fn time_left(&self) -> Option<Duration> {
        self.terms.deadline.map(|deadline| deadline.saturating_sub(self.elapsed()))
    }

    fn elapsed(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| between(began, self.guarding.clock.now()))
    }

    /// Time counts from now on at the latest.
    fn begun(&mut self) {
        if self.began.is_none() {
            self.began = Some(self.guarding.clock.coarse());
        }
    }

    fn attempt(&mut self, limit: Option<Duration>) -> Attempt {
        self.attempts = self.attempts.saturating_add(1);
        Attempt {
            number: self.attempts,
            hedge: 0,
            model: self.model.clone(),
            window: self.window.and_then(|window| window.asked),
            simplified: self.simplified,
            time_left: limit,
            checkpoint: self.surroundings.checkpoint(),
        }
    }

    /// Whether an attempt that ran out of time speaks against the service. One that the deadline left less time than it should have had
    /// does not; the first attempt had it all.
    fn had_its_time(&self, error: &BoxError) -> bool {
        let Some(AttemptTimeout { limit }) = error.downcast_ref() else { return true };
        self.attempts <= 1 || self.terms.attempt_timeout.is_some_and(|timeout| *limit >= timeout)
    }

    /// The one place where a failure is decided upon.
    #[cold]
    fn failed(&mut self, error: BoxError, permit: Option<Permit<'_>>) -> Next {
        self.begun();
        let permit = permit.filter(|_| self.had_its_time(&error));
        let fault = read_by(self.guarding.fault_reader.as_ref(), &*error);
        let mut incident = Incident { circumstances: self.circumstances(&*error), ..self.incident(fault) };
        if let Some(models) = &mut incident.models {
            models.known = known_of(&models.chain, models_of(&*error));
        }
        // Taken before asking: two that look first and take later both find the last token.
        let token = self.terms.budget.as_ref().map(RetryBudget::take);
        incident.retry_budget = token.as_ref().map(|token| token.as_ref().map_or(0, Token::left));
        let verdict = match permit {
            Some(permit) => permit.decide(&self.guarding.policy, &mut incident),
            None => self.guarding.policy.decide(&incident),
        };
        let Guarding { events, classifier, .. } = self.guarding;
        if let Some(classifier) = classifier {
            classifier.record(&incident.failure, &verdict.classification);
        }
        events.emit(|| Event::AttemptFailed {
            operation: Arc::clone(&self.terms.name),
            attempt: self.attempts,
            classification: verdict.classification.clone(),
            message: cut(&incident.failure.message, 200),
        });
        let verdict = self.without_repeating_models(verdict, &mut incident);
        if matches!(verdict.directive, Directive::RetryAfter(_) | Directive::AskAgain)
            && let Some(token) = token.flatten()
        {
            token.spend();
        }
        self.follow(verdict, &incident, |classification| Cause::Failure(error, classification))
    }

    /// The facts beside the fault. Those of the window are left out where the operation does not ask for the window that it is handed, and after too many windows.
    fn circumstances(&self, error: &(dyn std::error::Error + 'static)) -> Option<Circumstances> {
        let mut known = circumstances_of(error);
        let Some(mine) = self.window else { return known };
        let window = &mut known.get_or_insert_default().window;
        let is_followed = window.is_none_or(|window| window.asked >= mine.asked);
        // Of a load that failed the client knows less.
        let known_better = window.filter(|window| window.needed.is_some());
        *window = if is_followed && self.enlarged < MOST_WINDOWS { known_better.or(Some(mine)) } else { None };
        known
    }

    /// A breaker let nothing through. Where nothing is at hand that could serve, that is the answer, without asking the policy.
    #[cold]
    fn rejected(&mut self, open: CircuitOpen) -> Next {
        let Guarding { events, policy, .. } = self.guarding;
        events.emit(|| Event::CallRejected {
            operation: Arc::clone(&self.terms.name),
            attempt: self.attempts,
            breaker: Arc::clone(&open.breaker),
        });
        let surroundings = self.surroundings;
        let tried = |model: &String| self.model.iter().chain(&self.given_up).any(|tried| same_model(tried, model));
        let no_model_left = self.model.is_none() || surroundings.models().iter().all(tried);
        let can_simplify = !self.simplified && surroundings.can_simplify();
        if no_model_left && !can_simplify && !surroundings.fallback() && surroundings.cached().is_none() {
            return Next::Failed(self.ending(Cause::Rejection(open), Reason::CircuitOpen));
        }
        let mut incident = self.incident(fault_of(&open));
        let verdict = policy.decide(&incident);
        let verdict = self.without_repeating_models(verdict, &mut incident);
        self.follow(verdict, &incident, |_| Cause::Rejection(open))
    }

    /// A bulkhead had no room. Nothing was tried, so no breaker hears of it and no budget pays for it.
    #[cold]
    fn no_room(&mut self, full: BulkheadFull) -> Next {
        self.guarding.events.emit(|| Event::BulkheadRejected {
            operation: Arc::clone(&self.terms.name),
            attempt: self.attempts,
            bulkhead: Arc::clone(&full.bulkhead),
        });
        let mut incident = self.incident(fault_of(&full));
        let verdict = self.guarding.policy.decide(&incident);
        let verdict = self.without_repeating_models(verdict, &mut incident);
        self.follow(verdict, &incident, |_| Cause::Full(full))
    }

    /// The error that an operation ends with. Behind a rejection the operation's own failure, if there was one, stays in sight.
    fn ending(&mut self, cause: Cause, reason: Reason) -> Error {
        let (source, classification) = match (cause, self.last.take()) {
            (Cause::Failure(error, classification), _) | (_, Some((error, classification))) => (error, classification),
            (Cause::Rejection(open), None) => return Error::CircuitOpen(open),
            (Cause::Full(full), None) => return Error::BulkheadFull(full),
        };
        let (attempts, elapsed) = (self.attempts, self.elapsed());
        Error::Failed(Box::new(Failure { attempts, reason, classification, elapsed, source }))
    }

    fn incident(&self, failure: Fault) -> Incident {
        let Guarding { clock, random, .. } = self.guarding;
        let Terms { retry, deadline, idempotent, .. } = self.terms;
        let now = clock.now();
        let models = self.model.as_ref().map(|model| ModelChoice {
            current: model.to_string(),
            chain: self.surroundings.models().to_vec(),
            known: None,
        });
        Incident {
            attempt: self.failed_with_model,
            elapsed: self.began.map_or(0.0, |began| between(began, now).as_secs_f64()),
            deadline: deadline.map(|deadline| deadline.as_secs_f64()),
            idempotent: *idempotent,
            retry: *retry,
            random: random.draw(),
            now,
            models,
            at_hand: AtHand {
                fallback: self.surroundings.fallback(),
                cached: self.surroundings.cached(),
                checkpoint: self.surroundings.checkpoint().is_some(),
                can_simplify: !self.simplified && self.surroundings.can_simplify(),
            },
            resources: self.surroundings.resources(),
            ..Incident::of(failure)
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

    fn follow(&mut self, verdict: Verdict, incident: &Incident, cause: impl FnOnce(Classification) -> Cause) -> Next {
        let Guarding { events, .. } = self.guarding;
        let Verdict { directive, reason, classification, .. } = verdict;
        let cause = cause(classification);
        let (name, attempt) = (&self.terms.name, self.attempts);
        let operation = || Arc::clone(name);
        let next = match directive {
            Directive::RetryAfter(_) | Directive::AskAgain => {
                self.failed_with_model = self.failed_with_model.saturating_add(1);
                let delay = if let Directive::RetryAfter(delay) = directive { seconds(delay) } else { Duration::ZERO };
                events.emit(|| Event::RetryScheduled { operation: operation(), attempt: attempt.saturating_add(1), delay });
                Next::Wait(delay)
            }
            Directive::SwitchModel(index) if let Some(to) = self.surroundings.models().get(index as usize) => {
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
                Next::Switch(self.surroundings.breaker(&to))
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
                Next::Again
            }
            Directive::Simplify => {
                self.simplified = true;
                self.window = None;
                self.failed_with_model = 0;
                events.emit(|| Event::WorkflowSimplified { operation: operation(), attempt, reason });
                Next::Again
            }
            Directive::ServeCached => {
                let age = incident.at_hand.cached.map_or(Duration::ZERO, |cached| seconds(cached.age));
                events.emit(|| Event::ServedCached { operation: operation(), attempt, age });
                return Next::Cached(self.ending(cause, reason));
            }
            Directive::UseFallback => {
                events.emit(|| Event::FallbackUsed { operation: operation(), attempt, reason });
                return Next::Fallback(self.ending(cause, reason));
            }
            // The rest is checked against the incident, which offers neither hosts nor a rescue here.
            _ => {
                events.emit(|| Event::GaveUp { operation: operation(), attempt, reason });
                return Next::Failed(self.ending(cause, reason));
            }
        };
        if let Cause::Failure(error, classification) = cause {
            self.last = Some((error, classification));
        }
        next
    }
}

/// How long it takes to load a model again and to read the question; none where it is not known how fast the model reads.
fn expected(window: &WindowFacts) -> Option<Duration> {
    let reading = f64::from(window.needed?) / window.reading_speed.filter(|speed| *speed > 0.0)?;
    Some(seconds(window.load_time.unwrap_or(0.0) + reading))
}

/// The facts of the models of a chain, in its order; none where nothing is known.
fn known_of(chain: &[String], known: &[(String, ModelFacts)]) -> Option<Vec<ModelFacts>> {
    let facts = |model: &String| known.iter().find(|(name, _)| same_model(name, model)).map(|(_, facts)| *facts).unwrap_or_default();
    (!known.is_empty()).then(|| chain.iter().map(facts).collect())
}

/// At most so many bytes of a text, cut between characters.
pub fn cut(text: &str, bytes: usize) -> String {
    let end = if text.len() <= bytes { text.len() } else { (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0) };
    text[..end].to_owned()
}
